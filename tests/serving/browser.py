"""A headless Chromium, driven by the WebDriver protocol (W3C), which is plain HTTP."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

PATIENCE = 60.0
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
OPTIONS = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --force-color-profile=srgb".split()


class Browser:
    """A context manager."""

    def __init__(self, width: int = 1200, height: int = 1500, *, dark: bool = False) -> None:
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            if found := re.search(r"on port (\d+)\.", line):
                self._root = f"http://127.0.0.1:{found[1]}"
                break
        looks = ["--blink-settings=preferredColorScheme=0"] if dark else []
        options = {"args": [*OPTIONS, f"--window-size={width},{height}", *looks], "binary": "/usr/bin/chromium"}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._root += f"/session/{made['sessionId']}"

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait()
            assert self._driver.stdout is not None
            self._driver.stdout.close()

    def open(self, address: str) -> None:
        self._call("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, selector: str) -> str:
        return self._call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def type(self, selector: str, text: str) -> None:
        self._call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        self._call("POST", f"/element/{self.find(selector)}/click", {})

    def point_at(self, selector: str) -> None:
        """Move the pointer over an element."""
        move = {"type": "pointerMove", "duration": 0, "origin": {ELEMENT: self.find(selector)}, "x": 0, "y": 0}
        self._call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [move]}]})

    def text(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def until(self, holds: Callable[[], Any]) -> Any:
        """Wait until something is true, and return it."""
        deadline = time.monotonic() + PATIENCE
        while not (found := holds()):
            assert time.monotonic() < deadline, "this does not happen"
            time.sleep(0.02)
        return found

    def complaints(self) -> list[str]:
        """What the browser has written to its console: errors and breaches of the policy."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def picture(self) -> bytes:
        """A screenshot, as PNG."""
        return base64.b64decode(self._call("GET", "/screenshot"))

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._root + path, data, {"Content-Type": "application/json"}, method=method)
        with urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)["value"]
