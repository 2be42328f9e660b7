"""Pictures of every page in a real browser: light, dark and on a phone. They are kept in BUILD/pages.

python3 pages_test.py BUILD_FOLDER

A coordinator with real workers on the tiny model and some fake ones: jobs that succeeded, that failed, that wait and that
run. Of each page it is checked that the browser has nothing to complain about, that nothing is wider than the screen, and
that dark is dark.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request

from chromium import Chromium, find_chromium
from harness import *

SKIPPED = 77  # exit code: ctest's SKIP_RETURN_CODE
BUILD = sys.argv[1]
PICTURES = pathlib.Path(BUILD) / "pages"
STAGES = ((4, 0, 2048), (2, 1024, 2048), (1, 4096, 4096))  # one more than in the short job, so that the pages have more to show
ODD_NAME = "<script>alert('odd')</script> & \u202e \"quoted\" " + "long" * 20


class Site:
    """A coordinator with pages, and workers of both kinds."""

    def __init__(self, folder):
        self.folder = folder
        self.programs = Programs(BUILD, fake=True, task_ms=400)
        self.address = f"unix:{folder}/c"
        self.log = open(folder / "log", "w")
        self.processes = [subprocess.Popen([str(self.programs.bin / "espalier-coordinator"), "--state", str(folder / "state"), "--listen",
                                            self.address, "--http", "127.0.0.1:0", "--lease-seconds", "10"], stdout=self.log,
                                           stderr=self.log)]
        found = wait_until(lambda: re.search(r"http on \S+:(\d+)", (folder / "log").read_text()), what="the coordinator's pages")
        self.url = f"http://127.0.0.1:{found.group(1)}"

    def work(self, name, **environment):
        program = self.programs.bin / name
        process = subprocess.Popen([str(program), "--coordinator", self.address, "--artifacts", str(self.folder / "state" / "artifacts"),
                                    "--device", "cpu"], env={**self.programs.environment, "OMP_NUM_THREADS": "1", **environment},
                                   stdout=self.log, stderr=self.log)
        self.processes.append(process)
        return process

    def submit(self, job_id, generations, seed, *more):
        job = self.folder / f"{job_id}.textproto"
        job.write_text(short_job(generations, offspring=8, stages=STAGES, seed=seed))
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
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    main([test_every_page_looks_right])
