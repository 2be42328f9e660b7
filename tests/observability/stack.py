"""A real Prometheus with this source's rules, and what it is asked: for the tests of boards and alerts."""

import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests" / "e2e"))
DASHBOARDS = sorted((SOURCE / "deploy" / "grafana" / "dashboards").glob("*.json"))
RULES = SOURCE / "deploy" / "prometheus"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url, token="", timeout=10):
    """Status and text."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


# Waiting a quarter of an hour for an alert is no test, so the test's Prometheus reads a copy of the rules with shorter times.
# For a healthy job (PATIENT) only ranges and "for" are shorter, and no threshold: how long a task waits, runs or stalls
# there is a matter of how busy this machine is, and only what the shipped rules would complain of is a fault. For the
# faults (HASTY), which last as long as the test makes them, thresholds are within their reach too.
PATIENT = {"[6h], 86400)": "[60s], 60)", "[30m:1m]": "[60s:1s]", "[1d]": "[120s]"}
HASTY = {
    "espalier_worker_progress_timestamp_seconds > 900": "espalier_worker_progress_timestamp_seconds > 8",
    "espalier_stagnation_generations >= 30": "espalier_stagnation_generations >= 2",
    ":p90_rate30m > 600": ":p90_rate30m > 2",
    "[15m])) > 30": "[15m])) > 2",
    **PATIENT,
    "[6h], 86400)": "[6h], 30)",
}


def shorten(text: str, is_hasty: bool) -> str:
    for long, short in (HASTY if is_hasty else PATIENT).items():
        if long in text:
            text = text.replace(long, short)
        else:
            assert "alert:" not in text, f"no rule has '{long}' any more: mend {__file__}"
    text = re.sub(r"for: \d+[smhd]", "for: 1s" if is_hasty else "for: 20s", text)
    return re.sub(r"\[\d+[mh]\]", "[20s]" if is_hasty else "[40s]", text)


def fill_variables(expression: str) -> str:
    """What Grafana does before it asks: everything selected, a scrape interval of a second."""
    for name, value in {"$__rate_interval": "10s", "$__range": "120s", "$job": ".+", "$instance": ".+", "$search": ".+"}.items():
        expression = expression.replace(name, value)
    return expression


def queries(board: dict):
    """(panel's title, expression) of every target."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


class Cards(http.server.BaseHTTPRequestHandler):
    """Stands in for dcgm-exporter, which wants a GPU: its series by their names, for one card."""

    values = {"DCGM_FI_DEV_GPU_UTIL": 97, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": 0.4, "DCGM_FI_DEV_FB_USED": 40960,
              "DCGM_FI_DEV_POWER_USAGE": 550, "DCGM_FI_DEV_GPU_TEMP": 60, "DCGM_FI_DEV_XID_ERRORS": 0, "DCGM_FI_DEV_ROW_REMAP_FAILURE": 0}

    def do_GET(self):
        body = "".join(f'# TYPE {name} gauge\n{name}{{gpu="0",Hostname="node"}} {value}\n' for name, value in self.values.items()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start_cards():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cards)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Prometheus:
    """Scrapes every second what `aim` says. `token`: a file with what the coordinators want."""

    def __init__(self, folder: pathlib.Path, token: pathlib.Path):
        self.folder = folder
        folder.mkdir()
        self._write_rules(is_hasty=False)
        jobs = ""
        for job in ("espalier-coordinator", "espalier-worker", "dcgm"):
            self.aim(job, [])
            jobs += f"  - job_name: {job}\n    file_sd_configs: [{{files: ['{folder}/{job}.json'], refresh_interval: 1s}}]\n"
            if job == "espalier-coordinator":
                jobs += f"    authorization: {{credentials_file: '{token}'}}\n"
        (folder / "prometheus.yaml").write_text("global: {scrape_interval: 1s, evaluation_interval: 1s, scrape_timeout: 1s}\n"
                                                f"rule_files: [recording.yaml, alerts.yaml]\nscrape_configs:\n{jobs}")
        subprocess.run(["promtool", "check", "config", folder / "prometheus.yaml"], check=True, capture_output=True)
        self.port = free_port()
        with open(folder / "log", "w") as log:
            self.process = subprocess.Popen(["prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
                                             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=log, stderr=log)

    def _write_rules(self, is_hasty):
        for name in ("recording.yaml", "alerts.yaml"):
            (self.folder / name).write_text(shorten((RULES / name).read_text(), is_hasty))

    def hasten(self):
        """From now on alerts need no patience: see HASTY."""
        self._write_rules(is_hasty=True)
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 30
        while '"duration":20' in json.dumps(self.ask("rules"), separators=(",", ":")):
            if time.monotonic() > end:
                raise AssertionError("Prometheus did not read its rules again")
            time.sleep(0.2)

    def aim(self, job, ports):
        path = self.folder / f"{job}.json"
        path.with_suffix(".new").write_text(json.dumps([{"targets": [f"127.0.0.1:{port}" for port in ports]}]))
        os.replace(path.with_suffix(".new"), path)

    def ask(self, path, **parameters):
        status, text = get(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        answer = json.loads(text)
        if status != 200 or answer["status"] != "success":
            raise AssertionError(f"Prometheus refuses {parameters}: {text}")
        return answer["data"]

    def is_ready(self):
        try:
            return get(f"http://127.0.0.1:{self.port}/-/ready", timeout=2)[0] == 200
        except OSError:
            return False

    def values(self, expression, seconds):
        """Finite samples of the last `seconds`."""
        now = time.time()
        found = self.ask("query_range", query=expression, start=now - seconds, end=now, step=1)["result"]
        return [value for series in found for _, value in series["values"] if value not in ("NaN", "+Inf", "-Inf")]

    def up(self, job):
        return [sample["value"][1] for sample in self.ask("query", query=f'up{{job="{job}"}}')["result"]]

    def firing(self):
        return {alert["labels"]["alertname"]: alert["annotations"]["summary"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}

    def fired(self, since):
        """Names of the alerts that fired at any time after `since`."""
        found = self.ask("query_range", query='ALERTS{alertstate="firing"}', start=since, end=time.time(), step=1)["result"]
        return {series["metric"]["alertname"] for series in found}

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def is_installed() -> bool:
    return shutil.which("prometheus") is not None and shutil.which("promtool") is not None


__all__ = ["Cards", "DASHBOARDS", "Prometheus", "RULES", "SOURCE", "fill_variables", "free_port", "get", "is_installed", "json", "os", "pathlib",
           "queries", "re", "signal", "start_cards", "subprocess", "sys", "time"]
