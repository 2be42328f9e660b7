"""deploy/docker without a daemon: the instructions of a Dockerfile carried out in a bare Debian root, then the program
started there as the file says: its user, no capabilities, no new privileges, a read-only root.

python3 docker_test.py BUILD_FOLDER [coordinator] [worker]     exit code 77: skipped, with the reason

BUILD_FOLDER/espalier-bundle.tar.xz is what `make bundle` made. The worker's root takes 5 GB.
"""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
KEPT = ("PIP_", "SSL_CERT", "REQUESTS_CA", "CURL_CA", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY")


def run(*command, **options):
    process = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if process.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {process.returncode}: {process.stdout[-1500:]}{process.stderr[-1500:]}")
    return process.stdout


def reason_to_skip(build):
    if os.getuid() != 0:
        return "needs root"
    if shutil.which("debootstrap") is None:
        return "needs debootstrap (tools/setup.sh --full)"
    if not (build / "espalier-bundle.tar.xz").exists():
        return "needs the bundle: make bundle"
    return ""


def mirror():
    """This machine's own package source."""
    sources = pathlib.Path("/etc/apt/sources.list.d/debian.sources")
    if sources.exists():
        return next(line.split()[1] for line in sources.read_text().splitlines() if line.startswith("URIs:"))
    return next(line.split()[1] for line in pathlib.Path("/etc/apt/sources.list").read_text().splitlines() if line.startswith("deb "))


class BareRoot:
    """What debian:12-slim is, and how this machine reaches its packages."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder) / "root"
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root",
                            "DEBIAN_FRONTEND": "noninteractive", **{key: value for key, value in os.environ.items() if key.startswith(KEPT)}}

    def __enter__(self):
        run("debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", self.root, mirror())
        (self.root / "etc/apt/sources.list").unlink(missing_ok=True)
        for folder, pattern in (("etc/apt/sources.list.d", "*.sources"), ("etc/apt/apt.conf.d", "99*")):
            for path in pathlib.Path("/", folder).glob(pattern):
                shutil.copy(path, self.root / folder)
        for name in ("etc/pip.conf", "etc/resolv.conf", "etc/hosts"):
            if pathlib.Path("/", name).exists():
                shutil.copy(pathlib.Path("/", name), self.root / name)
        for name in ("etc/ssl/certs", "usr/share/ca-certificates", "usr/local/share/ca-certificates"):
            if pathlib.Path("/", name).exists():
                (self.root / name).mkdir(parents=True, exist_ok=True)
                run("cp", "-r", "--remove-destination", f"/{name}/.", self.root / name)
        run("mount", "-t", "proc", "proc", self.root / "proc")
        run("mount", "--bind", "/dev", self.root / "dev")
        return self

    def __exit__(self, *_):
        for name in ("dev", "proc"):
            subprocess.run(["umount", "-l", str(self.root / name)], check=False, capture_output=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def sh(self, line):
        return run("chroot", self.root, "/bin/sh", "-c", line, env=self.environment, timeout=1500)


def instructions(path):
    text = path.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def build_image(image, dockerfile, context):
    """What a daemon would do. Returns user, entry point."""
    user, entry = "", []
    for word, rest in instructions(dockerfile):
        if word == "FROM":
            assert rest == "debian:12-slim", rest
        elif word == "RUN":
            image.sh(rest)
        elif word == "COPY":
            source, target = shlex.split(rest)
            shutil.copy(context / source, image.root / target.lstrip("/"))
        elif word == "ENV":
            key, _, value = rest.partition("=")
            image.environment[key] = value
        elif word == "USER":
            user = rest
        elif word == "ENTRYPOINT":
            entry = json.loads(rest)
        elif word not in ("CMD", "EXPOSE", "VOLUME", "STOPSIGNAL"):
            raise AssertionError(f"{dockerfile.name}: {word} is not known to this test")
    return user, entry


START = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
mkdir -p "$1/var/lib/espalier"
mount -t tmpfs -o mode=0700,uid=10001,gid=10001 tmpfs "$1/var/lib/espalier"
mount -o remount,bind,ro "$1"
root=$1; user=$2; shift 2
exec setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs chroot_as "$root" "$@"
"""


def start(image, user, command):
    """Runs a command as a container with --read-only, --cap-drop ALL and no-new-privileges would."""
    # Entering the root needs the capability that is then dropped, so setpriv of the root itself comes after chroot.
    script = START.replace('exec setpriv', 'exec chroot "$root" setpriv').replace(' chroot_as "$root"', "")
    return run("unshare", "--mount", "--pid", "--fork", "bash", "-c", script, "start", image.root, user, *command, env=image.environment, timeout=120)


def test_coordinator(build):
    with tempfile.TemporaryDirectory(prefix="esp-docker-") as folder, BareRoot(folder) as image:
        user, entry = build_image(image, SOURCE / "deploy/docker/coordinator.Dockerfile", build)
        assert user == "10001:10001", user
        print("      " + start(image, user, [*entry, "--version"]).strip(), flush=True)
        seen = start(image, user, ["sh", "-c", "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; touch /opt/x 2>&1 || true"])
        print("      " + " ".join(seen.split()), flush=True)
        assert seen.split()[0] == "10001" and "Read-only file system" in seen, seen
        assert "CapEff:\t0000000000000000" in seen and "CapBnd:\t0000000000000000" in seen and "NoNewPrivs:\t1" in seen, seen
        served = start(image, user, ["sh", "-c", f"{entry[0]} --state /var/lib/espalier --listen unix:/tmp/c --ready-file /tmp/ready & "
                                     "for i in $(seq 100); do [ -e /tmp/ready ] && break; sleep 0.1; done; "
                                     "/opt/espalier/bin/espalier list --coordinator unix:/tmp/c && kill -TERM $! && wait $! && echo stopped"])
        assert "stopped" in served, served
        print("      it serves and stops with 0", flush=True)


def test_worker(build):
    with tempfile.TemporaryDirectory(prefix="esp-docker-") as folder, BareRoot(folder) as image:
        context = pathlib.Path(folder) / "context"
        context.mkdir()
        for path in (build / "espalier-bundle.tar.xz", SOURCE / "tools/requirements.lock"):
            shutil.copy(path, context)
        user, entry = build_image(image, SOURCE / "deploy/docker/worker.Dockerfile", context)
        print("      " + start(image, user, [*entry, "--version"]).strip(), flush=True)
        shutil.copytree(SOURCE / "examples/tiny", image.root / "opt/tiny")
        shutil.copy(SOURCE / "examples/tiny-samples.npy", image.root / "opt")
        found = json.loads(start(image, user, [*entry, "evaluate", "/opt/tiny", "--tokens", "/opt/tiny-samples.npy", "--windows", "4"]))
        assert 1 < found["perplexity"] < 100, found
        print(f"      perplexity of the tiny model in it: {found['perplexity']:.2f}", flush=True)


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1]).resolve()
    if reason := reason_to_skip(folder):
        print(f"SKIPPED: {reason}")
        sys.exit(77)
    for name in sys.argv[2:] or ["coordinator", "worker"]:
        {"coordinator": test_coordinator, "worker": test_worker}[name](folder)
        print(f"ok    {name}", flush=True)
