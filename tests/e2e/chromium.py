"""A headless Chromium, driven over its pipe (DevTools protocol, no other package): opens pages, measures and pictures them."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import time

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def find_chromium():
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


class Chromium:
    def __init__(self, program, folder: pathlib.Path):
        # It reads commands from descriptor 3 and writes answers to 4, each a JSON text that ends with a zero byte.
        command_read, self.commands = os.pipe()
        self.answers, answer_write = os.pipe()
        flags = ["--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run", "--disable-extensions",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
                 "--disable-dev-shm-usage", f"--user-data-dir={folder}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # it refuses to be root with one; it sees pages of this test only

        def wire():
            # Through high numbers, so that none of the two is overwritten before it is moved.
            os.dup2(command_read, 103)
            os.dup2(answer_write, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        self.process = subprocess.Popen([program, *flags], preexec_fn=wire, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)}, close_fds=False)
        os.close(command_read)
        os.close(answer_write)
        self.number = 0
        self.buffer = b""
        self.complaints = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Log", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method, timeout=60, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if hasattr(self, "session"):
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        return self.wait_for(lambda answer: answer.get("id") == self.number, timeout)

    def wait_for(self, is_it, timeout=60):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            while b"\0" in self.buffer:
                text, self.buffer = self.buffer.split(b"\0", 1)
                answer = json.loads(text)
                if answer.get("method") == "Log.entryAdded":
                    self.complaints.append(answer["params"]["entry"]["text"])
                if answer.get("method") == "Runtime.exceptionThrown":
                    self.complaints.append(str(answer["params"]["exceptionDetails"]))
                if is_it(answer):
                    if "error" in answer:
                        raise AssertionError(f"Chromium: {answer['error']}")
                    return answer.get("result", {})
            piece = os.read(self.answers, 1 << 20)
            if not piece:
                raise AssertionError("Chromium has ended")
            self.buffer += piece
        raise AssertionError("Chromium does not answer")

    def headers(self, **headers):
        self.call("Network.setExtraHTTPHeaders", headers=headers)

    def open(self, url, width, is_dark):
        """Loads a page; its size in CSS pixels."""
        is_phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=2 if is_phone else 1, mobile=is_phone)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}])
        self.call("Page.navigate", url=url)
        self.wait_for(lambda answer: answer.get("method") == "Page.loadEventFired")
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return size["width"], size["height"]

    def evaluate(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, path: pathlib.Path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(data))

    def end(self):
        for descriptor in (self.commands, self.answers):
            os.close(descriptor)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
