"""token_auth: each row of the wire table, and what must not pass as one."""

import json
import time

import pytest

import wsraw
from conftest import (AUTH_REQUIRED, AWKWARD, AWKWARD_IDS, EXPIRED,
                      FORMAT_ERROR, FUTURE, INFINITE, NEVER, NIL, REVOKED,
                      SECOND, TOKEN_ERROR, UNKNOWN, UNKNOWN_TYPE, VALID,
                      import_rows, row, soon, token)

GOOD = '{"type":"token_auth","payload":{"token":"%s"}}' % VALID
SUCCESS = {"type": "auth_success",
           "payload": {"username": "jane.doe", "token": VALID}}


def success(username, tok):
    return {"type": "auth_success",
            "payload": {"username": username, "token": tok}}


def auth(tok):
    """A request whose token is the given JSON text."""
    return '{"type":"token_auth","payload":{"token":%s}}' % tok


def with_extra(text):
    """A request, valid but for an extra member whose value is text."""
    return ('{"type":"token_auth","x":%s,"payload":{"token":"%s"}}'
            % (text, VALID))


@pytest.fixture(params=["wss", "ws"])
def client(server, request):
    with server.open(tls=request.param == "wss") as client:
        yield client


@pytest.fixture
def wss(server):
    with server.open() as client:
        yield client


def expect(client, text, answer):
    """The answer, and the connection stays: a login works after it."""
    assert client.ask(text) == answer
    assert client.ask(GOOD) == SUCCESS


# A valid token

def test_valid_token(client):
    assert client.ask(GOOD) == SUCCESS
    client.expect_alive()


def test_answer_is_one_object_without_duplicates(wss):
    def pairs(items):
        names = [name for name, _ in items]
        assert len(set(names)) == len(names)
        return items

    wss.send_text(GOOD)
    got = json.loads(wss.read_text(), object_pairs_hook=pairs)
    assert got == [("type", "auth_success"),
                   ("payload", [("username", "jane.doe"), ("token", VALID)])]


@pytest.mark.parametrize("tok, name", [
    (NEVER, "never"), (INFINITE, "infinite"),
    ("00000000-0000-7000-8000-000000000007", "version7"),
    ("00000000-0000-0000-0000-000000000001", "version0"),
    ("ffffffff-ffff-ffff-ffff-ffffffffffff", "max"),
])
def test_other_valid_tokens(wss, tok, name):
    assert wss.login(tok) == success(name, tok)


@pytest.mark.parametrize("change", [
    str.upper, str.title, lambda t: t[:18].upper() + t[18:]])
def test_token_of_any_case_comes_back_in_lower_case(wss, change):
    assert change(VALID) != VALID
    assert wss.login(change(VALID)) == SUCCESS


@pytest.mark.parametrize("tok", AWKWARD, ids=AWKWARD_IDS)
def test_awkward_username(wss, tok):
    wss.send_text(auth('"%s"' % tok))
    text = wss.read_text()
    assert json.loads(text) == success(AWKWARD[tok], tok)
    assert text.count("{") == text.count("}") == 2, "the client counts braces"
    assert all(ord(c) >= 0x20 for c in text)


def test_braces_are_escaped_on_the_wire(wss):
    tok = next(t for t, name in AWKWARD.items() if name == "braces{and}{{{")
    wss.send_text(auth('"%s"' % tok))
    assert r'"braces\u007band\u007d\u007b\u007b\u007b"' in (
        wss.read_text().lower())


@pytest.mark.parametrize("text", [
    '{"payload":{"token":"%s"},"type":"token_auth"}' % VALID,
    ' \t\r\n{ "type" :\n"token_auth" ,\t"payload":{"token" : "%s" } }\r\n'
    % VALID,
    '{"id":7,"type":"token_auth","payload":{"token":"%s","x":[1]},"z":null}'
    % VALID,
    '{"type":"token_auth","payload":{"type":"y","payload":{},"token":"%s"}}'
    % VALID,
    '{"type":"token_auth","token":"elsewhere","payload":{"token":"%s"}}'
    % VALID,
    '{"type":"token_auth","Type":"y","payload":{"token":"%s","TOKEN":1},'
    '"PAYLOAD":2}' % VALID,
    '{"t\\u0079pe":"token\\u005fauth","p\\u0061yload":{"\\u0074oken":"%s"}}'
    % VALID,
    auth('"\\u0035' + VALID[1:] + '"'),
    auth('"' + "".join("\\u%04x" % ord(c) for c in VALID) + '"'),
    '{"a":1,"a":2,"type":"token_auth","payload":{"token":"%s"}}' % VALID,
    '{"":"","type":"token_auth","payload":{"":0,"token":"%s"}}' % VALID,
], ids=["payload first", "white space", "extra fields", "names in payload",
        "token outside", "names in another case", "escaped names",
        "escaped first character", "all escaped", "other duplicates",
        "empty names"])
def test_request_in_another_shape(wss, text):
    assert wss.ask(text) == SUCCESS


@pytest.mark.parametrize("text", [
    "0", "-0", "1e5", "1E+2", "0.125e-3", "12345678901234567890123", "1e999",
    "true", "false", "null", '""', "[]", "{}", '"\\/\\b\\f\\n\\r\\t\\"\\\\"',
    '"\\ud83d\\ude00"', '"\\u0000"', '"\x7f"', '"\U0001f600\ufeff\u2028"',
    "[1 ,\t2\r,\n3]", '"{[\'/*"', "[[[[[[[]]]]]]]",
    '{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}',
])
def test_legal_json_beside_the_request_is_ignored(wss, text):
    assert wss.ask(with_extra(text)) == SUCCESS


def test_message_of_exactly_the_limit(wss):
    assert wss.ask(GOOD + " " * (4096 - len(GOOD))) == SUCCESS


# A format error

@pytest.mark.parametrize("tok", [
    "{%s}" % VALID, "urn:uuid:" + VALID, "URN:UUID:" + VALID,
    VALID.replace("-", ""), " " + VALID, VALID + " ", VALID + "\\n",
    "\\t" + VALID, VALID[:-1], VALID + "0", "", "-", VALID + "\\u0000",
    "\\u0000" + VALID, VALID[:10] + "\\u0000" + VALID[11:],
    "g" + VALID[1:], VALID.replace("-", "_"), VALID.replace("-", "\u2010"),
    "550e840-0e29b-41d4-a716-446655440000", VALID[:13] + VALID[14:] + "-",
    "550e8400-e29b-41d4-a716-4466-5544000", "550e8400e29b-41d4-a716-"
    "4466554400000", "\uff15" + VALID[1:], "0x" + VALID[2:], VALID * 2,
    "+" + VALID[1:], VALID[:35] + "\\ud800", "x" * 3000,
    VALID[:9] + "-29b" + VALID[13:], VALID[:-1] + "\u00e9", "jane.doe",
])
def test_string_that_is_no_uuid(wss, tok):
    expect(wss, auth('"%s"' % tok), FORMAT_ERROR)


@pytest.mark.parametrize("text", [
    "null", "true", "0", "550", "[]", "{}", '["%s"]' % VALID,
    '{"token":"%s"}' % VALID])
def test_token_of_another_type(wss, text):
    expect(wss, auth(text), FORMAT_ERROR)


@pytest.mark.parametrize("text", [
    '{"type":"token_auth"}',
    '{"type":"token_auth","payload":null}',
    '{"type":"token_auth","payload":"%s"}' % VALID,
    '{"type":"token_auth","payload":["%s"]}' % VALID,
    '{"type":"token_auth","payload":[{"token":"%s"}]}' % VALID,
    '{"type":"token_auth","payload":1}',
    '{"type":"token_auth","payload":true}',
    '{"type":"token_auth","payload":{}}',
    '{"type":"token_auth","payload":{"Token":"%s"}}' % VALID,
    '{"type":"token_auth","payload":{"token\\u0000":"%s"}}' % VALID,
    '{"type":"token_auth","payload\\u0000":{"token":"%s"}}' % VALID,
    '{"type":"token_auth","Payload":{"token":"%s"}}' % VALID,
    '{"type":"token_auth","token":"%s"}' % VALID,
    '{"type":"token_auth","payload":{"x":{"token":"%s"}}}' % VALID,
])
def test_token_that_is_missing(wss, text):
    expect(wss, text, FORMAT_ERROR)


@pytest.mark.parametrize("text", [
    "{}", '{"payload":{"token":"%s"}}' % VALID, '{"type":null}',
    '{"type":1}', '{"type":["token_auth"]}', '{"type":{}}', '{"type":true}',
    '{"Type":"token_auth","payload":{"token":"%s"}}' % VALID,
    '{"type\\u0000":"token_auth","payload":{"token":"%s"}}' % VALID,
    '{"x":{"type":"token_auth","payload":{"token":"%s"}}}' % VALID,
])
def test_no_string_type(wss, text):
    expect(wss, text, FORMAT_ERROR)


@pytest.mark.parametrize("text", [
    "[]", "[%s]" % GOOD, '"token_auth"', '"%s"' % VALID, "1", "null", "true"])
def test_not_an_object(wss, text):
    expect(wss, text, FORMAT_ERROR)


@pytest.mark.parametrize("text", [
    '{"type":"token_auth","type":"token_auth","payload":{"token":"%s"}}',
    '{"type":"other","type":"token_auth","payload":{"token":"%s"}}',
    '{"type":"token_auth","payload":{"token":"%s"},"type":"other"}',
    '{"type":"token_auth","t\\u0079pe":"x","payload":{"token":"%s"}}',
    '{"type":"token_auth","payload":{},"payload":{"token":"%s"}}',
    '{"type":"token_auth","payload":{"token":"%s"},"payload":null}',
    '{"type":"token_auth","payload":{"token":"%s"},"p\\u0061yload":{}}',
    '{"type":"token_auth","payload":{"token":"x","token":"%s"}}',
    '{"type":"token_auth","payload":{"token":"%s","token":null}}',
    '{"type":"token_auth","payload":{"token":"%s","\\u0074oken":"x"}}',
])
def test_duplicate_member(wss, text):
    expect(wss, text % VALID, FORMAT_ERROR)


@pytest.mark.parametrize("text", [
    "01", "-01", "00", "1.", ".5", "+1", "1e", "1e+", "--1", "-", "0x1",
    "1_0", "NaN", "Infinity", "-Infinity", "nan", "True", "nul", "nulll",
    "undefined", "'x'", "x", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1",
    '{"a":1,}', '{a:1}', '{"a" 1}', '{"a":}', '{1:1}', "{'a':1}", '{,}',
    '"\\x41"', '"\\a"', '"\\u12"', '"\\u12G4"', '"\\u 123"', '"\\U0041"',
    '"\\', '"\\"', '"', '"\t"', '"\n"', '"\r"', '"\x00"', '"\x01"', '"\x1f"',
    "\x0b1", "\x0c1", "\u00a01", "\u20281", "\ufeff1", "/*c*/1", "//c\n1",
    "1 // c\n", "#c\n1", "", "1;", "\\u0031", '"a" "b"', "]", "}",
    '{"\n":1}', '{"\\q":1}', "[[[[[[[[]]]]]]]]",
    '{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}', "[" * 1500 + "]" * 1500,
    "[" * 3000, '{"a":' * 500,
])
def test_json_is_strict(wss, text):
    expect(wss, with_extra(text), FORMAT_ERROR)


@pytest.mark.parametrize("text", [
    "", " ", "\n", "{", "}", "hello", GOOD[:-1], GOOD + "}", GOOD + "x",
    GOOD + GOOD, GOOD + "\n" + GOOD, GOOD + ",", "\ufeff" + GOOD,
    GOOD + "\x00", "\x00" + GOOD, GOOD.replace('"', "'"), "(" + GOOD + ")",
    GOOD.replace(":", "="), GOOD.replace("}}", ",}}"), VALID, "\x1e" + GOOD,
    GOOD.replace("token_auth", "token\x00auth"),
], ids=ascii)
def test_not_json(wss, text):
    expect(wss, text, FORMAT_ERROR)


@pytest.mark.parametrize("cut", range(1, len(GOOD), 3))
def test_every_prefix_is_refused(wss, cut):
    expect(wss, GOOD[:cut], FORMAT_ERROR)


# Tokens that do not open the door: one answer, byte for byte

@pytest.mark.parametrize("tok", [UNKNOWN, EXPIRED, REVOKED, FUTURE, NIL],
                         ids=["unknown", "expired", "revoked", "future",
                              "nil"])
def test_token_that_is_not_valid(client, tok):
    expect(client, auth('"%s"' % tok), TOKEN_ERROR)


def test_invalid_tokens_are_told_apart_by_nothing(wss):
    answers = set()
    for tok in (UNKNOWN, EXPIRED, REVOKED, FUTURE, NIL):
        wss.send_text(auth('"%s"' % tok))
        answers.add(wss.read_text())
    assert len(answers) == 1


def test_token_expires_while_the_server_runs(server):
    tok = token(0x60)
    import_rows(server.data, [row(tok, "brief", expires_at=soon(3))])
    with server.open() as client:
        assert client.login(tok) == success("brief", tok)
    end = time.monotonic() + 8
    while True:
        with server.open() as client:
            answer = client.login(tok)
        if answer == TOKEN_ERROR or time.monotonic() > end:
            break
        time.sleep(0.2)
    assert answer == TOKEN_ERROR


def test_token_becomes_valid_while_the_server_runs(server):
    tok = token(0x61)
    import_rows(server.data, [row(tok, "later", not_before=soon(3))])
    with server.open() as client:
        assert client.login(tok) == TOKEN_ERROR
        end = time.monotonic() + 8
        while client.login(tok) == TOKEN_ERROR and time.monotonic() < end:
            time.sleep(0.2)
        assert client.login(tok) == success("later", tok)


# Other types

@pytest.mark.parametrize("text", [
    '{"type":"chat"}', '{"type":""}', '{"type":"chat","payload":null}',
    '{"type":"Token_Auth","payload":{"token":"%s"}}' % VALID,
    '{"type":"token_auth ","payload":{"token":"%s"}}' % VALID,
    '{"type":"auth_success","payload":{"username":"x"}}',
    '{"payload":{"x":{}},"type":"user_register"}',
])
def test_other_type_before_and_after_login(client, text):
    assert client.ask(text) == AUTH_REQUIRED
    assert client.ask(auth('"%s"' % UNKNOWN)) == TOKEN_ERROR
    assert client.ask(text) == AUTH_REQUIRED
    assert client.ask(GOOD) == SUCCESS
    assert client.ask(text) == UNKNOWN_TYPE
    client.expect_alive()


def test_type_is_not_cut_at_a_nul(wss):
    text = ('{"type":"token_auth\\u0000","payload":{"token":"%s"}}' % VALID)
    assert wss.ask(text) in (AUTH_REQUIRED, FORMAT_ERROR)


# Again on the same connection

def test_second_login_replaces_the_first(wss):
    assert wss.ask(GOOD) == SUCCESS
    assert wss.login(SECOND) == success("john.roe", SECOND)
    assert wss.ask(GOOD) == SUCCESS


@pytest.mark.parametrize("text, answer", [
    (auth('"%s"' % EXPIRED), TOKEN_ERROR), (auth('"x"'), FORMAT_ERROR),
    ("{", FORMAT_ERROR)])
def test_failed_login_leaves_the_identity(wss, text, answer):
    assert wss.ask(GOOD) == SUCCESS
    assert wss.ask(text) == answer
    assert wss.ask('{"type":"chat"}') == UNKNOWN_TYPE


# Many at once

PIPELINE = [
    (GOOD, SUCCESS), (auth('"%s"' % SECOND), success("john.roe", SECOND)),
    (auth('"%s"' % UNKNOWN), TOKEN_ERROR), (auth('"x"'), FORMAT_ERROR),
    (auth('"%s"' % NEVER), success("never", NEVER)), ("{", FORMAT_ERROR),
    (auth('"%s"' % REVOKED), TOKEN_ERROR),
]


def test_300_requests_in_one_write(client):
    plan = [PIPELINE[i % len(PIPELINE)] for i in range(300)]
    client.send(b"".join(wsraw.frame(wsraw.TEXT, text) for text, _ in plan))
    assert [client.read_json() for _ in plan] == [a for _, a in plan]
    client.expect_alive()


def test_types_and_logins_in_one_write(wss):
    other = '{"type":"chat"}'
    plan = [(other, AUTH_REQUIRED), (GOOD, SUCCESS), (other, UNKNOWN_TYPE),
            (auth('"x"'), FORMAT_ERROR), (other, UNKNOWN_TYPE)]
    wss.send(b"".join(wsraw.frame(wsraw.TEXT, text) for text, _ in plan))
    assert [wss.read_json() for _ in plan] == [a for _, a in plan]


def test_pings_between_requests_in_one_write(wss):
    wss.send(b"".join(wsraw.frame(wsraw.PING, b"%d" % i)
                      + wsraw.frame(wsraw.TEXT, GOOD) for i in range(50)))
    got = [wss.read_frame() for _ in range(100)]
    pongs = [f.payload for f in got if f.opcode == wsraw.PONG]
    texts = [json.loads(f.payload) for f in got if f.opcode == wsraw.TEXT]
    assert pongs == [b"%d" % i for i in range(50)]
    assert texts == [SUCCESS] * 50


def test_many_connections_at_once(server):
    clients = [server.open() for _ in range(40)]
    for client in clients:
        client.send_text(GOOD)
    for client in clients:
        assert client.read_json() == SUCCESS
        client.close()
