"""The boards and alerts, asked of Debian's Prometheus while a real coordinator and its workers run, fail and stall.

python3 prometheus_test.py BUILD_FOLDER

One story: a healthy job with two real workers (every panel of every board has data, nothing but what always fires fires),
then a fault for every alert. Times in the rules are shortened in a copy (stack.PATIENT, stack.HASTY); cards are a stand-in
for dcgm-exporter. Exits with 77 (skipped) without Prometheus or where no small disk can be mounted.
"""

from deployment import *
from postgres_faults import standby_story

import harness

harness_check = harness.check
ALWAYS = {"EspalierWatchdog", "EspalierCertificateEnds"}  # the certificate of this test ends in five days
seen = {}  # alert: its summary when it first fired


def note(prometheus):
    for name, summary in prometheus.firing().items():
        seen.setdefault(name, summary)
    return set(seen)


def expect(prometheus, fault, *names, seconds=90, again=lambda: None):
    """`again` repeats the fault until they fire: how often something happens in a window is a matter of how busy this machine is."""
    began = time.monotonic()
    waiting = set(names)
    while waiting and time.monotonic() - began < seconds:
        again()
        waiting -= set(prometheus.firing())
        note(prometheus)
        time.sleep(0.3)
    harness_check(not waiting, f"{fault}: {sorted(waiting)} did not fire within {seconds} s; firing: {sorted(prometheus.firing())}")
    for name in names:
        print(f"      {fault}: {name} fires after {time.monotonic() - began:.0f} s: {prometheus.firing().get(name, seen.get(name))}", flush=True)


def check_live_metrics(url, token=""):
    status, text = get(url, token)
    harness_check(status == 200, f"{url}: {status} {text}")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    harness_check(done.returncode == 0, f"promtool check metrics of {url}: {done.stdout}{done.stderr}")
    print(f"      promtool check metrics {url}: no complaint, {len(text.splitlines())} lines", flush=True)


def check_panels(prometheus, seconds):
    empty, total = [], 0
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        found = {}
        for title, expression in queries(board):
            total += 1
            values = prometheus.values(fill_variables(expression), seconds)
            found[title] = found.get(title, 0) + len(values)
            if not values:
                empty.append(f"{board['title']}: {title}: {expression}")
        for annotation in board["annotations"]["list"]:
            if "expr" in annotation:
                prometheus.values(fill_variables(annotation["expr"]), seconds)
        print(f"      {board['title']}: {len(found)} panels, {sum(1 for count in found.values() if count)} with data; samples: "
              + ", ".join(f"{title} {count}" for title, count in found.items()), flush=True)
    harness_check(not empty, f"{len(empty)} of {total} queries return nothing:\n" + "\n".join(empty))


def healthy_job(prometheus, deployment):
    """Also what the panels of refused and failed calls show: callers' mistakes, which are no fault."""
    began = time.monotonic()
    deployment.start_coordinator(lease_seconds=60)
    ports = [deployment.start_worker(is_real=True) for _ in range(2)]
    prometheus.aim("espalier-worker", ports)
    prometheus.aim("espalier-coordinator", [deployment.http])
    harness.wait_until(lambda: prometheus.up("espalier-coordinator") == ["1"] and prometheus.up("espalier-worker") == ["1", "1"], 60, "all is scraped")
    time.sleep(3)
    healthy_since = time.time()
    job = deployment.folder / "job.textproto"
    job.write_text(f'model_folder: "{harness.TINY}" tokens_path: "{harness.SAMPLES}"\n{harness.short_job(generations=4)}')
    for name in ("first", "second"):  # the second takes its bank over
        code, _, err = deployment.run("submit", "--job", job, "--job-id", name)
        harness_check(code == 0, f"submit: {code}: {err}")
        deployment.run("get", "no-such-job")
        deployment.run("cancel", "first", role="read")
        get(f"http://127.0.0.1:{deployment.http}/metrics", "wrong")
        harness.wait_until(lambda: deployment.state_of(name) in ("SUCCEEDED", "FAILED"), 900, f"{name} ends")
        harness_check(deployment.state_of(name) == "SUCCEEDED", f"{name}: {deployment.state_of(name)}")
    time.sleep(3)
    check_panels(prometheus, time.monotonic() - began)
    check_live_metrics(f"http://127.0.0.1:{deployment.http}/metrics", "read" * 16)
    check_live_metrics(f"http://127.0.0.1:{ports[0]}/metrics")
    fired = prometheus.fired(healthy_since)
    harness_check(fired <= ALWAYS, f"alerts without a fault: {sorted(fired - ALWAYS)}")
    print(f"      two jobs, {time.time() - healthy_since:.0f} s without a fault: {', '.join(sorted(fired))} fired, which always do", flush=True)
    expect(prometheus, "a certificate that ends in five days", *ALWAYS)
    for port in ports:
        deployment.workers[port].terminate()
        deployment.workers[port].wait(timeout=60)
    deployment.stop_coordinator()
    deployment.start_coordinator()
    prometheus.hasten()


def workers_die(prometheus, deployment):
    ports = [deployment.start_worker(task_ms=2000) for _ in range(4)]
    prometheus.aim("espalier-worker", ports)
    submit_fake(deployment, "dying", generations=40)
    harness.wait_until(lambda: prometheus.values("sum(espalier_evaluations_total) > 0", 5), 60, "the job runs")
    time.sleep(2)
    for port in ports[:3]:
        deployment.kill_worker(port)
    expect(prometheus, "three of four workers are killed", "EspalierWorkerDown", "EspalierWorkersLost", "EspalierLeasesLost", "EspalierTimeWasted")
    deployment.kill_worker(ports[3])
    expect(prometheus, "the last one is killed", "EspalierWorkersMissing", "EspalierNoProgress")
    ports = [deployment.start_worker(task_ms=100)]
    prometheus.aim("espalier-worker", ports)
    expect(prometheus, "tasks waited until another one came", "EspalierQueueWait")
    expect(prometheus, "a small search goes on for long", "EspalierSearchStagnates", seconds=120)
    deployment.run("cancel", "dying")
    deployment.kill_worker(ports[0])


def a_stage_stalls(prometheus, deployment):
    submit_fake(deployment, "stalled", generations=2)
    port = deployment.start_worker(task_ms=600_000)
    prometheus.aim("espalier-worker", [port])
    expect(prometheus, "a task makes no progress", "EspalierStageStalled", "EspalierNoProgress")
    deployment.kill_worker(port)
    deployment.run("cancel", "stalled")


def results_are_wrong(prometheus, deployment):
    """A card that computes nonsense beside one that is well, then alone."""
    ports = [deployment.start_worker(task_ms=100), deployment.start_worker(task_ms=20, ESPALIER_FAKE_NONSENSE="1")]
    prometheus.aim("espalier-worker", ports)
    submit_fake(deployment, "nonsense", generations=20)
    expect(prometheus, "a worker reports what cannot be", "EspalierReportsRejected", "EspalierLeasesLost", "EspalierWorkersQuarantined", seconds=120)
    deployment.run("cancel", "nonsense")
    for port in ports:
        deployment.kill_worker(port)
    alone = [deployment.start_worker(task_ms=20, ESPALIER_FAKE_NONSENSE="1") for _ in range(3)]
    prometheus.aim("espalier-worker", alone)
    submit_fake(deployment, "hopeless", generations=3)
    expect(prometheus, "no worker is well", "EspalierTasksGivenUp", seconds=120)
    deployment.run("cancel", "hopeless")
    for port in alone:
        deployment.kill_worker(port)


def artifacts_are_damaged(prometheus, deployment):
    """A byte of each level bank flips on the disk: a new worker that reads them says so, and they are built again."""
    port = deployment.start_worker(is_real=True)
    prometheus.aim("espalier-worker", [port])
    harness.wait_until(lambda: prometheus.up("espalier-worker") == ["1"], 60, "the worker is scraped")
    time.sleep(2)
    damaged = 0
    for path in (deployment.artifacts / "sha256").rglob("*"):
        if not path.is_file():
            continue
        with open(path, "r+b") as file:
            file.seek(path.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        damaged += 1
    harness_check(damaged > 2, f"{damaged} artifacts")
    code, _, err = deployment.run("submit", "--job", deployment.folder / "job.textproto", "--job-id", "third")
    harness_check(code == 0, f"submit: {code}: {err}")
    expect(prometheus, f"{damaged} artifacts are damaged", "EspalierArtifactErrors", seconds=120)
    harness.wait_until(lambda: deployment.state_of("third") in ("SUCCEEDED", "FAILED"), 900, "the job ends")
    harness_check(deployment.state_of("third") == "SUCCEEDED", f"with a bank that was built again: {deployment.state_of('third')}")
    print("      the job went on with a bank that was built again", flush=True)
    deployment.kill_worker(port)


def callers_are_refused(prometheus, deployment):
    def call_without_the_role():
        deployment.run("submit", "--model", harness.TINY, "--tokens", harness.SAMPLES, "--target", "60%", role="read")
    expect(prometheus, "calls without the role", "EspalierCallersRefused", again=call_without_the_role)


def disks_fill(prometheus, deployment):
    port = deployment.start_worker(task_ms=700)
    prometheus.aim("espalier-worker", [port])
    submit_fake(deployment, "full", generations=60)
    state, artifacts = deployment.disks
    ready = f"http://127.0.0.1:{deployment.http}/readyz"
    harness_check(get(ready)[0] == 200, "ready while there is room")
    with open(state.path / "slow", "wb", buffering=0) as slow:  # a megabyte a second
        for _ in range(15):
            slow.write(b"x" * (1 << 20))
            time.sleep(1)
            note(prometheus)
    expect(prometheus, "the state's disk fills", "EspalierStateDiskFilling")
    state.fill()
    status, text = get(ready)
    harness_check(status == 503 and "--disk-reserve" in text, f"/readyz on a full disk: {status} {text}")
    print(f"      /readyz on a full disk: {status} {text.strip()}", flush=True)

    def submit_without_room():
        deployment.run("submit", "--model", harness.TINY, "--tokens", harness.SAMPLES, "--target", "60%")
        time.sleep(1)  # a rate sees what rises between two scrapes
    expect(prometheus, "the state's disk is full", "EspalierStateDiskFull", "EspalierStoreErrors", again=submit_without_room)
    # A share of all calls: a worker asks as fast as this machine lets it, so it is silent meanwhile.
    deployment.workers[port].send_signal(signal.SIGSTOP)
    expect(prometheus, "submitted to a full disk", "EspalierCallErrors", again=submit_without_room)
    deployment.workers[port].send_signal(signal.SIGCONT)
    state.free()
    (state.path / "slow").unlink()
    harness.wait_until(lambda: get(ready)[0] == 200, 30, "ready again when there is room")
    artifacts.fill()
    expect(prometheus, "the artifacts' disk is full", "EspalierArtifactDiskFull")
    artifacts.free()
    deployment.run("cancel", "full")
    return port


def the_coordinator_goes(prometheus, deployment, worker):
    def restart():
        deployment.stop_coordinator()
        deployment.start_coordinator()
        time.sleep(2)
    expect(prometheus, "the coordinator is started again and again", "EspalierLeaderFlapping", again=restart)
    deployment.stop_coordinator()
    expect(prometheus, "the coordinator is gone", "EspalierCoordinatorDown", "EspalierWorkerCutOff")
    deployment.kill_worker(worker)


def cards_fail(prometheus):
    Cards.values = {**Cards.values, "DCGM_FI_DEV_XID_ERRORS": 79, "DCGM_FI_DEV_GPU_TEMP": 93, "DCGM_FI_DEV_ROW_REMAP_FAILURE": 1}
    expect(prometheus, "a card falls off the bus, hot, its memory broken", "EspalierGpuErrors", "EspalierGpuHot", "EspalierGpuRowRemapFailure")


def submit_fake(deployment, job, generations):
    deployment.submit(job, "--target", "60%", "--head-granularity", "head", "--generations", generations, "--seed", 5)


def main():
    if not is_installed():
        print("SKIPPED: prometheus and promtool (Debian: prometheus; tools/setup.sh --full) are not installed")
        sys.exit(77)
    for command in (["check", "config", RULES / "prometheus.yaml"], ["check", "rules", RULES / "recording.yaml", RULES / "alerts.yaml"],
                    ["test", "rules", SOURCE / "tests" / "observability" / "rules_test.yaml"]):
        done = subprocess.run(["promtool", *map(str, command)], capture_output=True, text=True)
        harness_check(done.returncode == 0, f"promtool {command}: {done.stdout}{done.stderr}")
        print(f"ok    promtool {command[0]} {command[1]}: {' '.join((done.stdout + done.stderr).split())}", flush=True)
    alerts = re.findall(r"- alert: (\w+)", (RULES / "alerts.yaml").read_text())
    programs = harness.Programs(sys.argv[1])
    with harness.Folder() as folder:
        os.chmod(folder, 0o755)
        deployment = Deployment(programs, folder)
        if deployment.refusal():
            print(f"SKIPPED: mounting a tmpfs is not allowed here: {deployment.refusal()}")
            sys.exit(77)
        cards = start_cards()
        prometheus = Prometheus(folder / "prometheus", folder / "read")
        try:
            harness.wait_until(prometheus.is_ready, 60, "Prometheus answers")
            prometheus.aim("dcgm", [cards.server_address[1]])
            story = [lambda: healthy_job(prometheus, deployment), lambda: workers_die(prometheus, deployment),
                     lambda: a_stage_stalls(prometheus, deployment), lambda: results_are_wrong(prometheus, deployment),
                     lambda: artifacts_are_damaged(prometheus, deployment), lambda: callers_are_refused(prometheus, deployment),
                     lambda: the_coordinator_goes(prometheus, deployment, disks_fill(prometheus, deployment)), lambda: cards_fail(prometheus),
                     lambda: standby_story(prometheus, programs, folder, expect)]
            for part in story:
                part()
                note(prometheus)
            missing = sorted(set(alerts) - set(seen))
            print(f"ok    {len(set(alerts) & set(seen))} of {len(alerts)} alerts fired", flush=True)
            harness_check(not missing, f"never fired: {missing}")
        finally:
            prometheus.end()
            deployment.end()
            cards.shutdown()


if __name__ == "__main__":
    main()
