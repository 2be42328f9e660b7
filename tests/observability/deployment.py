"""A coordinator behind TLS and tokens with workers that have /metrics, on small disks of their own: what the alerts watch."""

from stack import *

import harness
from hard_faults import SmallDisk

ROLES = ("read", "submit", "work")


def make_certificates(folder, days):
    """An authority and a certificate for this machine that ends in so many days."""
    extension = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for command in (["req", "-x509", *key, "-days", "30", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
                    ["req", "-new", *key, "-subj", "/CN=localhost", "-addext", extension, "-keyout", "server.key", "-out", "server.csr"],
                    ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", str(days),
                     "-copy_extensions", "copy", "-out", "server.pem"]):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)


class Deployment:
    def __init__(self, programs, folder: pathlib.Path):
        self.programs = programs
        self.folder = folder
        self.disks = [SmallDisk(folder / "state-disk", 24), SmallDisk(folder / "artifact-disk", 64)]
        self.state = folder / "state-disk" / "state"
        self.artifacts = folder / "artifact-disk" / "artifacts"
        make_certificates(folder, days=5)
        table = ""
        for role in ROLES:
            (folder / role).touch(mode=0o600)
            (folder / role).write_text(role * 16 + "\n")
            table += f"{role} {role * 16} {role}\n"
        (folder / "tokens").touch(mode=0o600)
        (folder / "tokens").write_text(table)
        self.port, self.http = free_port(), free_port()
        self.workers = {}  # by port of /metrics
        self.coordinator = None

    def refusal(self):
        return next((disk.refusal for disk in self.disks if disk.refusal), "")

    def environment(self, role):
        return dict(self.programs.environment, ESPALIER_COORDINATOR=f"127.0.0.1:{self.port}", ESPALIER_TLS_CA=str(self.folder / "ca.pem"),
                    ESPALIER_TOKEN_FILE=str(self.folder / role), OMP_NUM_THREADS="1")

    def start_coordinator(self, lease_seconds=3):
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = [self.programs.bin / "espalier-coordinator", "--state", self.state, "--artifacts", self.artifacts, "--listen",
                   f"127.0.0.1:{self.port}", "--http", f"127.0.0.1:{self.http}", "--tls-cert", self.folder / "server.pem", "--tls-key",
                   self.folder / "server.key", "--tokens", self.folder / "tokens", "--lease-seconds", lease_seconds, "--disk-reserve", "4MiB",
                   "--ready-file", ready]
        with open(self.folder / "coordinator.log", "a") as log:
            self.coordinator = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
        harness.wait_until(ready.exists, 60, f"the coordinator answers: {(self.folder / 'coordinator.log').read_text()[-800:]}")

    def stop_coordinator(self):
        self.coordinator.terminate()
        self.coordinator.wait(timeout=30)

    def start_worker(self, is_real=False, task_ms=50, **more):
        """The port of its /metrics."""
        port = free_port()
        program = self.programs.bin / ("espalier-worker" if is_real else "espalier-fake-worker")
        environment = {**self.environment("work"), "ESPALIER_FAKE_TASK_MS": str(task_ms), **more}
        with open(self.folder / f"worker-{port}.log", "w") as log:
            self.workers[port] = subprocess.Popen([str(program), "--coordinator", f"127.0.0.1:{self.port}", "--artifacts", str(self.artifacts),
                                                   "--metrics-listen", f"127.0.0.1:{port}", "--disk-patience-seconds", "60"], env=environment, stdout=log, stderr=log)
        return port

    def kill_worker(self, port):
        self.workers[port].kill()
        self.workers[port].wait()

    def run(self, *arguments, role="submit", timeout=60):
        done = subprocess.run([str(word) for word in (self.programs.bin / "espalier", *arguments)], env=self.environment(role), capture_output=True,
                              text=True, timeout=timeout)
        return done.returncode, done.stdout, done.stderr

    def submit(self, job, *more):
        code, _, err = self.run("submit", "--model", harness.TINY, "--tokens", harness.SAMPLES, "--job-id", job, *more)
        harness.check(code == 0, f"submit {job}: {code}: {err}")

    def state_of(self, job):
        code, out, _ = self.run("get", job, "--format", "json")
        return json.loads(out).get("state", "").upper() if code == 0 else ""

    def end(self):
        for process in [*self.workers.values(), self.coordinator]:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for disk in self.disks:
            disk.__exit__()
