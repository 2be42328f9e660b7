"""Who gets in, and what is said: real programs with TLS, tokens and roots; nothing secret in anything that they print or serve.

python3 security_test.py BUILD_FOLDER
"""

import base64
import hashlib
import http.client
import re
import shutil
import socket
import ssl
import subprocess
import sys

from harness import *

BUILD = sys.argv[1]
programs = Programs(BUILD, fake=True)
CONTENT = "canary-content-71f3"  # in files that jobs name
PLACE = "canary-place-90c2"  # in the paths of jobs


def documented(block: str) -> str:
    """The commands of docs/security.md after '<!-- test: BLOCK -->'."""
    text = (SOURCE / "docs" / "security.md").read_text(encoding="utf-8")
    return re.search(rf"<!-- test: {block} -->\n```sh\n(.*?)```", text, re.DOTALL).group(1)


class Coordinator:
    def __init__(self, folder, *flags, listen="127.0.0.1:0", http="127.0.0.1:0"):
        self.log = folder / "coordinator.log"
        self.out = folder / "coordinator.out"
        ready = folder / "ready"
        ready.unlink(missing_ok=True)
        command = [BUILD + "/bin/espalier-coordinator", "--state", folder / "state", "--listen", listen, "--http", http, "--ready-file",
                   ready, "--log-level", "debug", *flags]
        with open(self.log, "w") as log, open(self.out, "w") as out:
            self.process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=log)
        wait_until(lambda: ready.exists() or self.process.poll() is not None, what="the coordinator starts")
        if self.process.poll() is None:
            self.port = int(ready.read_text().strip().rsplit(":", 1)[1])
            self.http = int(wait_until(lambda: re.search(r"http on \S+:(\d+)", self.out.read_text()), what="its HTTP port").group(1))

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=20)


def certificates(folder):
    subprocess.run(["bash", "-euc", documented("certificates")], cwd=folder, check=True, capture_output=True,
                   env={**os.environ, "NAME": "localhost"})


def private(path, text):
    path.touch(mode=0o600)
    path.write_text(text)


def get(port, path, token="", tls=False, is_browser=False):
    """Status and the whole answer, headers included."""
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("localhost", port, context=context) if tls else http.client.HTTPConnection("127.0.0.1", port)
    said = "Basic " + base64.b64encode(f"anybody:{token}".encode()).decode() if is_browser else f"Bearer {token}"
    connection.request("GET", path, headers={"Authorization": said} if token else {})
    answer = connection.getresponse()
    text = str(answer.getheaders()) + answer.read().decode()
    connection.close()
    return answer.status, text


def test_nothing_secret_is_printed_or_served():
    with Folder() as folder:
        certificates(folder)
        subprocess.run(["bash", "-euc", documented("token")], cwd=folder, check=True)  # makes worker.token and tokens
        tokens = {role: f"{role}-canary-token-{role * 2}" for role in ("submit", "read", "nobody")}
        tokens["work"] = (folder / "worker.token").read_text().strip()
        for role, token in tokens.items():
            private(folder / f"{role}.token", token + "\n")
        with open(folder / "tokens", "a") as file:
            file.write(f"submit {tokens['submit']} anna\nread {tokens['read']} grafana\n")
        root = folder / PLACE
        shutil.copytree(TINY, root / "model")
        shutil.copy(SAMPLES, root / "samples.npy")
        shutil.copytree(TINY, root / "broken")
        (root / "broken" / "config.json").write_text('{"model_type": ' + CONTENT + "}")
        (root / "garbage.npy").write_text(CONTENT * 10)
        (folder / "secret").write_text(CONTENT)
        (root / "escape").symlink_to(folder / "secret")

        coordinator = Coordinator(folder, "--tls-cert", folder / "server.pem", "--tls-key", folder / "server.key", "--tls-client-ca",
                                  folder / "ca.pem", "--tokens", folder / "tokens", "--allow-root", root)
        said = []
        security = ["--tls-ca", folder / "ca.pem", "--tls-cert", folder / "worker.pem", "--tls-key", folder / "worker.key"]
        address = ["--coordinator", f"localhost:{coordinator.port}"]

        def client(role, *arguments):
            code, out, err = programs.run(*arguments, *address, *security, "--token-file", folder / f"{role}.token")
            said.append(out + err)
            return code, out, err

        def submit(role, model, samples, *more):
            return client(role, "submit", "--model", root / model, "--tokens", root / samples, "--target", "60%", "--generations", "1", *more)

        worker_log = folder / "worker.log"
        with open(worker_log, "w") as log:
            worker = subprocess.Popen([str(part) for part in [
                BUILD + "/bin/espalier-fake-worker", *address, *security, "--artifacts", folder / "state" / "artifacts", "--token-file",
                folder / "work.token", "--log-level", "trace", "--allow-root", root, "--metrics-listen", "127.0.0.1:0",
                "--metrics-tokens", folder / "tokens"]], stdout=log, stderr=log)
        try:
            code, _, err = submit("submit", "model", "samples.npy", "--job-id", "a")
            check(code == 0, f"the job is taken: {err}")
            code, out, err = client("read", "watch", "a", "--format", "json")
            check(code == 0, f"the job succeeds: {err}")
            for command in (["get", "a"], ["list"], ["candidates", "a"], ["workers"], ["explain", "a"]):
                check(client("read", *command, "--format", "json")[0] == 0, f"a reader may {command}")
            for role, arguments, words in [
                    ("read", ["cancel", "a"], ["grafana", "submit"]), ("work", ["list"], ["gpu-nodes", "read"]), ("nobody", ["list"], ["token"])]:
                code, _, err = client(role, *arguments)
                check(code == 4 and all(word in err for word in words), f"{role} {arguments}: {code} {err}")
            for model, samples, field in [("broken", "samples.npy", "model_folder"), ("model", "garbage.npy", "tokens_path"),
                                          ("model", "escape", "tokens_path"), ("model", "../secret", "tokens_path")]:
                code, _, err = submit("submit", model, samples)
                check(code in (3, 4) and field in err, f"{model} {samples}: {code} {err}")
            # A token that is replaced while everything runs.
            old, tokens["submit2"] = tokens["submit"], "submit-canary-token-the-next-one"
            private(folder / "submit2.token", tokens["submit2"])
            (folder / "tokens").write_text((folder / "tokens").read_text().replace(old, tokens["submit2"]))
            wait_until(lambda: client("submit2", "list")[0] == 0, what="the new token counts")
            check(client("submit", "list")[0] == 4, "the old token is worth nothing")
            (folder / "tokens").write_text("rubbish " + tokens["submit2"] + "\n")
            wait_until(lambda: client("submit2", "list")[0] == 0 and "stay in force" in coordinator.log.read_text(), what="a broken file is said")
            pages = [get(coordinator.http, path, token) for path in ("/metrics", "/healthz", "/readyz", "/x") for token in ("", *tokens.values())]
            statuses = [status for status, _ in pages]
            shown = []  # of the pages, which may name a job's paths
            for path in ("/", "/jobs", "/jobs/a", "/jobs/a/candidates/first-parent", "/workers", "/compare?a=a"):
                for role, expected in (("read", 200), ("submit2", 200), ("work", 403), ("nobody", 401)):
                    for is_browser in (False, True):
                        status, text = get(coordinator.http, path, tokens[role], is_browser=is_browser)
                        check(status == expected, f"{path} for {role}, as a browser: {is_browser}: {status}")
                        check(expected == 200 or PLACE not in text, f"{path} shows {role} something")
                        shown.append(text)
                status, text = get(coordinator.http, path)
                check(status == 401 and "Basic realm" in text, f"{path} asks a browser for a token: {status}")
            check(statuses[0] == 401 and 200 in statuses and 403 in statuses and statuses[len(tokens) + 1] == 200, f"HTTP answers {statuses}")
            port = int(re.search(r"metrics on 127.0.0.1:(\d+)", worker_log.read_text()).group(1))
            for role, expected in (("read", 200), ("work", 403), ("nobody", 401)):
                pages.append(get(port, "/metrics", tokens[role]))
                check(pages[-1][0] == expected, f"the worker's metrics for {role}: {pages[-1][0]}")
            check("espalier_worker" in pages[-3][1], "the worker's metrics are numbers of the worker")
        finally:
            worker.terminate()
            worker.wait(timeout=20)
            ended = coordinator.stop()
        check(ended == 0, f"the coordinator ended with {ended}")
        log = coordinator.log.read_text()
        for line in ("CreateJob by anna from ipv", "CancelJob refused to ipv", "leased", "committed"):
            check(line in log, f"'{line}' is in the log at level debug")
        served = "".join(text for _, text in pages)
        logs = log + coordinator.out.read_text() + worker_log.read_text()
        everything = logs + served + "".join(shown) + "".join(said)
        keys = [(folder / name).read_text().splitlines()[2][:30] for name in ("server.key", "worker.key")]
        check(all(len(key) == 30 for key in keys), "there are keys to look for")
        for secret in [*tokens.values(), *(token[:len(token) // 2 + 4] for token in tokens.values()), *keys,
                       *(hashlib.sha256(token.encode()).hexdigest() for token in tokens.values())]:
            check(secret not in everything, f"a secret is printed or served: {secret}")
        check(CONTENT not in everything, "the content of a file is printed or served")
        check(PLACE not in logs + served, "a job's path is in a log or in the metrics")


def test_certificates_are_needed():
    with Folder() as folder:
        certificates(folder)
        (folder / "other").mkdir()
        certificates(folder / "other")
        subprocess.run(["bash", "-euc", documented("token") + "\nsed -i s/work/read/ tokens"], cwd=folder, check=True)
        coordinator = Coordinator(folder, "--tls-cert", folder / "server.pem", "--tls-key", folder / "server.key", "--tls-client-ca",
                                  folder / "ca.pem", "--tokens", folder / "tokens")
        try:
            def listing(host, *flags):
                return programs.run("list", "--coordinator", f"{host}:{coordinator.port}", "--token-file", folder / "worker.token", *flags)

            mine = ["--tls-ca", folder / "ca.pem", "--tls-cert", folder / "worker.pem", "--tls-key", folder / "worker.key"]
            code, _, err = listing("localhost", *mine)
            check(code == 0, err)
            check(listing("127.0.0.1", *mine)[0] == 4, "the certificate names localhost only")
            check(listing("127.0.0.1", *mine, "--tls-server-name", "localhost")[0] == 0, "that name was asked for")
            check(listing("localhost")[0] == 4, "plain text")
            check(listing("localhost", *mine[:2])[0] == 4, "no client certificate")
            check(listing("localhost", "--tls-ca", folder / "other" / "ca.pem", *mine[2:])[0] == 4, "another authority")
            check(listing("localhost", *mine[:2], "--tls-cert", folder / "other" / "worker.pem", "--tls-key", folder / "other" / "worker.key")[0] == 4,
                  "a certificate of another authority")
            code, _, err = listing("localhost", *mine[:5], folder / "other" / "worker.key")
            check(code == 3 and "does not belong" in err, f"a wrong key is named: {code} {err}")
            (folder / "worker.token").chmod(0o644)
            code, _, err = listing("localhost", *mine)
            check(code == 4 and "chmod 600" in err, f"a token that others may read: {code} {err}")
        finally:
            coordinator.stop()


def test_a_port_beyond_this_machine_needs_everything():
    with Folder() as folder:
        certificates(folder)
        subprocess.run(["bash", "-euc", documented("token")], cwd=folder, check=True)
        tls = ["--tls-cert", folder / "server.pem", "--tls-key", folder / "server.key"]
        tokens = ["--tokens", folder / "tokens"]
        roots = ["--allow-root", folder]
        # (listen, http, flags, what is missing)
        refused = [("0.0.0.0:0", "127.0.0.1:0", [], ["--listen", "--tls-cert", "--tokens", "--allow-root", "--insecure"]),
                   ("[::]:0", "127.0.0.1:0", tls + roots, ["--listen", "--tokens"]),
                   ("0.0.0.0:0", "127.0.0.1:0", tokens + roots, ["--listen", "--tls-cert"]),
                   ("0.0.0.0:0", "127.0.0.1:0", tls + tokens, ["--listen", "--allow-root"]),
                   ("127.0.0.1:0", "0.0.0.0:0", tokens, ["--http", "--tls-cert"]),
                   ("127.0.0.1:0", "0.0.0.0:0", tls, ["--http", "--tokens"])]
        for listen, web, flags, words in refused:
            coordinator = Coordinator(folder, *flags, listen=listen, http=web)
            code = coordinator.stop()
            log = coordinator.log.read_text()
            check(code == 3 and all(word in log for word in words), f"{listen} {web} {flags}: {code} {log}")
        for listen, web, flags in [("0.0.0.0:0", "0.0.0.0:0", tls + tokens + roots), ("0.0.0.0:0", "0.0.0.0:0", ["--insecure"])]:
            coordinator = Coordinator(folder, *flags, listen=listen, http=web)
            try:
                check(coordinator.process.poll() is None, f"{flags} is enough: {coordinator.log.read_text()}")
                check(get(coordinator.http, "/healthz", tls="--insecure" not in flags)[0] == 200, "the probe is answered")
                check(get(coordinator.http, "/metrics", tls="--insecure" not in flags)[0] == (200 if "--insecure" in flags else 401), "the metrics are not")
            finally:
                check(coordinator.stop() == 0, "it ends")
        check((folder / "state").stat().st_mode & 0o777 == 0o700, "the state folder is its owner's")
        check((folder / "state" / "token").stat().st_mode & 0o777 == 0o600, "so is the token")


def test_probes_of_a_standby_need_no_token():
    """It stands by for a database that does not answer: probes are answered, and the metrics want a token."""
    with Folder() as folder:
        subprocess.run(["bash", "-euc", documented("token") + "\nsed -i s/work/read/ tokens"], cwd=folder, check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with open(folder / "log", "w") as log:
            standby = subprocess.Popen([BUILD + "/bin/espalier-coordinator", "--state", str(folder / "state"), "--listen", f"unix:{folder}/c", "--http",
                                        f"127.0.0.1:{port}", "--tokens", str(folder / "tokens"), "--store",
                                        "host=127.0.0.1 port=1 dbname=none connect_timeout=2", "--artifacts", str(folder / "artifacts")],
                                       stdout=log, stderr=log)
        try:
            def answer(path, token=""):
                try:
                    return get(port, path, token)
                except ConnectionError:
                    return None

            alive = wait_until(lambda: standby.poll() is not None or answer("/healthz"), what="the standby's port")
            check(alive is not True, f"the standby ended: {(folder / 'log').read_text()}")
            check(alive[0] == 200, f"/healthz: {alive}")
            status, text = answer("/readyz")
            check(status == 503 and "standby" in text, f"/readyz: {status} {text}")
            check(answer("/metrics")[0] == 401, "metrics without a token")
            check(answer("/metrics", (folder / "worker.token").read_text().strip())[0] == 200, "metrics with a token")
        finally:
            standby.terminate()
            standby.wait(timeout=20)


if __name__ == "__main__":
    main([test_nothing_secret_is_printed_or_served, test_certificates_are_needed, test_a_port_beyond_this_machine_needs_everything,
          test_probes_of_a_standby_need_no_token])
