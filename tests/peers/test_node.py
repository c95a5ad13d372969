"""
Node's `ws`, from the npm registry in the version that tests/peers/node locks.
Python writes the script of a connection, tests/peers/node/client.js plays it.
"""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

import e2e

HERE = pathlib.Path(__file__).resolve().parent / "node"
PREFIX = pathlib.Path(__file__).resolve().parents[2] / "build/peers/node"
SUCCESS = {"type": "auth_success",
           "payload": {"username": "jane.doe", "token": e2e.VALID}}


def ask(token):
    return json.dumps({"type": "token_auth", "payload": {"token": token}})


GOOD = ask(e2e.VALID)


def install_ws():
    """npm ci, unless what is locked is there already."""
    lock = (HERE / "package-lock.json").read_bytes()
    stamp = PREFIX / "installed"
    if stamp.exists() and stamp.read_bytes() == lock:
        return
    PREFIX.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, PREFIX)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=PREFIX, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=120)
    if done.returncode != 0:
        pytest.skip("ws cannot be installed: " + done.stdout[-500:])
    stamp.write_bytes(lock)


@pytest.fixture(scope="module")
def node(need):
    """node(script, env={}): what client.js saw."""
    need(node="nodejs", npm="npm")
    install_ws()

    def play(script, env=None):
        done = subprocess.run(
            ["node", str(HERE / "client.js")], input=json.dumps(script),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=30, env={**os.environ, **(env or {}),
                             "NODE_PATH": str(PREFIX / "node_modules")})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return play


def script(server, *send, **more):
    """A connection to server that trusts its CA, closed after the answers."""
    options = {"ca": server.exported_ca().read_text(), **more.pop("options", {})}
    return {"url": server.url, "options": options, "send": list(send),
            "until": len(send), "close": [1000, ""], **more}


def test_logs_in(node, server):
    seen = node(script(server, GOOD))
    assert [json.loads(text) for text in seen["messages"]] == [SUCCESS]
    assert seen["protocol"] == "", "none was asked for"
    assert seen["extensions"] == "", "permessage-deflate was offered"
    assert (seen["code"], seen["reason"]) == (1000, "")


def test_trusts_the_ca_by_environment(node, server):
    plain = script(server, GOOD)
    del plain["options"]["ca"]
    seen = node(plain, {"NODE_EXTRA_CA_CERTS": str(server.exported_ca())})
    assert [json.loads(text) for text in seen["messages"]] == [SUCCESS]


def test_refuses_a_stranger(node, server):
    plain = script(server, GOOD)
    del plain["options"]["ca"]
    seen = node(plain, {"NODE_EXTRA_CA_CERTS": ""})
    assert seen["error"] == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
    assert "protocol" not in seen, "it was opened"


def test_logs_in_without_tls(node, server):
    plain = script(server, GOOD)
    seen = node({**plain, "url": server.plain_url})
    assert [json.loads(text) for text in seen["messages"]] == [SUCCESS]


def test_pipelines_200_logins(node, server):
    """All are sent before the first answer is read; the order is kept."""
    names = {**e2e.AWKWARD, e2e.VALID: "jane.doe", e2e.SECOND: "john.roe"}
    asked, expected = ['{"type":"chat"}'], [e2e.AUTH_REQUIRED]
    for i in range(200):
        token = list(names)[i * 7 % len(names)]
        asked.append(ask(token.upper() if i % 2 else token))
        expected.append({"type": "auth_success", "payload": {
            "username": names[token], "token": token}})
        if i in (50, 150):
            asked += [ask(e2e.EXPIRED), '{"type":"chat"}']
            expected += [e2e.TOKEN_ERROR, e2e.UNKNOWN_TYPE]
    asked.append(ask("no uuid"))
    expected.append(e2e.FORMAT_ERROR)
    seen = node(script(server, *asked))
    assert [json.loads(text) for text in seen["messages"]] == expected
    for text in seen["messages"]:
        assert text.count("{") == text.count("}") == 2, "a brace unescaped"
    assert seen["code"] == 1000


def test_fragments_and_pings_between(node, server):
    pieces = [GOOD[:1], GOOD[1:20], "", GOOD[20:]]
    seen = node(script(server, {"ping": "before"}, {"fragments": pieces},
                       {"ping": ""}, {"ping": "x" * 125}, GOOD))
    assert [json.loads(text) for text in seen["messages"]] == [SUCCESS] * 2
    assert seen["pongs"] == ["before", "", "x" * 125]


def test_answers_our_pings(node, server_factory):
    """ws sends the Pongs by itself: three intervals, still connected."""
    server = server_factory("--ping-interval", "1s", "--pong-timeout", "1s")
    seen = node(script(server, GOOD, {"pause": 1}, until=4))
    assert (seen["pings"], len(seen["messages"])) == (3, 1)
    assert seen["code"] == 1000


@pytest.mark.parametrize("code, reason", [(1000, "done"), (1001, ""),
                                          (3000, ""), (4999, "é" * 61)])
def test_its_close_is_echoed(node, server, code, reason):
    seen = node(script(server, GOOD, close=[code, reason]))
    assert seen["code"] == code and "error" not in seen


@pytest.mark.parametrize("item, code", [
    ({"binary": GOOD}, 1003), ("x" * 4097, 1009)], ids=["binary", "big"])
def test_sees_our_close_code(node, server, item, code):
    seen = node(script(server, GOOD, item, close=None))
    assert seen["code"] == code
    assert [json.loads(text) for text in seen["messages"]] == [SUCCESS]


def test_sees_it_going_away(node, server_factory):
    """The server is stopped with the player in."""
    server = server_factory(plain=False)
    seen = node(script(server, GOOD, {"pause": 300}, {"stop": server.pid},
                       close=None))
    assert seen["code"] == 1001
    assert [json.loads(text) for text in seen["messages"]] == [SUCCESS]
    assert server.wait() == 0


def test_origin(node, server):
    own = script(server, GOOD,
                 options={"origin": "https://" + server.host()})
    assert len(node(own)["messages"]) == 1
    foreign = script(server, GOOD,
                     options={"origin": "https://elsewhere.example"})
    assert node(foreign)["error"] == 403
