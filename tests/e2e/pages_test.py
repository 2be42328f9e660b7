"""Pictures of every page in a real browser: light, dark and on a phone. They are kept in BUILD/pages.

python3 pages_test.py BUILD_FOLDER

A coordinator with real workers on the tiny model and some fake ones: jobs that succeeded, that failed, that wait and that
run. Then the sizes that people come to have: a job of two hundred generations, a hundred jobs, a thousand workers (those of
espalier-coordinator-load). Of each page it is checked that the browser has nothing to complain about, that nothing is wider
than the screen, and that dark is dark.
"""

import pathlib
import re
import socket
import subprocess
import sys
import urllib.request

from chromium import Chromium, find_chromium
from harness import *

SKIPPED = 77  # exit code: ctest's SKIP_RETURN_CODE
BUILD = sys.argv[1]
PICTURES = pathlib.Path(BUILD) / "pages"
STAGES = ((4, 0, 2048), (2, 1024, 2048), (1, 4096, 4096))  # one more than in the short job, so that the pages have more to show
FEW_STAGES = ((2, 0, 1024), (1, 1024, 1024))
ODD_NAME = "<script>alert('odd')</script> & \u202e \"quoted\" " + "long" * 20


class Site:
    """A coordinator with pages, and workers of both kinds."""

    def __init__(self, folder, *flags):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.programs = Programs(BUILD, fake=True, task_ms=400)
        self.address = f"unix:{folder}/c"
        self.log = open(folder / "log", "w")
        self.processes = [subprocess.Popen([str(self.programs.bin / "espalier-coordinator"), "--state", str(folder / "state"), "--listen",
                                            self.address, "--http", "127.0.0.1:0", "--lease-seconds", "10", *flags],
                                           stdout=self.log, stderr=self.log)]
        found = wait_until(lambda: re.search(r"http on \S+:(\d+)", (folder / "log").read_text()), what="the coordinator's pages")
        self.url = f"http://127.0.0.1:{found.group(1)}"

    def work(self, name, *flags, **environment):
        program = self.programs.bin / name
        process = subprocess.Popen([str(program), "--coordinator", self.address, "--artifacts", str(self.folder / "state" / "artifacts"),
                                    "--device", "cpu", *flags], env={**self.programs.environment, "OMP_NUM_THREADS": "1", **environment},
                                   stdout=self.log, stderr=self.log)
        self.processes.append(process)
        return process

    def submit(self, job_id, generations, seed, *more, stages=STAGES, lines=""):
        job = self.folder / f"{job_id}.textproto"
        job.write_text(short_job(generations, offspring=8, stages=stages, seed=seed) + lines)
        code, out, err = self.programs.run("submit", "--coordinator", self.address, "--model", TINY, "--tokens", SAMPLES, "--job", job,
                                           "--job-id", job_id, *more)
        check(code == 0, f"submit {job_id}: {err}")
        return out

    def get(self, path):
        with urllib.request.urlopen(self.url + path) as answer:
            return answer.read().decode()

    def end(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.log.close()


def jobs_of(site):
    """Two finished jobs, one that waits for a GPU and one that runs."""
    worker = site.work("espalier-worker")
    site.submit("first-search", 6, 7)
    wait_until(lambda: "succeeded" in site.get("/jobs/first-search"), 400, "the first job")
    preview = site.submit("validated", 6, 7, "--validate-only")
    check("basis of the times" in preview and "rate of" in preview, f"the preview speaks of the fleet's rate: {preview}")
    site.submit("second-search", 4, 8, "--name", ODD_NAME)
    wait_until(lambda: "succeeded" in site.get("/jobs/second-search"), 400, "the second job")
    worker.terminate()
    worker.wait()  # it says that it leaves: the job that runs is not bound to its numerics class by a lease that it never saw
    for _ in range(12):
        site.work("espalier-fake-worker")
    site.submit("waits-for-a-gpu", 2, 1, "--device", "cuda")
    site.submit("a-running-job", 40, 9)
    wait_until(lambda: "Generation 2" in site.get("/jobs/a-running-job"), 200, "the job is in its second generation")


def many_jobs_of(site):
    """One of two hundred generations, and ninety-nine: a third has ended, some are paused or cancelled, the others share five workers."""
    quick = [site.work("espalier-fake-worker", "--slots", "8", ESPALIER_FAKE_TASK_MS="0") for _ in range(2)]
    site.submit("two-hundred-generations", 200, 3, stages=FEW_STAGES, lines="first_parent: UNIFORM\n")
    wait_until(lambda: "succeeded" in site.get("/jobs/two-hundred-generations"), 400, "two hundred generations")
    check("Every generation" in site.get("/jobs/two-hundred-generations?generation=200"), "the last generation")
    for number in range(1, 100):
        site.submit(f"job-{number:02}", 1 if number <= 33 else 20, number, "--name", f"qwen3-8b, {40 + number % 50} %, seed {number}", stages=FEW_STAGES)
        if number == 33:
            wait_until(lambda: "succeeded" in site.get("/jobs/job-33"), 120, "a third of the jobs")
            for worker in quick:
                worker.terminate()
                worker.wait()
            for _ in range(5):
                site.work("espalier-fake-worker", "--slots", "2", ESPALIER_FAKE_TASK_MS="60")
    for verb, number in (("cancel", 40), ("cancel", 71), ("pause", 55), ("pause", 98)):
        code, _, err = site.programs.run(verb, "--coordinator", site.address, f"job-{number}")
        check(code == 0, f"{verb}: {err}")
    wait_until(lambda: site.get("/jobs").count("generation ") > 30, 200, "most of them search")
    check(all(f"/jobs/job-{number}" in site.get("/jobs") for number in (99, 51)) and "/jobs/job-01" in site.get("/jobs?page=1"), "two pages of jobs")


class ManyWorkers:
    """A thousand simulated workers on a coordinator of their own, of whose tasks a third is busy at a time."""

    def __init__(self, folder):
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        programs = pathlib.Path(BUILD).absolute() / "bin"
        wrapper = folder / "coordinator"
        wrapper.write_text(f'#!/bin/sh\nexec "{programs}/espalier-coordinator" "$@" --http {self.url.removeprefix("http://")}\n')
        wrapper.chmod(0o755)
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen([str(programs / "espalier-coordinator-load"), "--workers", "1000", "--jobs", "8", "--busy", "0.35", "--task-seconds",
                                         "4", "--warm-up", "20", "--seconds", "3600", "--no-restart", "--coordinator", str(wrapper), "--model", str(TINY), "--tokens",
                                         str(SAMPLES)], stdout=self.log, stderr=self.log, start_new_session=True)
        try:
            wait_until(lambda: "of 1000" in self.get("/workers"), 120, f"a thousand workers: {(folder / 'log').read_text()}")
            wait_until(lambda: "generation 2" in self.get("/jobs") and re.search(r"[1-9]\d\d of 1000", self.get("/workers")), 180, "hundreds of them search")
        except AssertionError:
            self.end()
            raise

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def end(self):
        os.killpg(self.process.pid, signal.SIGKILL)  # with the coordinator that it has started
        self.process.wait()
        self.log.close()


def candidate_of(site, job):
    return re.search(rf'href="(/jobs/{job}/candidates/p0-[^"]+)"', site.get(f"/jobs/{job}")).group(1)


def picture_all(site, browser, pages):
    count = 0
    for name, path in pages.items():
        for kind, width, is_dark in (("light", 1100, False), ("dark", 1100, True), ("phone", 390, False), ("phone-dark", 390, True)):
            browser.complaints.clear()
            wide, _ = browser.open(site.url + path, width, is_dark)
            check(wide <= width, f"{name} on {kind}: {wide} pixels wide on a screen of {width}")
            complaints = [text for text in browser.complaints if name != "not-found" or "404" not in text]
            check(not complaints, f"{name}: the browser complains: {complaints}")
            background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness = sum(map(int, re.findall(r"\d+", background)[:3])) / 3
            check((brightness < 80) == is_dark, f"{name} on {kind}: the background is {background}")
            check(browser.evaluate("document.querySelectorAll('script,iframe,object').length") == 0, f"{name}: something that runs")
            browser.picture(PICTURES / f"{name}-{kind}.png")
            count += 1
    return count


def test_pages_of_many_look_right():
    with Folder() as folder:
        site = Site(folder / "jobs", "--max-jobs", "200", "--max-jobs-per-caller", "200")
        browser = Chromium(find_chromium(), folder / "browser")
        workers = None
        try:
            many_jobs_of(site)
            count = picture_all(site, browser, {
                "jobs-100": "/jobs", "jobs-100-older": "/jobs?page=1", "job-200-generations": "/jobs/two-hundred-generations",
                "generation-150-of-200": "/jobs/two-hundred-generations?generation=150",
                "compare-200-generations": "/compare?a=two-hundred-generations&b=job-33"})
            workers = ManyWorkers(folder / "workers")
            count += picture_all(workers, browser, {"fleet-1000-workers": "/workers", "fleet-1000-workers-later": "/workers?page=3", "jobs-of-1000-workers": "/jobs"})
            check(count == 32, f"{count} pictures")
            print(f"{count} pictures in {PICTURES}")
        finally:
            browser.end()
            site.end()
            if workers is not None:
                workers.end()


def test_every_page_looks_right():
    with Folder() as folder:
        site = Site(folder)
        browser = Chromium(find_chromium(), folder / "browser")
        try:
            check(picture_all(site, browser, {"empty-jobs": "/jobs", "empty-fleet": "/workers", "empty-compare": "/compare"}) == 12, "twelve")
            jobs_of(site)
            pages = {"jobs": "/jobs", "job": "/jobs/first-search", "job-odd-name": "/jobs/second-search", "job-running": "/jobs/a-running-job",
                     "job-waiting": "/jobs/waits-for-a-gpu", "generation": "/jobs/first-search?generation=1",
                     "candidate": candidate_of(site, "first-search"), "fleet": "/workers",
                     "compare-jobs": "/compare?a=first-search&b=second-search",
                     "compare-masks": "/compare?a=first-search/first-parent&b=first-search", "not-found": "/jobs/none"}
            print(f"{picture_all(site, browser, pages) + 12} pictures in {PICTURES}")
        finally:
            browser.end()
            site.end()


if __name__ == "__main__":
    if find_chromium() is None:
        print("SKIPPED: no chromium on the path (tools/setup.sh --full installs it)")
        sys.exit(SKIPPED)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for old in PICTURES.glob("*.png"):  # others keep theirs here too
        old.unlink()
    main([test_every_page_looks_right, test_pages_of_many_look_right])
