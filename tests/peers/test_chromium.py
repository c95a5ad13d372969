"""
Debian's Chromium, headless: a page from disk and pages from localhost open
the wss socket and log in. It trusts the server's CA as a user's browser
would, by its certificate store; no check is switched off.

A browser says where a page is from (Origin): only the server's own origin
and those of --allow-origin get in. A page from disk is from "null".
"""

import functools
import http.server
import json
import pathlib
import shutil
import tempfile
import threading
import urllib.parse

import pytest

import devtools
import e2e

HERE = pathlib.Path(__file__).resolve().parent
FROM_DISK = (HERE / "page.html").as_uri()
FORBIDDEN = "Unexpected response code: 403"
SUCCESS = {"type": "auth_success",
           "payload": {"username": "jane.doe", "token": e2e.VALID}}


def ask(token):
    return json.dumps({"type": "token_auth", "payload": {"token": token}})


GOOD = ask(e2e.VALID)


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def website():
    """page.html on http://localhost: the origin of somebody else's page."""
    handler = functools.partial(Handler, directory=str(HERE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield "http://localhost:%d" % site.server_port
        site.shutdown()


@pytest.fixture(scope="module")
def lenient(module_server, website):
    """The same store and CA, with the origins of the two pages allowed."""
    keeper = e2e.Keeper()
    yield keeper.start("--allow-origin", "null", "--allow-origin", website,
                       rows=None, data=module_server.data)
    keeper.finish()


@pytest.fixture(scope="module")
def browser(need, module_server):
    need(chromium="chromium", certutil="libnss3-tools")
    home = tempfile.mkdtemp(prefix="chromium-")
    browser = devtools.Browser(home)
    try:
        browser.trust(module_server.exported_ca("der"))
        try:
            browser.start()
        except RuntimeError as reason:
            pytest.skip("Chromium does not start: %s" % reason)
        yield browser
    finally:
        browser.stop()
        shutil.rmtree(home, ignore_errors=True)


def page(base, url, *send, **more):
    """Where page.html is, with what it has to do."""
    script = {"url": url, "send": send, "until": len(send),
              "close": [1000, ""], **more}
    return base + "#" + urllib.parse.quote(json.dumps(script))


def messages(seen):
    return [json.loads(text) for text in seen["messages"]]


def test_page_from_disk_logs_in(browser, lenient):
    seen, errors = browser.visit(page(FROM_DISK, lenient.url, GOOD))
    assert seen["origin"] == "null" and errors == []
    assert messages(seen) == [SUCCESS]
    assert seen["protocol"] == "" and seen["extensions"] == ""
    assert seen["clean"] and seen["code"] == 1000


def test_page_from_disk_needs_allowance(browser, server):
    seen, errors = browser.visit(page(FROM_DISK, server.url, GOOD))
    assert not seen["opened"] and seen["code"] == 1006
    assert len(errors) == 1 and FORBIDDEN in errors[0]


def test_foreign_page_is_refused(browser, server, website):
    seen, errors = browser.visit(page(website + "/page.html", server.url,
                                      GOOD))
    assert seen["origin"] == website and not seen["opened"]
    assert len(errors) == 1 and FORBIDDEN in errors[0]


def test_allowed_page_logs_in(browser, lenient, website):
    seen, errors = browser.visit(page(website + "/page.html", lenient.url,
                                      GOOD))
    assert seen["origin"] == website and errors == []
    assert messages(seen) == [SUCCESS]


def test_another_port_is_another_origin(browser, lenient, website):
    """127.0.0.1 is not localhost either: only what was allowed gets in."""
    address = website.replace("localhost", "127.0.0.1")
    seen, errors = browser.visit(page(address + "/page.html", lenient.url,
                                      GOOD))
    assert seen["origin"] == address and not seen["opened"]
    assert FORBIDDEN in errors[0]


def test_own_origin_logs_in(browser, server):
    """A page of the server's own, as a proxy in front of it would have."""
    base = "https://%s/health" % server.host()
    html = (HERE / "page.html").read_text()
    seen, errors = browser.visit(page(base, server.url, GOOD), html)
    assert seen["origin"] == "https://" + server.host() and errors == []
    assert messages(seen) == [SUCCESS]


def test_without_tls(browser, lenient):
    seen, errors = browser.visit(page(FROM_DISK, lenient.plain_url, GOOD))
    assert errors == [] and messages(seen) == [SUCCESS]


def test_refuses_a_stranger(browser, server_factory):
    """A server whose CA is not in the browser's store."""
    stranger = server_factory("--allow-origin", "null")
    seen, errors = browser.visit(page(FROM_DISK, stranger.url, GOOD))
    assert not seen["opened"] and seen["code"] == 1006
    assert len(errors) == 1 and "ERR_CERT_AUTHORITY_INVALID" in errors[0]


def test_pipelines_200_logins(browser, lenient):
    names = list(e2e.AWKWARD.items())
    players = [names[i * 5 % len(names)] for i in range(200)]
    seen, errors = browser.visit(page(
        FROM_DISK, lenient.url, *[ask(token) for token, _ in players]))
    assert errors == []
    assert messages(seen) == [
        {"type": "auth_success", "payload": {"username": name, "token": token}}
        for token, name in players]


@pytest.mark.parametrize("item, code", [
    ({"binary": GOOD}, 1003), ("x" * 4097, 1009)], ids=["binary", "big"])
def test_sees_our_close_code(browser, lenient, item, code):
    seen, _ = browser.visit(page(FROM_DISK, lenient.url, GOOD, item))
    assert messages(seen) == [SUCCESS]
    assert seen["clean"] and seen["code"] == code


def test_its_close_is_echoed(browser, lenient):
    seen, errors = browser.visit(page(FROM_DISK, lenient.url, GOOD,
                                      close=[4001, "bye"]))
    assert errors == [] and seen["clean"] and seen["code"] == 4001


def test_sees_it_going_away(browser, server_factory, lenient):
    """Its page is told when the server stops."""
    server = server_factory("--allow-origin", "null", plain=False,
                            rows=None, data=lenient.data)
    timer = threading.Timer(1.5, server.signal)
    timer.start()
    seen, _ = browser.visit(page(FROM_DISK, server.url, GOOD, close=None))
    timer.join()
    assert messages(seen) == [SUCCESS]
    assert seen["clean"] and seen["code"] == 1001
    assert server.wait() == 0
