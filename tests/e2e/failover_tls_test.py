"""A standby takes over when both coordinators serve TLS, or mutual TLS, with tokens; workers and commands follow by themselves.

python3 failover_tls_test.py BUILD_FOLDER
"""

import re
import subprocess
import sys

from cluster import *
from fleet import free_port

programs = Programs(sys.argv[1], fake=True, task_ms=80)
TAKE_OVER_LIMIT = 15  # seconds


def documented(block: str) -> str:
    """The commands of docs/security.md after '<!-- test: BLOCK -->'."""
    text = (SOURCE / "docs" / "security.md").read_text(encoding="utf-8")
    return re.search(rf"<!-- test: {block} -->\n```sh\n(.*?)```", text, re.DOTALL).group(1)


def secrets(folder):
    """Certificates of one authority, and one token that may do all that this test does."""
    folder.mkdir()
    subprocess.run(["bash", "-euc", documented("certificates")], cwd=folder, check=True, capture_output=True,
                   env={**os.environ, "NAME": "localhost"})
    for name, text in (("token", "one-token-of-a-test"), ("tokens", "submit one-token-of-a-test anna\nwork another-token-of-a-test nodes\n"),
                       ("work.token", "another-token-of-a-test")):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)


class SecureCluster(Cluster):
    """As Cluster; its workers have a token of their own role."""

    def __init__(self, folder, postgres, name, is_mutual):
        keys = folder / f"keys-{name}"
        secrets(keys)
        serve = ["--tls-cert", keys / "server.pem", "--tls-key", keys / "server.key", "--tokens", keys / "tokens", "--allow-root", SOURCE]
        self.trust = ["--tls-ca", keys / "ca.pem"]
        self.certificate = ["--tls-cert", keys / "worker.pem", "--tls-key", keys / "worker.key"] if is_mutual else []
        if is_mutual:
            serve += ["--tls-client-ca", keys / "ca.pem"]
        self.token = ["--token-file", keys / "token"]
        super().__init__(programs, folder, postgres, name, workers=0, more=serve, caller=[*self.trust, *self.certificate, *self.token],
                         ports=(free_port(), free_port()))
        command = [programs.environment["ESPALIER_WORKER"], "--coordinator", self.addresses, "--artifacts", self.folder / "artifacts", *self.trust,
                   *self.certificate, "--token-file", keys / "work.token", "--allow-root", SOURCE]
        self.workers = [subprocess.Popen([str(word) for word in command], env=programs.environment, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL) for _ in range(4)]


def run_to_end(folder, postgres, name, is_mutual, disturb):
    cluster = SecureCluster(folder, postgres, name, is_mutual)
    try:
        cluster.submit()
        watch = cluster.watch()
        disturb(cluster)
        _, err = watch.communicate(timeout=200)
        check(watch.returncode == 0, f"the watch that was open all the time: {watch.returncode}: {err}")
        return cluster.masks(), cluster.tasks(), cluster.repeated()
    finally:
        cluster.end()


def take_over(folder, postgres, name, is_mutual):
    if not hasattr(take_over, "reference"):
        take_over.reference = run_to_end(folder, postgres, "undisturbed", True, lambda cluster: None)
    masks_expected, tasks_expected, repeated = take_over.reference
    check(repeated == 0, "nothing is done twice where nothing happens")
    seen = {}

    def kill(cluster):
        wait_until(lambda: cluster.committed() >= 25, 120, "25 outcomes are committed")
        began = time.monotonic()
        cluster.a.process.kill()
        seen["under_way"] = cluster.number("SELECT COUNT(*) FROM attempts WHERE ended = 0")
        wait_until(cluster.b.leads, 60, "the standby leads")
        seen["took"] = time.monotonic() - began
        refuse_strangers(cluster, is_mutual)

    found, tasks, repeated = run_to_end(folder, postgres, name, is_mutual, kill)
    print(f"      {'mutual TLS' if is_mutual else 'TLS'}: taken over after {seen['took']:.1f} s, tasks lost: {len(tasks_expected - tasks)}, evaluations "
          f"repeated: {repeated} (under way: {seen['under_way']}), same masks: {found == masks_expected}", flush=True)
    check(found == masks_expected and tasks == tasks_expected, "masks or tasks differ from those of the undisturbed run")
    check(repeated <= seen["under_way"], f"{repeated} evaluations repeated, {seen['under_way']} were under way")
    check(seen["took"] < TAKE_OVER_LIMIT, f"took over after {seen['took']:.1f} s")


def refuse_strangers(cluster, is_mutual):
    """Who leads now asks for the same as who led before."""
    def code(*flags):
        return programs.run("list", "--coordinator", cluster.b.address, *flags)[0]

    check(code(*cluster.caller) == 0, "whoever has everything is answered")
    check(code(*cluster.token) == 4, "plain text is refused")
    check(code(*cluster.trust, *cluster.certificate) == 4, "without a token")
    check(not is_mutual or code(*cluster.trust, *cluster.token) == 4, "without a certificate")


def test_a_standby_takes_over_under_tls(folder, postgres):
    take_over(folder, postgres, "tls", False)


def test_a_standby_takes_over_under_mutual_tls(folder, postgres):
    take_over(folder, postgres, "mutual", True)


if __name__ == "__main__":
    with Folder() as path:
        server = Postgres(path)
        try:
            main([test_a_standby_takes_over_under_tls, test_a_standby_takes_over_under_mutual_tls], path, server)
        finally:
            server.stop()
