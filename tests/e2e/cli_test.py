"""The command line against a real coordinator and the engine without tensors: formats, tables, watch on a terminal, explain, doctor,
completion in a real bash, the manual page.

python3 cli_test.py BUILD_FOLDER [SCREEN_FILE]   SCREEN_FILE gets the bytes that `watch` wrote to its terminal; two pictures of
them, in the midst of the search and at its end, are kept in BUILD_FOLDER/pages
"""

import fcntl
import json
import pathlib
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios

import terminal_picture
from harness import *

programs = Programs(sys.argv[1], fake=True, task_ms=40)
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Service:
    """A coordinator and a worker, for all tests."""

    def __init__(self, folder):
        self.folder = folder
        self.address = f"unix:{folder}/c"
        self.processes = [self.start("espalier-coordinator", "--listen", self.address, "--state", folder / "s", "--artifacts", folder / "a",
                                     "--lease-seconds", "5")]
        wait_until(lambda: self.run("list")[0] == 0, what="the coordinator answers")

    def start(self, program, *arguments):
        return subprocess.Popen([str(programs.bin / program), *map(str, arguments)], env=programs.environment, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def start_worker(self):
        self.processes.append(self.start("espalier-fake-worker", "--coordinator", self.address, "--artifacts", self.folder / "a"))

    def run(self, *arguments):
        return programs.run(*arguments, "--coordinator", self.address)

    def submit(self, name, *more):
        code, out, err = self.run("submit", "--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--head-granularity", "head",
                                  "--generations", "4", "--job-id", name, *more)
        check(code == 0, f"{code}: {out}{err}")

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(timeout=20)


def on_terminal(columns, rows, *arguments, environment=None, seconds=60):
    """Exit code and everything that the program wrote to a terminal of that size."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(str(programs.bin / "espalier"), ["espalier", *map(str, arguments)], {**programs.environment, "TERM": "xterm", **(environment or {})})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    written = b""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:
            break
        if not piece:
            break
        written += piece
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), written


def test_a_mistyped_word_gets_the_one_that_was_meant(service):
    for arguments, code, meant in [(["wacth", "first"], 2, "'watch'"), (["watch", "first", "--fromat", "json"], 2, "'--format'"),
                                   (["list", "--format", "jsn"], 2, "'json'"), (["get", "frist", "--coordinator", service.address], 3, "'first'"),
                                   (["watch", "frist", "--coordinator", service.address], 3, "'first'"),
                                   (["explain", "jobs/frist", "--coordinator", service.address], 3, "'first'"),
                                   (["run", "--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--output", service.folder / "o",
                                     "--preset", "balnced"], 3, "'balanced'"), (["fleet", "upp"], 2, "'up'")]:
        returned, out, err = programs.run(*arguments)
        check(returned == code and f"did you mean {meant}?" in err and not out, f"{arguments}: {returned}: {out}{err}")


def test_watch_on_a_terminal_is_a_live_screen(service):
    service.start_worker()
    code, written = on_terminal(110, 34, "watch", "first", "--coordinator", service.address)
    text = written.decode()
    if len(sys.argv) > 2:
        open(sys.argv[2], "wb").write(written)
    check(code == 0, f"{code}: {text[-500:]}")
    check(text.count("\x1b[?1049h") == 1 and text.count("\x1b[?1049l") == 1 and text.endswith("\n"), "it enters the second screen and leaves it")
    screens, after = text.split("\x1b[?1049l")
    frames = [ESCAPE.sub("", frame) for frame in screens.split("\x1b[H")[1:]]
    check(len(frames) > 5, f"only {len(frames)} frames")
    shown = "\n".join(frames)
    for part in ("jobs/first", "time left", "generations more", "stage  candidates", "best fitness", "fitness", "1 worker: 1 busy", "█", "tokens", "±"):
        check(part in shown, f"'{part}' is never shown: {frames[-1]}")
    for frame in frames:
        lines = frame.split("\r\n")
        check(len(lines) <= 34 and all(len(line) <= 110 for line in lines), f"a frame does not fit: {frame}")
    pictures = pathlib.Path(sys.argv[1]) / "pages"
    drawn = screens.split("\x1b[H")[1:]
    midst = [frame for frame in drawn if "█" in frame and "±" in frame and "2 " in frame]
    terminal_picture.picture(midst[len(midst) * 2 // 3], 110, pictures / "watch-running.svg")
    terminal_picture.picture(after, 110, pictures / "watch-ended.svg")
    for name in ("watch-running.svg", "watch-ended.svg"):
        drawn_text = "".join(re.findall(r">([^<]*)</text>", (pictures / name).read_text())).replace("\u00a0", " ")
        check("first" in drawn_text and "\x1b" not in drawn_text, f"{name}: {drawn_text}")
    check("succeeded" in after and "searched" in after, f"the result stands on the ordinary screen: {after}")


def test_run_on_a_terminal_writes_one_line_again_and_again(service):
    code, written = on_terminal(70, 30, "run", "--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--head-granularity", "head",
                                "--generations", "2", "--workers", "1", "--output", service.folder / "of-run")
    check(code == 0, f"{code}: {written[-500:]}")
    lines = written.decode().split("\r\n")
    live = [state for line in lines for state in line.split("\r\x1b[K")[:-1]]  # each is erased by what follows it
    check(len(live) > 10 and all(len(state) < 70 for state in live), f"no live line, or one that does not fit: {live}")
    for part in ("level bank  ", "scoring units  ", "search  generation 1/2  stage 1/3  ", "search  generation 2/2  ", "/16 tasks", "best ", " ± ",
                 "s left", "recovery and export  "):
        check(any(part in state for state in live), f"'{part}' is never shown: {live}")
    kept = [ESCAPE.sub("", line.split("\r\x1b[K")[-1]) for line in lines]
    check([line.split("  ")[0] for line in kept if "  fitness " in line] == ["generation 1", "generation 2"],
          f"the generations' lines do not stay: {kept}")
    check(not any(line.startswith(("level bank", "search  ", "scoring units", "recovery", "done")) for line in kept), f"a live line stays: {kept}")
    check(any(line.startswith("searched ") for line in kept) and kept[0] == "starting 1 worker", f"{kept}")


def test_watch_without_a_terminal_is_a_line_for_each_change(service):
    service.submit("second", "--seed", "9")
    code, out, err = service.run("watch", "second")
    check(code == 0 and "\x1b" not in out + err, f"{code}: {err}")
    lines = err.splitlines()
    check(any(line.startswith("search  generation 1/4") for line in lines) and any(line.startswith("generation 4  fitness") for line in lines), err)
    code, out, err = service.run("watch")  # all of them: nothing is active any more
    check(code == 0 and re.search(r"\d\d:\d\d:\d\d  jobs/second  ", err), f"{code}: {err}")


def test_formats_say_the_same(service):
    import yaml

    for arguments, names in [(["list"], ["jobs/second", "jobs/first"]), (["get", "first"], ["jobs/first"]), (["workers"], None),
                             (["candidates", "first"], None), (["explain", "first"], ["first"]),
                             (["inspect", TINY], [str(TINY)])]:
        printed = {}
        for form in ("table", "json", "yaml", "name"):
            remote = [] if arguments[0] == "inspect" else ["--coordinator", service.address]
            code, printed[form], err = programs.run(*arguments, *remote, "--format", form)
            check(code == 0 and "\x1b" not in printed[form], f"{arguments} {form}: {code}: {err}")
        value = json.loads(printed["json"])
        if arguments[0] not in ("workers",):  # they change meanwhile
            check(yaml.safe_load(printed["yaml"]) == value, f"{arguments}: yaml differs from json")
        if names is None:
            names = [item["name"] for item in value]
        check(printed["name"].split() == names, f"{arguments}: {printed['name']}")
        check(printed["table"], f"{arguments}: an empty table")


def test_colours_and_widths_follow_the_terminal(service):
    remote = ["--coordinator", service.address]
    code, written = on_terminal(70, 24, "list", *remote)
    check(code == 0 and b"\x1b[32msucceeded\x1b[0m" in written, f"{code}: {written}")
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        code, written = on_terminal(70, 24, "list", *remote, environment=environment)
        check(code == 0 and b"\x1b" not in written, f"{environment}: {written}")
    for columns in (120, 100, 90):
        code, written = on_terminal(columns, 24, "candidates", "first", *remote, environment={"NO_COLOR": "1"})
        check(code == 0 and all(len(line) <= columns for line in written.decode().splitlines()), f"{columns}: {written.decode()[:500]}")
    code, written = on_terminal(40, 24, "candidates", "first", *remote, environment={"NO_COLOR": "1"})  # too narrow for columns: blocks of lines
    check(code == 0 and written.decode().startswith("candidate   jobs/first/candidates/uniform\r\ngeneration  1\r\n"), written.decode()[:300])


def test_explain_says_the_same_of_a_job_and_of_its_folder(service):
    code, _, err = service.run("export", "first", "--output", service.folder / "out")
    check(code == 0, err)
    code, of_job, err = service.run("explain", "first")
    check(code == 0, err)
    code, of_folder, err = programs.run("explain", service.folder / "out")
    check(code == 0, err)
    for title in ("What came out", "What gave most", "What was protected", "How sure it is", "What more budget might bring"):
        check(title in of_job and title in of_folder, f"no '{title}': {of_job}{of_folder}")
    result = read_json(service.folder / "out" / "result.json")
    check(f"{result['fitness']:.4f} nats a token" in of_folder, of_folder)
    # The fake engine's export has no config.json: parameters by layer are known of the job alone. All else is equal.
    check(of_job.split("How sure")[1] == of_folder.split("How sure")[1], f"{of_job}\n{of_folder}")
    code, _, err = programs.run("explain", service.folder)
    check(code == 3 and "result.json" in err, err)


def test_doctor_finds_what_is_wrong(service):
    real = {key: value for key, value in programs.environment.items() if key not in ("ESPALIER_WORKER", "CUDA_VISIBLE_DEVICES")}

    def doctor(*arguments):
        done = subprocess.run([str(programs.bin / "espalier"), "doctor", *map(str, arguments), "--format", "json"], env=real, capture_output=True,
                              text=True, timeout=120)
        report = json.loads(done.stdout)
        return done.returncode, {entry["check"]: entry for entry in report["checks"]}, report["healthy"]

    code, found, healthy = doctor("--coordinator", service.address, "--folder", service.folder)
    check(found["LibTorch"]["verdict"] == "ok" and found["LibTorch"]["found"].startswith("2."), found["LibTorch"])
    check(found["coordinator"]["verdict"] == "ok" and "version" in found["coordinator"]["found"], found["coordinator"])
    check(found["fleet"]["verdict"] == "ok" and "1 worker there" in found["fleet"]["found"], found["fleet"])
    check((code, healthy) == ((3, False) if found["disk"]["verdict"] == "wrong" else (0, True)), f"{code}: {found}")
    token = service.folder / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    token.chmod(0o644)
    code, found, healthy = doctor("--token-file", token, "--listen", f"unix:{service.folder}/c", "--tls-ca", service.folder / "none.pem",
                                  "--coordinator", f"unix:{service.folder}/nobody")
    check(code == 3 and not healthy, f"{code}")
    check(found["token"]["verdict"] == "wrong" and "chmod 600" in found["token"]["remedy"], found["token"])
    check(found["address"]["verdict"] == "warning" and "listens there already" in found["address"]["found"], found["address"])
    check(found["certificate"]["verdict"] == "wrong" and "none.pem" in found["certificate"]["found"], found["certificate"])
    check(found["coordinator"]["verdict"] == "wrong", found["coordinator"])


def completions(script, shell, service, *words):
    line = " ".join(words)
    quoted = " ".join(f"'{word}'" for word in words)
    code = (f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; COMP_POINT={len(line)}; "
            "_espalier; printf '%s\\n' \"${COMPREPLY[@]}\"")
    environment = {**programs.environment, "PATH": f"{programs.bin}:{os.environ['PATH']}", "ESPALIER_COORDINATOR": service.address}
    done = subprocess.run(shell + [code], capture_output=True, text=True, env=environment, timeout=20)
    check(done.returncode == 0 and not done.stderr, f"{words}: {done.stderr}")
    return done.stdout.split()


def typed(shell, script, service, keys, expected):
    """Types `keys` behind a shell's prompt, and waits until `expected` stands in its terminal."""
    environment = {**programs.environment, "PATH": f"{programs.bin}:{os.environ['PATH']}", "ESPALIER_COORDINATOR": service.address,
                   "HOME": str(service.folder), "TERM": "xterm", "PS1": "ready> "}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(shell[0], shell, environment)
    written = ""

    def read_until(text, seconds):
        nonlocal written
        end = time.monotonic() + seconds
        while text not in written and time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                # A line that is longer than the terminal goes on in the next one.
                written += ESCAPE.sub("", os.read(terminal, 1 << 16).decode(errors="replace")).replace(" \r", "")

    try:
        read_until("ready> ", 10)
        written = ""
        os.write(terminal, f"source {script}; echo sour''ced\n".encode())
        read_until("sourced", 20)
        read_until("sourced\r\n", 5)
        written = ""
        os.write(terminal, keys.encode())
        read_until(expected, 10)
        check(expected in written, f"'{expected}' does not appear: {written}")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(pid, 0)


def test_completion_in_bash(service):
    script = service.folder / "completion.bash"
    script.write_text(programs.run("completion", "bash")[1])
    bash = ["bash", "--norc", "-c"]

    def offered(*words):
        return completions(script, bash, service, *words)

    check(offered("espalier", "wa") == ["watch"], offered("espalier", "wa"))
    check("__jobs" not in offered("espalier", ""), "a hidden command is offered")
    check(offered("espalier", "fleet", "") == ["up", "down"], offered("espalier", "fleet", ""))
    check(offered("espalier", "fleet", "up", "--work") == ["--workers"], offered("espalier", "fleet", "up", "--work"))
    check(offered("espalier", "submit", "--preset", "") == ["balanced", "darwinlm"], "values of a flag")
    check(offered("espalier", "list", "--format", "=", "y") == ["yaml"], "values behind =")
    check(offered("espalier", "watch", "") == ["second", "first"], offered("espalier", "watch", ""))
    check(offered("espalier", "watch", "jobs/f") == ["jobs/first"], offered("espalier", "watch", "jobs/f"))
    check(offered("espalier", "watch", "--token-file", "") == [], "a file's name is left to the shell")
    began = time.monotonic()
    check(offered("espalier", "watch", "--coordinator", "127.0.0.1:1", "") == [], "nobody answers there")
    check(time.monotonic() - began < 5, "an unreachable coordinator holds the shell up")
    # As a user's bash does it, with its own splitting of words.
    typed(["bash", "--norc", "--noprofile", "-i"], script, service, f"espalier watch --coordinator unix:{service.folder}/c fi\t",
          f"{service.folder}/c first")


def test_completion_in_zsh(service):
    script = service.folder / "completion.zsh"
    script.write_text(programs.run("completion", "zsh")[1])
    typed(["zsh", "-f", "-i"], script, service, "espalier watch fi\t", "rst")
    typed(["zsh", "-f", "-i"], script, service, "espalier submit --preset da\t", "rwinlm")


def test_the_manual_page_is_clean(service):
    code, page, err = programs.run("man")
    check(code == 0 and page.startswith(".TH ESPALIER 1"), err)
    for part in (".SS espalier watch [JOB]", ".SS espalier explain JOB", "\\-\\-generations", "ESPALIER_COORDINATOR", ".SH EXIT STATUS"):
        check(part in page, f"no '{part}'")


def test_the_manual_page_is_clean_to_man_and_mandoc(service):
    page = programs.run("man")[1]
    if shutil.which("man") and shutil.which("groff"):
        done = subprocess.run(["man", "--warnings", "-l", "-"], input=page, capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}, timeout=60)
        check(done.returncode == 0 and not done.stderr, done.stderr)
        check("COMMON FLAGS" in done.stdout, done.stdout[:300])
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning"], input=page, capture_output=True, text=True, timeout=60)
    told = [line for line in done.stdout.splitlines() if "missing date" not in line]  # it has none: the same build, the same page
    check(not told, "\n".join(told))


TESTS = [test_a_mistyped_word_gets_the_one_that_was_meant, test_watch_on_a_terminal_is_a_live_screen, test_run_on_a_terminal_writes_one_line_again_and_again,
         test_watch_without_a_terminal_is_a_line_for_each_change, test_formats_say_the_same, test_colours_and_widths_follow_the_terminal,
         test_explain_says_the_same_of_a_job_and_of_its_folder, test_doctor_finds_what_is_wrong, test_completion_in_bash,
         test_the_manual_page_is_clean]
# Of other programs, which tools/setup.sh --full installs.
TESTS_OF_OTHERS = {"zsh": test_completion_in_zsh, "mandoc": test_the_manual_page_is_clean_to_man_and_mandoc}

if __name__ == "__main__":
    with_others = sys.argv[2:] == ["others"]
    missing = [program for program in TESTS_OF_OTHERS if with_others and not shutil.which(program)]
    if missing:
        print(f"SKIPPED: {' and '.join(missing)} missing; tools/setup.sh --full installs it")
        sys.exit(77)
    with Folder() as folder:
        the_service = Service(folder)
        try:
            the_service.submit("first")
            main(TESTS_OF_OTHERS.values() if with_others else TESTS, the_service)
        finally:
            the_service.stop()
