"""Logging many tokens in and comparing the answers with what is expected."""

import asyncio
import json

import websockets


async def ask_all(server, tokens):
    answers = {}
    async with websockets.connect(server.url,
                                  ssl=server.ssl_context()) as socket:
        for token in tokens:
            await socket.send(json.dumps({"type": "token_auth",
                                          "payload": {"token": token}}))
            answers[token] = json.loads(await socket.recv())
    return answers


def expect_logins(server, expected):
    """
    expected: {token: username, or None where the login has to fail}. The
    tokens that work share a connection; each other one has its own.
    """
    good = [token for token, name in expected.items() if name is not None]
    groups = [good] + [[t] for t in expected if t not in good]
    answers = {}
    for group in groups:
        answers.update(asyncio.run(asyncio.wait_for(
            ask_all(server, group), 30)))
    for token, name in expected.items():
        if name is None:
            assert answers[token] == {
                "type": "auth_error",
                "payload": {"message": "Invalid or expired token"}}
        else:
            assert answers[token] == {
                "type": "auth_success",
                "payload": {"username": name, "token": token}}
