"""What deploy/kubernetes would start, started here: two coordinators on a real PostgreSQL and a worker, with the arguments of the
manifests, addresses and mounted folders of this machine in place of the pods'.

python3 pods_test.py BUILD_FOLDER     exit code 77: skipped, with the reason

As root, because the pods' user (10001) reads secrets that belong to root and to its group.
"""

import json
import os
import pathlib
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[2]
OURS = SOURCE / ".deps" / "deploy" / "bin" / "python"
sys.path[:0] = [str(SOURCE / "tests" / folder) for folder in ("e2e", "observability")]

try:
    import yaml
except ImportError:
    if OURS.exists() and pathlib.Path(sys.prefix) != OURS.parent.parent:
        sys.exit(subprocess.run([str(OURS), *sys.argv], check=False).returncode)
    print("SKIPPED: no PyYAML; tools/setup.sh --full installs it (tests/deploy/requirements.txt)")
    sys.exit(77)

import harness
from cluster import Postgres
from deployment import make_certificates
from stack import free_port

check = harness.check
USER = 10001


def container_of(name):
    for document in yaml.safe_load_all((SOURCE / "deploy" / "kubernetes" / name).read_text()):
        if document["kind"] in ("Deployment", "StatefulSet"):
            return document["spec"]["template"]["spec"]["containers"][0]
    raise AssertionError(name)


class Pods:
    def __init__(self, build, folder, store):
        self.build, self.folder, self.store = pathlib.Path(build), folder, store
        self.grpc, self.http, self.metrics = [free_port(), free_port()], [free_port(), free_port()], free_port()
        self.processes = []
        self._write_secrets()

    def _write_secrets(self):
        """As they are mounted: of root, 0440."""
        made = self.folder / "made"
        made.mkdir()
        make_certificates(made, days=5)
        files = {"tls/tls.crt": "server.pem", "tls/tls.key": "server.key", "tls/ca.crt": "ca.pem", "metrics/tls.crt": "server.pem",
                 "metrics/tls.key": "server.key"}
        texts = {path: (made / name).read_text() for path, name in files.items()}
        texts["tokens/tokens"] = "".join(f"{role} {role * 16} {role}\n" for role in ("submit", "read", "work"))
        texts["metrics/tokens"] = f"read {'read' * 16} prometheus\n"
        texts["token/token"] = "work" * 16 + "\n"
        (self.folder / "submit.token").touch(mode=0o600)
        (self.folder / "submit.token").write_text("submit" * 16 + "\n")
        for path, text in texts.items():
            (self.folder / path).parent.mkdir(exist_ok=True)
            (self.folder / path).touch(mode=0o600)
            (self.folder / path).write_text(text)
            os.chown(self.folder / path, 0, USER)
            (self.folder / path).chmod(0o440)
        for name in ("state0", "state1", "artifacts"):
            (self.folder / name).mkdir(mode=0o700)
            os.chown(self.folder / name, USER, USER)

    def arguments(self, container, turn):
        here = {"/etc/espalier": str(self.folder), "/var/lib/espalier": str(self.folder / f"state{turn}"), "/artifacts": str(self.folder / "artifacts"),
                "/models": str(SOURCE / "examples"), "postgresql://espalier@espalier-postgres/espalier": self.store, "0.0.0.0:7443": f"0.0.0.0:{self.grpc[turn]}",
                "0.0.0.0:8443": f"0.0.0.0:{self.http[turn]}", "0.0.0.0:7091": f"0.0.0.0:{self.metrics}", "--device=cuda": "--device=cpu",
                "$(POD_NAME).espalier-coordinator.espalier.svc:7443": f"127.0.0.1:{self.grpc[turn]}"}
        for number, port in enumerate(self.grpc):
            here[f"espalier-coordinator-{number}.espalier-coordinator.espalier.svc:7443"] = f"127.0.0.1:{port}"
        used = "|".join(map(re.escape, here))
        return [re.sub(used, lambda found: here[found.group()], argument) for argument in container["args"]]

    def start(self, container, turn=0):
        name = f"{container['name']}{turn}"
        command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
                   str(self.build / "bin" / container["image"]), *self.arguments(container, turn)]
        with open(self.folder / f"{name}.log", "w") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ, PGPASSWORD="unused", OMP_NUM_THREADS="1")))

    def get(self, port, path, token=""):
        trusted = ssl.create_default_context(cafile=str(self.folder / "tls/ca.crt"))
        request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=10, context=trusted) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def logs(self):
        return "\n".join(path.read_text()[-600:] for path in self.folder.glob("*.log"))

    def workers(self):
        command = [self.build / "bin" / "espalier", "workers", "--format", "json", "--coordinator", ",".join(f"127.0.0.1:{port}" for port in self.grpc),
                   "--tls-ca", self.folder / "tls/ca.crt", "--token-file", self.folder / "submit.token"]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout) if done.returncode == 0 else []

    def end(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_the_pods_commands_serve_each_other(folder, build, postgres):
    pods = Pods(build, folder, postgres.new_database("pods"))
    coordinator, worker = container_of("coordinator.yaml"), container_of("workers.yaml")
    try:
        for turn in range(2):
            pods.start(coordinator, turn)
        pods.start(worker)
        harness.wait_until(lambda: all(pods.get(port, coordinator["livenessProbe"]["httpGet"]["path"]) == 200 for port in pods.http), 60,
                           "both coordinators are alive")
        harness.wait_until(lambda: sorted(pods.get(port, coordinator["readinessProbe"]["httpGet"]["path"]) for port in pods.http) == [200, 503], 60,
                           "one of them is ready, the other stands by")
        harness.wait_until(lambda: pods.get(pods.metrics, worker["livenessProbe"]["httpGet"]["path"]) == 200, 60, "the worker is alive")
        harness.wait_until(lambda: len(pods.workers()) == 1, 60, "the worker has found the one that leads")
        found = [pods.get(pods.metrics, "/metrics", token) for token in ("", "work" * 16, "read" * 16)]
        check(found == [401, 403, 200] or found == [401, 401, 200], f"/metrics of the worker without, with a wrong and with the right token: {found}")
        print(f"      two coordinators (ready: {[pods.get(port, '/readyz') for port in pods.http]}), {len(pods.workers())} worker, its /metrics: {found}",
              flush=True)
        told = [line for line in pods.logs().splitlines() if "standing by; the leader is at 127.0.0.1:" in line]
        check(told, f"the standby does not know where the leader can be reached:\n{pods.logs()}")
        first = next(turn for turn in range(2) if pods.get(pods.http[turn], "/readyz") == 200)
        began = time.monotonic()
        pods.processes[first].kill()
        harness.wait_until(lambda: pods.get(pods.http[1 - first], "/readyz") == 200, 60, "the other one leads")
        harness.wait_until(lambda: len(pods.workers()) == 1, 60, "the worker follows")
        print(f"      the one that led was killed: the other one leads and has the worker after {time.monotonic() - began:.1f} s", flush=True)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{pods.logs()}") from error
    finally:
        pods.end()


if __name__ == "__main__":
    if os.getuid() != 0:
        print("SKIPPED: needs root, to give files to another user")
        sys.exit(77)
    with harness.Folder() as path:
        server = Postgres(path)
        try:
            harness.main([test_the_pods_commands_serve_each_other], path, sys.argv[1], server)
        finally:
            server.stop()
