"""Plain HTTP on the WebSocket's listener, and the upgrade."""

import socket

import pytest

import wsraw
from conftest import VALID
from wsraw import accept_of, frame, upgrade_request

GOOD = '{"type":"token_auth","payload":{"token":"%s"}}' % VALID


@pytest.fixture(params=["wss", "ws"])
def tls(request):
    return request.param == "wss"


def talk(server, data, tls=False, within=5.0):
    """The response to any bytes; the connection ends after it."""
    with server.connect(tls) as client:
        client.send(data)
        response = client.read_response(within)
        if response.status != 101:
            client.expect_eof()
    return response


def lines(*parts):
    return "\r\n".join([*parts, "", ""]).encode("latin-1")


# Paths and methods

def test_health(server, tls):
    response = server.get("/health", tls)
    assert (response.status, response.body) == (200, b"OK")
    assert ("connection", "close") in response.headers
    assert ("content-length", "2") in response.headers


def test_ready(server, tls):
    assert server.get("/ready", tls).status == 200


@pytest.mark.parametrize("path", ["/", "/index.html", "/wss", "/WS", "/ws/",
                                  "/health/", "/healthz", "/../ws",
                                  "/%77s", "/" + "x" * 2000])
def test_unknown_path(server, path):
    assert server.get(path, tls=False).status == 404


def test_unknown_path_that_asks_for_an_upgrade(server):
    assert talk(server, upgrade_request(path="/other")).status == 404


@pytest.mark.parametrize("path", ["/health", "/ready", "/ws"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS",
                                    "PATCH", "TRACE", "BREW"])
def test_other_method(server, method, path):
    response = talk(server, lines(
        "%s %s HTTP/1.1" % (method, path), "Host: localhost"))
    assert response.status == 405
    assert "GET" in dict(response.headers)["allow"]


def test_post_with_a_body_reads_its_answer(server, tls):
    response = talk(server, lines(
        "POST /ws HTTP/1.1", "Host: localhost", "Content-Length: 5")
        + b"hello", tls)
    assert response.status == 405


def test_upgrade_by_another_method(server):
    data = upgrade_request().replace(b"GET", b"POST")
    assert talk(server, data).status == 405


@pytest.mark.parametrize("path", ["/health", "/other"])
def test_head_has_no_body(server, path):
    with server.connect(tls=False) as client:
        client.send(lines("HEAD %s HTTP/1.1" % path, "Host: localhost"))
        response = client.read_response()
        client.expect_eof()
    assert response.status in ((200, 405) if path == "/health"
                               else (404, 405))
    assert response.body == b""


def test_plain_get_of_ws(server, tls):
    response = server.get("/ws", tls)
    headers = dict(response.headers)
    assert response.status == 426
    assert headers["upgrade"].lower() == "websocket"
    assert headers["sec-websocket-version"] == "13"
    assert "upgrade" in headers["connection"].lower()


# The 101 response

def test_switching_protocols_to_the_byte(server, tls):
    with server.connect(tls) as client:
        response = client.upgrade(host=server.host(tls))
        client.expect_alive()
    assert response.raw.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert dict(response.headers) == {
        "upgrade": "websocket", "connection": "Upgrade",
        "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}
    assert len(response.headers) == 3
    assert b"\r\nConnection: Upgrade\r\n" in response.raw
    assert len(response.raw) < 1024


@pytest.mark.parametrize("extra", [
    ("Sec-WebSocket-Extensions: permessage-deflate; "
     "client_max_window_bits",),
    ("Sec-WebSocket-Protocol: chat, superchat",),
    ("Sec-WebSocket-Extensions: x-webkit-deflate-frame",
     "Sec-WebSocket-Protocol: openchamp", "Cookie: a=b", "X-Empty:"),
])
def test_nothing_offered_is_taken_up(server, extra):
    with server.connect(tls=False) as client:
        response = client.upgrade(extra=extra)
        client.expect_alive()
    assert {name for name, _ in response.headers} == {
        "upgrade", "connection", "sec-websocket-accept"}


@pytest.mark.parametrize("key", [
    "AAAAAAAAAAAAAAAAAAAAAA==", "/////////////////////w==",
    "x3JJHMbDL1EzLkh9GBhXDw=="])
def test_accept_follows_the_key(server, key):
    with server.connect(tls=False) as client:
        response = client.upgrade(key=key)
    assert dict(response.headers)["sec-websocket-accept"] == accept_of(key)


@pytest.mark.parametrize("drop, extra", [
    (["upgrade"], ["Upgrade: WebSocket"]),
    (["upgrade"], ["UPGRADE: WEBSOCKET"]),
    (["connection"], ["Connection: keep-alive, Upgrade"]),
    (["connection"], ["connection: upgrade"]),
    (["connection"], ["Connection:keep-alive ,\tUPGRADE  "]),
    (["sec-websocket-key"], ["sec-websocket-KEY:  %s\t" % wsraw.SAMPLE_KEY]),
])
def test_names_and_tokens_in_any_case(server, drop, extra):
    with server.connect(tls=False) as client:
        client.upgrade(drop=drop, extra=extra)
        client.expect_alive()


def test_headers_of_a_real_browser(server):
    extra = [
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101"
        " Firefox/128.0", "Accept: */*", "Accept-Language: en-US,en;q=0.5",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Origin: http://" + server.host(False), "DNT: 1",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "Connection: keep-alive, Upgrade", "Cookie: " + "c=" + "x" * 3000,
        "Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: websocket",
        "Sec-Fetch-Site: same-origin", "Pragma: no-cache",
        "Cache-Control: no-cache"]
    with server.connect(tls=False) as client:
        client.upgrade(host=server.host(False), drop=["connection"],
                       extra=extra)
        client.expect_alive()


def test_frames_in_the_same_write_as_the_request(server, tls):
    with server.connect(tls) as client:
        client.send(upgrade_request(host=server.host(tls))
                    + frame(wsraw.TEXT, GOOD) * 2
                    + frame(wsraw.PING, b"early"))
        assert client.read_response().status == 101
        *texts, pong = client.read_frames(3)
    assert all(b"auth_success" in text.payload for text in texts)
    assert pong.payload == b"early"


def test_request_one_byte_at_a_time(server, tls):
    with server.connect(tls) as client:
        client.trickle(upgrade_request(host=server.host(tls)))
        assert client.read_response().status == 101
        client.expect_alive()


def test_request_cut_anywhere(server):
    data = upgrade_request()
    for cut in range(1, len(data), 5):
        with server.connect(tls=False) as client:
            client.send(data[:cut])
            client.send(data[cut:] + frame(wsraw.PING, b"%d" % cut))
            assert client.read_response().status == 101
            assert client.read_frame().payload == b"%d" % cut


# Upgrades that are refused

@pytest.mark.parametrize("drop, extra, allowed", [
    (["sec-websocket-key"], [], (400,)),
    (["sec-websocket-key"], ["Sec-WebSocket-Key:"], (400,)),
    (["sec-websocket-key"], ["Sec-WebSocket-Key: short"], (400,)),
    (["sec-websocket-key"], ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"],
     (400,)),
    (["sec-websocket-key"], ["Sec-WebSocket-Key: dGhl!HNhbXBsZSBub25jZQ=="],
     (400,)),
    (["sec-websocket-key"], ["Sec-WebSocket-Key: " + "A" * 44], (400,)),
    ([], ["Sec-WebSocket-Key: " + wsraw.SAMPLE_KEY], (400,)),
    (["host"], [], (400,)),
    ([], ["Host: other"], (400,)),
    (["upgrade"], [], (400, 426)),
    (["upgrade"], ["Upgrade: h2c"], (400, 426)),
    (["connection"], [], (400, 426)),
    (["connection"], ["Connection: keep-alive"], (400, 426)),
    (["connection"], ["Connection: Upgraded"], (400, 426)),
])
def test_upgrade_that_lacks_something(server, drop, extra, allowed):
    data = upgrade_request(drop=drop, extra=extra)
    assert talk(server, data).status in allowed


@pytest.mark.parametrize("version", [None, "12", "8", "0", "14", "130",
                                     "13x", ""])
def test_other_websocket_version(server, version):
    extra = [] if version is None else ["Sec-WebSocket-Version: " + version]
    response = talk(server, upgrade_request(drop=["sec-websocket-version"],
                                            extra=extra))
    assert response.status in (400, 426)
    assert dict(response.headers)["sec-websocket-version"] == "13"


def test_upgrade_over_http_1_0(server):
    data = upgrade_request().replace(b"HTTP/1.1", b"HTTP/1.0")
    assert talk(server, data).status in (400, 426, 505)


# Bad requests

@pytest.mark.parametrize("data", [
    b"\x00\x01\x02\x03\r\n\r\n", b"hello\r\n\r\n", b"GET\r\n\r\n",
    b"GET /health\r\n\r\n", b" GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET  /health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /health HTTP/1.1 \r\nHost: x\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
    b"GET /health HTTP/1.1\r\n: y\r\nHost: x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\x01b\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nX y: b\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
    b"GET /he\x00alth HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /he alth HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /health HTTP/x.y\r\nHost: x\r\n\r\n",
    b"GET /health http/1.1\r\nHost: x\r\n\r\n",
    b"G(T /health HTTP/1.1\r\nHost: x\r\n\r\n",
])
def test_bad_request(server, data):
    assert talk(server, data).status == 400


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"])
def test_http_version_we_do_not_speak(server, version):
    data = lines("GET /health " + version, "Host: x")
    assert talk(server, data).status in (400, 505)


def test_http_1_0_probe(server):
    """Old load balancers ask like this."""
    response = talk(server, b"GET /health HTTP/1.0\r\n\r\n")
    assert response.status in (200, 400, 505)


def test_http_2_preface(server):
    data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    assert talk(server, data).status in (400, 405, 505)


@pytest.mark.parametrize("size", [9000, 20000])
def test_header_too_large(server, tls, size):
    data = lines("GET /health HTTP/1.1", "Host: x", "X: " + "a" * size)
    assert talk(server, data, tls).status == 431


def test_header_too_large_of_many_lines(server):
    data = lines("GET /health HTTP/1.1", "Host: x", *["X: y"] * 3000)
    assert talk(server, data).status == 431


def test_header_too_large_that_never_ends(server):
    with server.connect(tls=False) as client:
        client.send(b"GET /health HTTP/1.1\r\nX: " + b"a" * 9000)
        assert client.read_response(5).status == 431
        client.expect_eof()


def test_request_line_too_long(server):
    data = lines("GET /%s HTTP/1.1" % ("x" * 9000), "Host: x")
    assert talk(server, data).status in (414, 431)


def test_large_header_that_fits(server):
    data = lines("GET /health HTTP/1.1", "Host: x", "X: " + "a" * 7900)
    assert talk(server, data).status == 200


def test_second_request_is_not_answered(server):
    with server.connect(tls=False) as client:
        client.send(lines("GET /health HTTP/1.1", "Host: x") * 2)
        assert client.read_response().status == 200
        client.expect_eof()


def test_client_that_half_closes_gets_its_answer(server):
    with server.connect(tls=False) as client:
        client.send(lines("GET /health HTTP/1.1", "Host: x"))
        client.half_close()
        assert client.read_response().status == 200
        client.expect_eof()


def test_connection_without_a_byte(server):
    for _ in range(20):
        socket.create_connection(("127.0.0.1", server.plain_port)).close()
    assert server.get("/health", tls=False).status == 200


# Origin

def origin_status(server, origin, tls=False, host=None):
    data = upgrade_request(host=host or server.host(tls),
                           extra=["Origin: " + origin])
    return talk(server, data, tls).status


def test_own_origin(server, tls):
    scheme = "https" if tls else "http"
    assert origin_status(server, "%s://%s" % (scheme, server.host(tls)),
                         tls) == 101


def test_own_origin_by_address(server):
    host = "127.0.0.1:%d" % server.port
    assert origin_status(server, "https://" + host, True, host) == 101


@pytest.mark.parametrize("origin", [
    "https://evil.example", "null", "https://{host}.evil.example",
    "https://evil.example/{host}", "https://{host}@evil.example",
    "https://evil.example:{port}", "https://localhost:1", "file://",
    "https://localhost.evil.example:{port}", "{host}", "", "*",
    "https://xlocalhost:{port}", "https://localhost:{port}0",
    "https://localhost:{port} https://evil.example",
])
def test_foreign_origin(server, origin):
    text = origin.format(host=server.host(), port=server.port)
    assert origin_status(server, text, tls=True) in (400, 403)


def test_foreign_origin_is_403(server, tls):
    assert origin_status(server, "https://evil.example", tls) == 403
    assert origin_status(server, "null", tls) == 403


def test_two_origins(server):
    own = "http://" + server.host(False)
    data = upgrade_request(host=server.host(False), extra=[
        "Origin: " + own, "Origin: https://evil.example"])
    assert talk(server, data).status in (400, 403)


def test_allowed_origin(server_factory):
    server = server_factory("--allow-origin", "https://game.example",
                            rows=None)
    for tls in (True, False):
        assert origin_status(server, "https://game.example", tls) == 101
        for other in ("https://game.example:444", "http://game.example",
                      "https://game.example.evil.example",
                      "https://evil.example", "null", "https://game.exampl"):
            assert origin_status(server, other, tls) == 403
    own = "https://" + server.host()
    assert origin_status(server, own, tls=True) == 101


def test_origin_does_not_matter_for_health(server):
    data = lines("GET /health HTTP/1.1", "Host: x",
                 "Origin: https://evil.example")
    assert talk(server, data).status == 200
