"""Boards, rules and /metrics agree, without Prometheus and Grafana: python3 boards_test.py BUILD_FOLDER

The boards follow the rules of Grafana's dashboard-linter and the schema of version 39; every metric that a board or rule names
is exported by a program that was asked here; names have units and labels stay few.
"""

import tempfile

from stack import *

import harness

UNITS = ("_seconds", "_bytes", "_total", "_ratio", "_timestamp_seconds", "_info")
COUNTS = {  # gauges of things that are counted or have no unit, and what they are
    "espalier_searches": "jobs", "espalier_tasks": "tasks", "espalier_generation": "number", "espalier_planned_generations": "number",
    "espalier_stage": "number", "espalier_trained_tokens": "tokens", "espalier_used_evaluations": "evaluations", "espalier_planned_evaluations": "evaluations", "espalier_planned_train_tokens": "tokens", "espalier_best_fitness": "nats per token",
    "espalier_best_fitness_standard_error": "nats per token", "espalier_population_fitness": "nats per token", "espalier_stage_rank_agreement": "-1 to 1",
    "espalier_stagnation_generations": "generations", "espalier_workers": "workers", "espalier_workers_lost": "workers",
    "espalier_workers_by_version": "workers", "espalier_worker_slots": "slots", "espalier_wanted_slots": "slots", "espalier_waiting_calls": "calls",
    "espalier_leader_epoch": "number", "espalier_standing_by": "0 or 1", "espalier_event_log_records": "events", "espalier_attempts_per_commit": "attempts",
    "espalier_worker_own_slots": "slots", "espalier_worker_tokens_per_second": "tokens a second", "espalier_worker_connected": "0 or 1",
    "process_open_fds": "files", "process_max_fds": "files", "process_threads": "threads",
}
LABELS = {"le", "kind", "outcome", "end", "use", "code", "op", "operator", "reason", "cause", "state", "search", "rank", "method", "version", "device", "device_name", "step", "location",
          "result"}
SEARCH_GAUGES = 18  # metrics that may carry a search's id
PANELS = {"timeseries", "stat", "gauge", "table", "heatmap", "histogram", "state-timeline", "piechart", "row"}
FOREIGN = {"up", "scrape_duration_seconds", "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_POWER_USAGE",
           "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_ROW_REMAP_FAILURE"}
WORDS = {"sum", "min", "max", "avg", "count", "by", "without", "on", "and", "or", "unless", "bool", "rate", "increase", "deriv", "changes", "absent", "topk",
         "scalar", "time", "vector", "histogram_quantile", "predict_linear", "clamp_min", "max_over_time"}
check = harness.check


def named(expression):
    """The metrics and functions of an expression: words that are no label, value, range or variable."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on) *\([^)]*\)", " ", bare)
    return set(re.findall(r"(?<![\w:.$])[a-zA-Z_:][\w:]*", bare)) - WORDS


def recording():
    text = (RULES / "recording.yaml").read_text()
    return dict(zip(re.findall(r"- record: (\S+)", text), expressions(text)))


def expressions(text):
    """The `expr` of each rule; folded ones as one line."""
    found = []
    for match in re.finditer(r"^ +expr: (.*(?:\n {10,}\S.*)*)", text, re.M):
        found.append(" ".join(match.group(1).removeprefix(">-").split()))
    return found


def check_panel(board, panel):
    where = f"{board['title']}: {panel['title']}"
    check(panel["type"] in PANELS, f"{where}: type {panel['type']}")
    check(panel["title"] and {"h", "w", "x", "y"} == set(panel["gridPos"]), f"{where}: title, place")
    check(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, f"{where}: beyond the right edge")
    if panel["type"] == "row":
        return
    check(panel["description"] and panel["fieldConfig"]["defaults"]["unit"] and panel["targets"], f"{where}: description, unit, targets")
    check(panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, f"{where}: data source")
    check(len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), f"{where}: refIds")
    exceptions = (SOURCE / "deploy/grafana/dashboards/.lint").read_text()
    for target in panel["targets"]:
        expression = target["expr"]
        check(target["datasource"] == panel["datasource"], f"{where}: target's data source")
        check(expression.count("(") == expression.count(")"), f"{where}: {expression}")
        selectors = re.findall(r"\b\w+\{([^}]*)\}", expression)
        check(selectors and all('job=~"$job"' in text and 'instance=~"$instance"' in text for text in selectors), f"{where}: selectors: {expression}")
        for counter in re.findall(r"(\w+_total)\{", expression):
            check(re.search(rf"(rate|increase)\({counter}\{{", expression), f"{where}: {counter} without rate")
        for window in re.findall(r"(?:rate|increase)\([^\[]*\[([^\]]+)\]", expression):
            excepted = window == "$__range" and f"panel: {panel['title']}\n" in exceptions
            check(window == "$__rate_interval" or excepted, f"{where}: range {window}")


def test_boards_follow_the_schema_and_the_linters_rules():
    uids, titles = set(), set()
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        uids.add(board["uid"]), titles.add(board["title"])
        check(board["schemaVersion"] == 39 and board["id"] is None and board["editable"] is False, f"{path.name}: head")
        check(board["timezone"] == "browser" and board["graphTooltip"] == 1 and "espalier" in board["tags"], f"{path.name}: head")
        check("__inputs" not in board and "__requires" not in board, f"{path.name}: imports as it is")
        variables = {variable["name"]: variable for variable in board["templating"]["list"]}
        check({"datasource", "job", "instance"} <= set(variables), f"{path.name}: variables {set(variables)}")
        check(variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus", f"{path.name}: datasource")
        for name, variable in variables.items():
            check(name == "datasource" or (variable["refresh"] == 2 and variable["multi"] and variable["allValue"] == ".+" and variable["label"]),
                  f"{path.name}: variable {name}")
        ids = [panel["id"] for panel in board["panels"]]
        check(len(ids) == len(set(ids)) > 15, f"{path.name}: panels' ids")
        places = set()
        for panel in board["panels"]:
            check_panel(board, panel)
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            check(not cells & places, f"{path.name}: {panel['title']} lies over another")
            places |= cells
    check(len(uids) == len(titles) == len(DASHBOARDS) == 3, f"boards: {titles}")


def test_boards_are_what_the_table_says():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, SOURCE / "tools" / "make_dashboards.py", folder], check=True)
        for path in DASHBOARDS:
            check((pathlib.Path(folder) / path.name).read_text() == path.read_text(), f"{path.name}: run tools/make_dashboards.py")


def test_rules_name_a_board_and_a_section():
    text = (RULES / "alerts.yaml").read_text()
    alerts = re.findall(r"- alert: (\w+)", text)
    uids = {json.loads(path.read_text())["uid"] for path in DASHBOARDS}
    boards = re.findall(r"^ +dashboard: (\S+)$", text, re.M)
    check(len(boards) == len(alerts) and set(boards) <= uids, f"dashboards of alerts: {set(boards) - uids}")
    check(len(set(alerts)) == len(alerts), "an alert's name is used twice")
    severities = set(re.findall(r"severity: (\w+)", text))
    check(severities == {"page", "ticket", "info", "none"}, f"severities {severities}")
    tested = (SOURCE / "tests/observability/rules_test.yaml").read_text()
    untested = [name for name in alerts if tested.count(f"alertname: {name}\n") < (1 if name == "EspalierWatchdog" else 2)]
    check(not untested, f"no promtool test that fires and does not: {untested}")
    for name in recording():
        check(name.count(":") == 2, f"{name}: level:metric:operations")


def live_metrics(build):
    """{metric: (type, set of label names)} and the text, of a coordinator, a standby's page aside, and a worker in the midst of a job."""
    programs = harness.Programs(build, fake=True, task_ms=100)
    texts = []
    with harness.Folder() as folder:
        http, metrics = free_port(), free_port()
        words = [programs.bin / "espalier-coordinator", "--state", folder / "s", "--listen", f"unix:{folder}/c", "--http", f"127.0.0.1:{http}",
                 "--ready-file", folder / "ready"]
        with open(folder / "log", "w") as log:
            processes = [subprocess.Popen([str(word) for word in words], stdout=log, stderr=log)]
            try:
                harness.wait_until((folder / "ready").exists, 60, "the coordinator answers")
                environment = dict(programs.environment, ESPALIER_COORDINATOR=f"unix:{folder}/c")
                processes.append(subprocess.Popen([str(programs.bin / "espalier-fake-worker"), "--coordinator", f"unix:{folder}/c", "--artifacts",
                                                   str(folder / "s/artifacts"), "--metrics-listen", f"127.0.0.1:{metrics}"], env=environment, stdout=log, stderr=log))
                subprocess.run([str(programs.bin / "espalier"), "submit", "--model", str(harness.TINY), "--tokens", str(harness.SAMPLES), "--target", "60%",
                                "--head-granularity", "head", "--generations", "30", "--job-id", "the-search"], env=environment, check=True, capture_output=True)
                harness.wait_until(lambda: "espalier_population_fitness{" in get(f"http://127.0.0.1:{http}/metrics")[1], 120, "a generation ends")
                harness.wait_until(lambda: "espalier_worker_progress_timestamp_seconds " in get(f"http://127.0.0.1:{metrics}/metrics")[1], 30, "a task runs")
                texts = [get(f"http://127.0.0.1:{port}/metrics")[1] for port in (http, metrics)]
                check(get(f"http://127.0.0.1:{metrics}/readyz") == (200, "ok\n"), "the worker is ready")
            finally:
                for process in processes:
                    process.kill()
                    process.wait()
    return texts


def families(texts):
    found = {}
    for text in texts:
        for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", text, re.M):
            found[name] = (kind, set())
        for name, labels in re.findall(r"^(\w+)\{(.*)\} \S+$", text, re.M):
            base = name if name in found else re.sub(r"_(bucket|sum|count)$", "", name)
            found[base][1].update(re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', labels))
    return found


def check_names(found, texts):
    for name, (kind, labels) in found.items():
        check(name.startswith(("espalier_", "process_")), f"{name}: prefix")
        check(kind != "counter" or name.endswith("_total"), f"{name}: a counter without _total")
        check(kind == "counter" or not name.endswith("_total"), f"{name}: _total and no counter")
        check(name.endswith(UNITS) or name in COUNTS, f"{name}: no unit in its name; if it counts something, say so in COUNTS")
        check(labels <= LABELS, f"{name}: labels {labels - LABELS}")
        check("search" not in labels or (kind == "gauge" and not name.startswith("espalier_worker_")), f"{name}: a search's id beyond gauges of the search")
    with_search = [name for name, (_, labels) in found.items() if "search" in labels]
    check(len(with_search) <= SEARCH_GAUGES, f"metrics with a search's id: {with_search}")
    check("the-search" not in texts[1], "the worker tells the job's id")
    for text in texts:
        for name, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', text):
            check(len(value) < 80 and not re.search(r"evaluate/|[0-9a-f]{32}", value), f"label {name}={value}: a task, digest or path")
    for base in set(COUNTS) - {"espalier_worker_progress_timestamp_seconds"}:
        check(base in found, f"{base} is listed here and not exported")


def check_used(found):
    exported = set(found) | {name + end for name, (kind, _) in found.items() if kind == "histogram" for end in ("_bucket", "_sum", "_count")}
    # Only with a certificate; and after what has not happened here.
    exported |= {"espalier_certificate_expiry_timestamp_seconds"} | FOREIGN | set(recording())
    used = {}
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        for title, expression in queries(board):
            for name in named(expression):
                used.setdefault(name, f"{path.name}: {title}")
        for variable in board["templating"]["list"]:
            for text in re.findall(r"\b(?:espalier|DCGM)_\w+", variable.get("definition", "")):
                used.setdefault(text, f"{path.name}: variable {variable['name']}")
    for name in ("recording.yaml", "alerts.yaml"):
        for expression in expressions((RULES / name).read_text()):
            for metric in named(expression):
                used.setdefault(metric, f"{name}: {expression}")
    for name in re.findall(r"(?<![:\w])espalier_\w*[a-z](?![:\w])", (SOURCE / "docs/operations.md").read_text()):
        used.setdefault(name, "docs/operations.md")
    unknown = {name: where for name, where in used.items() if name not in exported}
    check(not unknown, f"named and not exported: {unknown}")
    unseen = {name for name in found if name.startswith("espalier_") and not any(name in word for word in used)}
    check(len(used) > 60 and not unseen, f"exported, and in no board, rule or page: {unseen}")


def test_metrics_are_named_by_the_rules_and_boards_name_no_others():
    texts = live_metrics(sys.argv[1])
    found = families(texts)
    check_names(found, texts)
    check_used(found)
    print(f"      {len(found)} metrics, {sum(text.count(chr(10)) - text.count('# ') for text in texts)} series", flush=True)


if __name__ == "__main__":
    harness.main([test_boards_follow_the_schema_and_the_linters_rules, test_boards_are_what_the_table_says, test_rules_name_a_board_and_a_section,
                  test_metrics_are_named_by_the_rules_and_boards_name_no_others])
