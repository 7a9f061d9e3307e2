"""A headless Chromium for tests: open a page, wait for what it shows, read it, take a screenshot.

    with open_browser() as browser:
        page = browser.open("http://127.0.0.1:5000")
        page.wait_for_text("mimo-vl")
        assert page.evaluate("document.title") == "MLflow"
        assert page.errors == []

It speaks the DevTools protocol over a pair of pipes (--remote-debugging-pipe), so it needs no port and no library.
MIMO_CHROMIUM names the program; else chromium or google-chrome of the PATH. Without one the test is skipped.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# A page that draws for the first time on two busy cores.
DEADLINE_S = 60.0
_POLL_S = 0.1
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Where Chromium reads commands from and writes answers to.
_COMMANDS_FD, _ANSWERS_FD = 3, 4
_ARGUMENTS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--lang=en-US",
    # The pages are our own; in containers the sandbox has no user namespaces to build on.
    "--no-sandbox",
)


class BrowserError(AssertionError):
    """The page did not do what the test waits for, or the browser refused a command."""


@dataclass
class Page:
    """One tab. `errors`: uncaught exceptions and console errors; `requests`: addresses that it asked for, in order."""

    browser: Browser
    session: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def goto(self, url: str) -> None:
        """Load an address, wait for its load event."""
        self.errors.clear()
        self.requests.clear()
        found = self.call("Page.navigate", url=url)
        if found.get("errorText"):
            raise BrowserError(f"{url}: {found['errorText']}")
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression, as JSON has it; a promise is awaited."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return found["result"].get("value")

    def wait_for(self, expression: str, *, deadline_s: float = DEADLINE_S) -> Any:
        """Value of an expression as soon as it is true."""
        end_s = time.monotonic() + deadline_s
        while True:
            # While a page is being replaced, there is nothing to evaluate in.
            with contextlib.suppress(BrowserError):
                if value := self.evaluate(expression):
                    return value
            if time.monotonic() > end_s:
                raise BrowserError(f"not true within {deadline_s} s: {expression}\nThe page shows: {self._shown()}")
            time.sleep(_POLL_S)

    def text(self) -> str:
        """What a person can read, without what is hidden."""
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def wait_for_text(self, text: str, *, deadline_s: float = DEADLINE_S) -> None:
        self.wait_for(f"document.body && document.body.innerText.includes({json.dumps(text)})", deadline_s=deadline_s)

    def click(self, target: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Click the first element of a CSS selector; `text=...` = the innermost visible one with exactly this text."""
        self.wait_for(f"({_FIND})({json.dumps(target)}) !== null", deadline_s=deadline_s)
        self.evaluate(f"({_FIND})({json.dumps(target)}).scrollIntoView({{block: 'center'}})")
        x, y = self.evaluate(
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])(({_FIND})({json.dumps(target)}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def resize(self, width: int, height: int, *, is_phone: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone
        )

    def prefer_dark(self, is_dark: bool = True) -> None:
        value = "dark" if is_dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def screenshot(self, path: Path, *, is_full_page: bool = False) -> None:
        """PNG of what is visible, or of the whole page."""
        options: dict[str, Any] = {"captureBeyondViewport": True}
        if is_full_page:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", **options)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Any command of the DevTools protocol."""
        return self.browser.call(method, self.session, **parameters)

    def _shown(self) -> str:
        try:
            return self.text()[:2000]
        except BrowserError as error:
            return str(error)


# Elements that are not rendered have no client rectangles.
_FIND = """target => {
  if (!target.startsWith('text=')) return document.querySelector(target);
  const wanted = target.slice(5);
  const seen = [...document.querySelectorAll('body *')].filter(
    e => e.getClientRects().length && e.innerText !== undefined && e.innerText.trim() === wanted);
  return seen.length ? seen[seen.length - 1] : null;
}"""


class Browser:
    """A running Chromium. Its pages go with it."""

    def __init__(self, process: subprocess.Popen[bytes], commands: int, answers: int) -> None:
        self._process = process
        self._commands, self._answers = commands, answers
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.Queue[Mapping[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="browser", daemon=True)
        self._reader.start()

    def open(self, url: str = "about:blank", *, width: int = 1440, height: int = 1000) -> Page:
        """A new tab at this address."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        if url != "about:blank":
            page.goto(url)
        return page

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        number, answer = next(self._numbers), queue.Queue[Mapping[str, Any]]()
        self._waiting[number] = answer
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        with self._lock:
            _write_all(self._commands, json.dumps(message).encode() + b"\0")
        try:
            found = answer.get(timeout=DEADLINE_S)
        except queue.Empty:
            raise BrowserError(f"{method}: no answer within {DEADLINE_S} s") from None
        finally:
            del self._waiting[number]
        if "error" in found:
            raise BrowserError(f"{method}: {found['error'].get('message')}")
        result: dict[str, Any] = found.get("result", {})
        return result

    def close(self) -> None:
        with contextlib.suppress(BrowserError, OSError):
            self.call("Browser.close")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        # Its children are in its session; the group is ours alone.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(timeout=10)
        os.close(self._commands)
        os.close(self._answers)

    def _read(self) -> None:
        buffer = b""
        while chunk := os.read(self._answers, 1 << 16):
            *messages, buffer = (buffer + chunk).split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message: Mapping[str, Any]) -> None:
        if "id" in message:
            waiting = self._waiting.get(message["id"])
            if waiting is not None:
                waiting.put(message)
            return
        page = self._pages.get(message.get("sessionId", ""))
        if page is not None:
            _note(page, message["method"], message.get("params", {}))


def _note(page: Page, method: str, parameters: Mapping[str, Any]) -> None:
    if method == "Network.requestWillBeSent":
        page.requests.append(parameters["request"]["url"])
    elif method == "Runtime.exceptionThrown":
        details = parameters["exceptionDetails"]
        page.errors.append(details.get("exception", {}).get("description") or details["text"])
    elif method == "Runtime.consoleAPICalled" and parameters["type"] == "error":
        page.errors.append(" ".join(str(a.get("value", a.get("description", ""))) for a in parameters["args"]))
    elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
        entry = parameters["entry"]
        page.errors.append(f"{entry['text']} {entry.get('url', '')}".strip())


@contextlib.contextmanager
def open_browser(*arguments: str) -> Iterator[Browser]:
    """Skips the test where there is no Chromium. `arguments` are Chromium's."""
    program = os.environ.get("MIMO_CHROMIUM") or next((p for n in _NAMES if (p := shutil.which(n))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} in the PATH and MIMO_CHROMIUM is not set")
    with tempfile.TemporaryDirectory(prefix="mimo-browser-", ignore_cleanup_errors=True) as profile:
        browser = _start([program, *_ARGUMENTS, f"--user-data-dir={profile}", *arguments, "about:blank"], Path(profile))
        try:
            yield browser
        finally:
            browser.close()


# Puts the two inherited ends where Chromium looks for them; nothing else may be in between.
_HAND_OVER = (
    "import os, sys; a, b = int(sys.argv[1]), int(sys.argv[2]); "
    f"os.dup2(a, {_COMMANDS_FD}); os.dup2(b, {_ANSWERS_FD}); os.execv(sys.argv[3], sys.argv[3:])"
)


def _start(command: list[str], home: Path) -> Browser:
    commands_read, commands_write = os.pipe()
    answers_read, answers_write = os.pipe()
    # Numbers above both: dup2 must not close the second while it places the first.
    ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in (commands_read, answers_write)]
    with (home / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _HAND_OVER, *map(str, ends), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=ends,
            start_new_session=True,
            env={**os.environ, "HOME": str(home)},
        )
    for fd in (commands_read, answers_write, *ends):
        os.close(fd)
    return Browser(process, commands_write, answers_read)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
