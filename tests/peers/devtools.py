"""A headless Chromium, spoken to over its DevTools protocol."""

import asyncio
import json
import os
import pathlib
import signal
import subprocess
import time

import websockets

# Without these it looks for hosts of its maker's at every start.
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


class Browser:
    """A browser with a home and profile of its own in `home`."""

    def __init__(self, home):
        self.home = pathlib.Path(home)
        self.profile = self.home / "profile"
        self.process = None
        self.url = None

    def trust(self, ca_file):
        """Puts a CA into the store of this home; before start()."""
        store = self.home / ".pki" / "nssdb"
        store.mkdir(parents=True, exist_ok=True)
        certutil = ["certutil", "-d", "sql:%s" % store]
        subprocess.run([*certutil, "-N", "--empty-password"], check=True)
        subprocess.run([*certutil, "-A", "-t", "C,,", "-n", "test CA", "-i",
                        str(ca_file)], check=True)

    def start(self):
        with open(self.home / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["chromium", *QUIET, "--remote-debugging-port=0",
                 "--user-data-dir=%s" % self.profile, "about:blank"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "HOME": str(self.home)},
                start_new_session=True)
        port = self.profile / "DevToolsActivePort"
        end = time.monotonic() + 30
        while not port.exists() or port.read_text().count("\n") < 1:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.home / "log").read_text()[-1000:])
            time.sleep(0.05)
        number, path = port.read_text().split("\n")[:2]
        self.url = "ws://127.0.0.1:%s%s" % (number, path)

    def stop(self):
        if self.process is not None:
            # Its renderers are in its session.
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(20)

    def visit(self, url, html=None):
        """
        Opens a page (in its place: html, which gets the page's origin),
        waits for its #result; (what it says, the WebSocket errors).
        """
        return asyncio.run(asyncio.wait_for(self.visit_page(url, html), 30))

    async def visit_page(self, url, html):
        async with websockets.connect(self.url, max_size=None) as socket:
            tab = Tab(socket)
            await tab.open(url)
            if html:
                await tab.evaluate("document.open(); document.write(%s);"
                                   " document.close()" % json.dumps(html))
            text = ""
            while not text:
                await asyncio.sleep(0.02)
                text = await tab.evaluate(
                    "(document.getElementById('result') || {}).textContent")
            await tab.close()
            return json.loads(text), tab.errors


class Tab:
    """A tab, over a connection to the browser."""

    def __init__(self, socket):
        self.socket = socket
        self.number = 0
        self.session = self.target = None
        self.errors = []

    async def call(self, method, **params):
        self.number += 1
        await self.socket.send(json.dumps({
            "id": self.number, "method": method, "params": params,
            **({"sessionId": self.session} if self.session else {})}))
        while True:
            answer = json.loads(await self.socket.recv())
            if answer.get("method") == "Network.webSocketFrameError":
                self.errors.append(answer["params"]["errorMessage"])
            if answer.get("id") == self.number:
                assert "result" in answer, answer
                return answer["result"]

    async def open(self, url):
        made = await self.call("Target.createTarget", url="about:blank")
        self.target = made["targetId"]
        made = await self.call("Target.attachToTarget", flatten=True,
                               targetId=self.target)
        self.session = made["sessionId"]
        await self.call("Network.enable")
        made = await self.call("Page.navigate", url=url)
        assert "errorText" not in made, made

    async def evaluate(self, code):
        done = await self.call("Runtime.evaluate", expression=code)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def close(self):
        await self.call("Page.close")
