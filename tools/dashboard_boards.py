"""What the Grafana boards show: panels as rows of a table. make_dashboards.py turns them into Grafana's JSON.

In queries, @ stands for the selectors that every one has (job, instance), @search for those with the search as well, and
RATE for $__rate_interval.
"""

WHERE = 'job=~"$job", instance=~"$instance"'


def fill(expression):
    return (expression.replace("@search", WHERE + ', search=~"$search"').replace("@", WHERE).replace("RATE", "$__rate_interval"))


def panel(kind, title, description, unit, *queries, width=8, height=7, **more):
    return {"type": kind, "title": title, "description": description, "unit": unit, "width": width, "height": height,
            "queries": [(fill(expression), legend) for expression, legend in queries], **more}


def stat(title, description, unit, expression, legend="", **more):
    return panel("stat", title, description, unit, (expression, legend), width=more.pop("width", 4), height=4, **more)


def lines(title, description, unit, *queries, **more):
    return panel("timeseries", title, description, unit, *queries, **more)


def quantiles(metric, by="le", where="@"):
    return [(f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket{{{where}}}[RATE])))", name + (" {{method}}" if "method" in by else ""))
            for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]


SEARCH = {
    "uid": "espalier-search", "title": "Espalier / Search", "has_search": True,
    "description": "What the running searches find, how fast, and what it costs.",
    "rows": [
        ("Now", [
            stat("Searches running", "Searches in state running. Others: the table below.", "none", 'sum(espalier_searches{@, state="running"})'),
            stat("Generation", "The generation that each search is in.", "none", "max by (search) (espalier_generation{@search})", "{{search}}"),
            stat("Best fitness", "KL divergence from the dense model of the best candidate so far, nats per token: lower is better.", "none",
                 "min by (search) (espalier_best_fitness{@search})", "{{search}}"),
            stat("Parent's size", "Cost of the present parent over that of the dense model. The target's share is what it stays below.", "percentunit",
                 "max by (search) (espalier_parent_size_ratio{@search})", "{{search}}"),
            stat("Train tokens used", "Committed train tokens over those of the schedule.", "percentunit",
                 "sum by (search) (espalier_trained_tokens{@search}) / sum by (search) (espalier_planned_train_tokens{@search})", "{{search}}"),
            stat("Stagnation", "Generations since the parent last changed. Many: the search is at its end, or its steps are too large.", "none",
                 "max by (search) (espalier_stagnation_generations{@search})", "{{search}}", thresholds=[("orange", 10), ("red", 20)]),
            stat("Time left", "Train tokens that are left over the rate at which they were committed in the last half hour; the real end may be earlier.", "s",
                 "sum by (search) (clamp_min(espalier_planned_train_tokens{@search} - espalier_trained_tokens{@search}, 0)) "
                 "/ clamp_min(sum by (search) (deriv(espalier_trained_tokens{@search}[30m])), 0.001)", "{{search}}"),
            stat("Useful slot time", "Time of leases in this range of time whose outcome was committed.", "s",
                 'sum(increase(espalier_slot_seconds_total{@, outcome="useful"}[$__range]))'),
            stat("Wasted", "Time of leases that was lost (workers that died, failed or handed back), over all.", "percentunit",
                 'sum(increase(espalier_slot_seconds_total{@, outcome="wasted"}[$__range])) / sum(increase(espalier_slot_seconds_total{@}[$__range]))',
                 thresholds=[("orange", 0.1), ("red", 0.3)]),
            stat("Tokens per second", "Tokens of committed evaluations: trained, trained again and scored.", "none", "sum(rate(espalier_tokens_total{@}[RATE]))"),
            stat("Evaluations", "Outcomes committed in this range of time.", "none", "sum(increase(espalier_evaluations_total{@}[$__range]))"),
            stat("Given up", "Tasks given up after their last attempt, in this range of time.", "none",
                 "sum(increase(espalier_tasks_given_up_total{@}[$__range]))", thresholds=[("red", 1)]),
        ]),
        ("Fitness", [
            lines("Best fitness", "Best candidate so far, with its standard error to either side.", "none",
                  ("min by (search) (espalier_best_fitness{@search})", "{{search}}"),
                  ("min by (search) (espalier_best_fitness{@search}) + min by (search) (espalier_best_fitness_standard_error{@search})", "{{search}} + error"),
                  ("min by (search) (espalier_best_fitness{@search}) - min by (search) (espalier_best_fitness_standard_error{@search})", "{{search}} − error"),
                  width=12),
            lines("Fitness within a generation", "Best, p10, median, p90 and worst of the last generation's candidates, at the stage that each reached.", "none",
                  ("min by (search, rank) (espalier_population_fitness{@search})", "{{search}} {{rank}}"), width=12),
            lines("Stagnation", "Generations since the parent last changed.", "none", ("max by (search) (espalier_stagnation_generations{@search})", "{{search}}")),
            lines("Variety", "Mean share of units in which two candidates of a generation differ, and the share of candidates with a mask of their own.",
                  "percentunit", ("avg by (search) (espalier_population_diversity_ratio{@search})", "{{search}} differ"),
                  ("avg by (search) (espalier_unique_candidates_ratio{@search})", "{{search}} unique"), min=0),
            lines("Do early stages foretell late ones?", "Rank correlation between the first trained stage and the last. Near 0: the first stages are too short.",
                  "none", ("avg by (search) (espalier_stage_rank_agreement{@search})", "{{search}}")),
            lines("Do the operators help?", "Share of the offspring of generations that ended that were better than their parent in the last stage, by the level "
                  "switches that made them: within a kind of unit, from attention to FFN or back, both.", "percentunit",
                  ("sum by (operator) (increase(espalier_offspring_improved_total{@}[$__range])) / sum by (operator) (increase(espalier_offspring_total{@}[$__range]))",
                   "{{operator}}"), min=0),
            lines("Offspring", "Measured, and of them better than their parent, an hour.", "none",
                  ("sum by (operator) (rate(espalier_offspring_total{@}[RATE])) * 3600", "{{operator}}"),
                  ("sum by (operator) (rate(espalier_offspring_improved_total{@}[RATE])) * 3600", "{{operator}} better"), min=0),
            lines("Fitness gained for an hour of device time", "By how much the best fitness fell in the last half hour, over the device hours that the search took meanwhile. "
                  "Near 0: more time brings little. Fitness against device time itself is on the job's page.", "none",
                  ("- min by (search) (deriv(espalier_best_fitness{@search}[30m])) / clamp_min(max by (search) (deriv(espalier_search_device_seconds{@search}[30m])), 0.000001) * 3600",
                   "{{search}}")),
        ]),
        ("Progress", [
            lines("Generations", "Present generation and the schedule's.", "none", ("max by (search) (espalier_generation{@search})", "{{search}}"),
                  ("max by (search) (espalier_planned_generations{@search})", "{{search}} planned"), min=0),
            lines("Train tokens", "Committed, and of the schedule.", "short", ("sum by (search) (espalier_trained_tokens{@search})", "{{search}}"),
                  ("sum by (search) (espalier_planned_train_tokens{@search})", "{{search}} planned"), min=0),
            lines("Stage and tasks", "Tasks that wait and that have a lease; the stage of the generation.", "none",
                  ("sum by (search, state) (espalier_tasks{@search})", "{{search}} {{state}}"),
                  ("max by (search) (espalier_stage{@search})", "{{search}} stage"), min=0),
            lines("Time of a generation", "From one generation's end to the next one's.", "s", *quantiles("espalier_generation_duration_seconds")[:2]),
            lines("Tail of the stages", "Share of the stages' time in which one worker was at work and all others were through: a stage ends with its last task. "
                  "Large: tasks are too few or too unequal for so many workers.", "percentunit",
                  ("sum(rate(espalier_stage_tail_seconds_total{@}[RATE])) / sum(rate(espalier_stage_seconds_total{@}[RATE]))", "tail"), min=0),
            lines("Tokens by use", "Trained; replayed: trained again because a state was gone; scored.", "none",
                  ("sum by (use) (rate(espalier_tokens_total{@}[RATE]))", "{{use}}"), min=0, stack=True),
            panel("table", "Searches by state", "All that the coordinator knows.", "none", ('sum by (state) (espalier_searches{@})', "{{state}}")),
        ]),
        ("What it takes", [
            lines("Device time", "Of all that the search has had committed, by job.", "s", ("max by (search) (espalier_search_device_seconds{@search})", "{{search}}"), min=0),
            lines("Devices at work", "Seconds a second of committed device time, by job: so many devices were at work for it.", "none",
                  ("max by (search) (deriv(espalier_search_device_seconds{@search}[10m]))", "{{search}}"), min=0),
            lines("Evaluations used", "Committed, and those of the whole schedule.", "none", ("max by (search) (espalier_used_evaluations{@search})", "{{search}}"),
                  ("max by (search) (espalier_planned_evaluations{@search})", "{{search}} planned"), min=0),
            lines("Slot time by job", "Of leases that are over, since the coordinator began; wasted: without a result.", "s",
                  ("sum by (search, outcome) (espalier_search_slot_seconds{@search})", "{{search}} {{outcome}}"), min=0),
            lines("Wasted, by cause", "Seconds a second that leases lost. Expired: the worker fell silent. Failed: it reported an error. Handed back: it drained, or "
                  "the search wanted the task no longer.", "none", ("sum by (cause) (rate(espalier_wasted_slot_seconds_total{@}[RATE]))", "{{cause}}"), min=0, stack=True),
            lines("Infeasible, by reason", "Candidates that could not be measured. Memory: too large for an otherwise empty device. Not finite: training or scoring went astray. "
                  "Given up: it killed or failed its workers.", "ops", ("sum by (reason) (rate(espalier_infeasible_total{@}[RATE]))", "{{reason}}"), min=0, stack=True),
        ]),
        ("Evaluations", [
            lines("Committed, by kind and outcome", "Infeasible: a mask that cannot be run, such as one that does not fit the device's memory.", "ops",
                  ("sum by (kind, outcome) (rate(espalier_evaluations_total{@}[RATE]))", "{{kind}} {{outcome}}"), min=0, stack=True),
            panel("heatmap", "Time of an evaluation", "From lease to commit.", "s",
                  ('sum by (le) (increase(espalier_evaluation_duration_seconds_bucket{@, kind="evaluate"}[RATE]))', "{{le}}")),
            lines("Wait for a worker", "From being wanted to being leased.", "s", *quantiles("espalier_task_queue_wait_seconds"), min=0),
            lines("Leases that ended without a result", "Expired: the worker was silent. Failed: it reported an error. Handed back: it drained.", "ops",
                  ("sum by (end) (rate(espalier_leases_ended_total{@}[RATE]))", "{{end}}"), min=0),
            lines("Attempts for a result", "Mean leases for each committed outcome: 1 where nothing fails.", "none",
                  ("sum(rate(espalier_attempts_per_commit_sum{@}[RATE])) / sum(rate(espalier_attempts_per_commit_count{@}[RATE]))", "attempts"), min=0),
            lines("Bank layers taken over", "Layers of level banks that an earlier job had built already.", "ops",
                  ("sum(rate(espalier_bank_layers_reused_total{@}[RATE]))", "layers"), min=0),
        ]),
    ],
}

FLEET = {
    "uid": "espalier-fleet", "title": "Espalier / Fleet", "has_search": False,
    "description": "The workers, what they do, and the cards under them. The GPU rows want NVIDIA's dcgm-exporter.",
    "rows": [
        ("Now", [
            stat("Workers", "Workers that the coordinator has heard of within a lease.", "none", "sum(espalier_workers{@})"),
            stat("Busy slots", "Slots with a lease over all slots.", "percentunit", 'sum(espalier_worker_slots{@, state="taken"}) / clamp_min(sum(espalier_worker_slots{@}), 1)'),
            stat("Wanted slots", "Tasks that run or could run now. More than there are slots: more workers would help.", "none", "sum(espalier_wanted_slots{@})"),
            stat("Lost", "Workers that are silent for longer than a lease.", "none", "sum(espalier_workers_lost{@})", thresholds=[("red", 1)]),
            stat("In quarantine", "Workers that get no leases because their tasks failed where others' did not.", "none",
                 'sum(espalier_workers{@, state="quarantined"})', thresholds=[("red", 1)]),
            stat("Tokens per second", "Of running tasks, as the workers last told.", "none", "sum(espalier_worker_tokens_per_second{@})"),
        ]),
        ("Workers, as the coordinator sees them", [
            lines("Workers by state", "Idle: waits for work.", "none", ("sum by (state) (espalier_workers{@})", "{{state}}"), ("sum(espalier_workers_lost{@})", "lost"), min=0, stack=True),
            lines("Wanted, busy and all slots", "Wanted above all: the fleet is too small for what runs. Below: it is too large.", "none",
                  ("sum(espalier_wanted_slots{@})", "wanted"), ('sum(espalier_worker_slots{@, state="taken"})', "busy"), ("sum(espalier_worker_slots{@})", "all"), min=0),
            lines("Silence", "Time since the last call, over workers. A waiting worker counts as 0. Near the lease's length: the network, or an overloaded coordinator.", "s",
                  ("max by (rank) (espalier_worker_silence_seconds{@})", "{{rank}}"), min=0),
            lines("Leases lost", "By how they ended.", "ops", ("sum by (end) (rate(espalier_leases_ended_total{@}[RATE]))", "{{end}}"), min=0),
            lines("Rejected reports and quarantines", "Reports that cannot be true, and workers taken out for failing.", "ops",
                  ("sum(rate(espalier_reports_rejected_total{@}[RATE]))", "rejected"), ("sum(rate(espalier_quarantines_total{@}[RATE]))", "quarantines"), min=0),
            lines("Drains and deaths", "Workers that left after draining, that their supervisor told to have died, and that fell silent and were forgotten, an hour.", "none",
                  ("sum by (end) (rate(espalier_workers_gone_total{@}[RATE])) * 3600", "{{end}}"), min=0),
            panel("table", "Versions", "Workers by version: more than one only while an upgrade is under way.", "none",
                  ("sum by (version) (espalier_workers_by_version{@})", "{{version}}")),
        ]),
        ("Workers, as they see themselves", [
            lines("Tasks by outcome", "As the workers end them.", "ops", ("sum by (kind, outcome) (rate(espalier_worker_tasks_total{@}[RATE]))", "{{kind}} {{outcome}}"), min=0, stack=True),
            lines("Busiest workers", "Tasks an hour, the ten with the most.", "none",
                  ("topk(10, sum by (instance) (rate(espalier_worker_tasks_total{@}[RATE])) * 3600)", "{{instance}}"), min=0),
            lines("Slowest workers", "Mean time of an evaluation over the fleet's mean, the ten with the largest. Well above 1: a card that is throttled or shared.", "none",
                  ('topk(10, (sum by (instance) (rate(espalier_worker_task_duration_seconds_sum{@, kind="evaluate"}[RATE])) '
                   '/ sum by (instance) (rate(espalier_worker_task_duration_seconds_count{@, kind="evaluate"}[RATE]))) / scalar('
                   'sum(rate(espalier_worker_task_duration_seconds_sum{@, kind="evaluate"}[RATE])) '
                   '/ sum(rate(espalier_worker_task_duration_seconds_count{@, kind="evaluate"}[RATE]))))', "{{instance}}"), min=0),
            lines("Where the time goes", "Seconds a second that workers spend in each step of their tasks.", "none",
                  ("sum by (step) (rate(espalier_worker_step_duration_seconds_sum{@}[RATE]))", "{{step}}"), min=0, stack=True),
            lines("Tokens by use", "Of tasks that ended.", "none", ("sum by (use) (rate(espalier_worker_tokens_total{@}[RATE]))", "{{use}}"), min=0, stack=True),
            lines("Tokens per second by worker", "Of running tasks.", "none", ("topk(10, espalier_worker_tokens_per_second{@})", "{{instance}}"), min=0),
            lines("Without progress", "Time since the running task that stands longest last made progress. Minutes: it hangs.", "s",
                  ("time() - espalier_worker_progress_timestamp_seconds{@}", "{{instance}}"), min=0),
            lines("Calls to the coordinator", "Answered and failed.", "ops", ("sum by (result) (rate(espalier_worker_coordinator_calls_total{@}[RATE]))", "{{result}}"), min=0),
            lines("Connected workers", "Whose last call was answered, and all that are scraped.", "none", ("sum(espalier_worker_connected{@})", "connected"),
                  ("count(espalier_worker_connected{@})", "all"), min=0),
            lines("Device memory", "Most that an evaluation took (0 on a CPU), over what there is.", "bytes", ("max(espalier_worker_gpu_memory_peak_bytes{@})", "peak"),
                  ("max(espalier_worker_memory_bytes{@})", "largest device"), min=0),
            lines("Training states", "Kept for a candidate's next stage.", "bytes", ("sum by (location) (espalier_worker_retained_state_bytes{@})", "{{location}}"), min=0, stack=True),
            lines("Training states found again", "Stages that went on from the state that the one before kept; replayed: it was gone, so that its tokens were trained again.", "ops",
                  ("sum by (result) (rate(espalier_worker_resumed_states_total{@}[RATE]))", "{{result}}"), min=0, stack=True),
            lines("Artifact operations", "By the workers. Look: sizes and names.", "ops",
                  ("sum by (op) (rate(espalier_worker_artifact_operations_total{@}[RATE]))", "{{op}}"), min=0, stack=True),
            lines("Artifact errors", "Damaged: the content is not what its name says. No room: a full disk. Failed: storage that does not answer, or refuses.", "ops",
                  ('sum by (op, result) (rate(espalier_worker_artifact_operations_total{@, result=~"damaged|failed|no_room"}[RATE]))', "worker {{op}} {{result}}"),
                  ('sum by (op, result) (rate(espalier_artifact_operations_total{@, result=~"damaged|failed|no_room"}[RATE]))', "coordinator {{op}} {{result}}"), min=0),
            lines("Artifacts written", "Level banks and exports.", "Bps", ("sum by (kind) (rate(espalier_worker_artifact_bytes_total{@}[RATE]))", "{{kind}}"), min=0),
            lines("Room for artifacts", "Free on the shared disk, as the workers see it.", "bytes", ("min(espalier_worker_artifact_disk_free_bytes{@})", "free"),
                  ("max(espalier_worker_artifact_disk_size_bytes{@})", "size"), min=0),
            lines("Full disks", "Times that a task met a full disk and waits.", "ops", ("sum by (instance) (rate(espalier_worker_disk_full_total{@}[RATE]))", "{{instance}}"), min=0),
            lines("Own slots", "Slots of the workers by what they say.", "none", ("sum by (state) (espalier_worker_own_slots{@})", "{{state}}"), min=0, stack=True),
            panel("table", "Workers", "What each runs on.", "none", ("espalier_worker_build_info{@}", ""), width=24, hide_value=True),
        ]),
        ("Hardware (dcgm-exporter)", [
            lines("GPU utilisation", "Share of time in which a kernel ran.", "percent", ("avg by (instance, gpu) (DCGM_FI_DEV_GPU_UTIL{@})", "{{instance}} {{gpu}}"), min=0),
            lines("Tensor cores", "Share of cycles in which tensor cores were busy.", "percentunit", ("avg by (instance, gpu) (DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{@})", "{{instance}} {{gpu}}"), min=0),
            lines("Framebuffer used", "Device memory that is taken.", "decmbytes", ("max by (instance, gpu) (DCGM_FI_DEV_FB_USED{@})", "{{instance}} {{gpu}}"), min=0),
            lines("Power", "Drawn by each card.", "watt", ("avg by (instance, gpu) (DCGM_FI_DEV_POWER_USAGE{@})", "{{instance}} {{gpu}}"), min=0),
            lines("Temperature", "Of each card.", "celsius", ("max by (instance, gpu) (DCGM_FI_DEV_GPU_TEMP{@})", "{{instance}} {{gpu}}"), min=0),
            lines("Xid errors", "The last error of each card: anything but 0 is a fault of the card or its driver.", "none",
                  ("max by (instance, gpu) (DCGM_FI_DEV_XID_ERRORS{@})", "{{instance}} {{gpu}}"), min=0),
            lines("Failed row remaps", "1: a card has broken rows of memory and none left to take their place.", "none",
                  ("max by (instance, gpu) (DCGM_FI_DEV_ROW_REMAP_FAILURE{@})", "{{instance}} {{gpu}}"), min=0),
        ]),
    ],
}

COORDINATOR = {
    "uid": "espalier-coordinator", "title": "Espalier / Coordinator", "has_search": False,
    "description": "Whether the coordinator is well: leadership, calls, store, disk, process.",
    "rows": [
        ("Now", [
            stat("Leading", "Coordinators that lead. Not 1: nobody answers, or the scrape is wrong.", "none", "sum(espalier_standing_by{@} == bool 0)",
                 thresholds=[("green", 1), ("red", 2)]),
            stat("Standing by", "Coordinators that wait for the leader's end.", "none", "sum(espalier_standing_by{@})"),
            stat("Epoch", "Rises with every start and take-over.", "none", "max(espalier_leader_epoch{@})"),
            stat("Up since", "How long the oldest process lives.", "s", 'max(time() - process_start_time_seconds{@} and on (instance) espalier_standing_by{@})'),
            stat("Room for the state", "Free share of the disk under the state.", "percentunit", "min(espalier_state_disk_free_bytes{@} / espalier_state_disk_size_bytes{@})"),
            stat("Certificate", "Time until it ends.", "s", "min(espalier_certificate_expiry_timestamp_seconds{@} - time())", no_value="none"),
        ]),
        ("Calls", [
            lines("gRPC calls by method", "All that were answered.", "reqps", ("sum by (method) (rate(espalier_rpc_requests_total{@}[RATE]))", "{{method}}"), min=0),
            lines("gRPC calls that failed", "By code. NOT_FOUND and INVALID_ARGUMENT are callers' mistakes.", "reqps",
                  ('sum by (method, code) (rate(espalier_rpc_requests_total{@, code!="OK"}[RATE]))', "{{method}} {{code}}"), min=0),
            lines("Refused callers", "Without a token that is known, or without its role.", "reqps",
                  ('sum by (code) (rate(espalier_rpc_requests_total{@, code=~"UNAUTHENTICATED|PERMISSION_DENIED"}[RATE]))', "gRPC {{code}}"),
                  ('sum by (code) (rate(espalier_http_requests_total{@, code=~"401|403"}[RATE]))', "HTTP {{code}}"), min=0),
            lines("Time of short calls", "Calls that are answered at once.", "s", *quantiles("espalier_rpc_duration_seconds", "le, method"), min=0, width=12),
            lines("Time of long calls", "Calls that wait for something or stream; Synchronize is a worker that waits for work.", "s",
                  *quantiles("espalier_rpc_long_duration_seconds", "le, method")[:2], min=0, width=12),
            lines("Calls that wait", "Workers' calls that wait for something to do.", "none", ("sum(espalier_waiting_calls{@})", "waiting"), min=0),
            lines("Leases granted", "By kind of task: the other way that a worker's call ends.", "ops",
                  ("sum by (kind) (rate(espalier_leases_granted_total{@}[RATE]))", "{{kind}}"), min=0, stack=True),
            lines("HTTP answers", "Probes, metrics and pages, by status.", "reqps", ("sum by (code) (rate(espalier_http_requests_total{@}[RATE]))", "{{code}}"), min=0),
        ]),
        ("Store", [
            lines("Time of a durable write", "Every commit waits for the disk.", "s", *quantiles("espalier_store_commit_seconds"), min=0),
            panel("heatmap", "Durable writes", "By time.", "s", ("sum by (le) (increase(espalier_store_commit_seconds_bucket{@}[RATE]))", "{{le}}")),
            lines("Refused writes", "By code; RESOURCE_EXHAUSTED is a full disk.", "ops", ("sum by (code) (rate(espalier_store_errors_total{@}[RATE]))", "{{code}}"), min=0),
            lines("Events", "Committed to the log.", "none", ("max(espalier_event_log_records{@})", "events"), min=0),
            lines("Artifact operations", "By the coordinator: uploads, downloads, collecting what no job refers to.", "ops",
                  ("sum by (op) (rate(espalier_artifact_operations_total{@}[RATE]))", "{{op}}"), min=0, stack=True),
            lines("Database", "The SQLite file with its log; PostgreSQL has an exporter of its own.", "bytes", ("max(espalier_store_size_bytes{@})", "database"), min=0),
            lines("Disk under the state", "Free, and what it will be in a day if it goes on as in the last six hours.", "bytes",
                  ("min(espalier_state_disk_free_bytes{@})", "free"), ("min(predict_linear(espalier_state_disk_free_bytes{@}[6h], 86400))", "in a day"),
                  ("max(espalier_state_disk_reserve_bytes{@})", "reserve")),
        ]),
        ("Work", [
            lines("Queue", "Tasks by state.", "none", ("sum by (state) (espalier_tasks{@})", "{{state}}"), min=0, stack=True),
            lines("Lateness", "How late the coordinator's thread ran what was due. Above 0.1 s: it has too much to do.", "s", *quantiles("espalier_tick_lag_seconds"), min=0),
            lines("Device time", "Seconds a second of committed evaluations.", "none", ("sum(rate(espalier_engine_seconds_total{@}[RATE]))", "seconds"), min=0),
        ]),
        ("Process", [
            lines("Memory", "Resident, of everything that is scraped.", "bytes", ("process_resident_memory_bytes{@}", "{{job}} {{instance}}"), min=0),
            lines("CPU", "Cores in use.", "none", ("rate(process_cpu_seconds_total{@}[RATE])", "{{job}} {{instance}}"), min=0),
            lines("Open files", "Over those that may be open.", "percentunit", ("process_open_fds{@} / process_max_fds{@}", "{{job}} {{instance}}"), min=0),
            lines("Threads", "Of everything that is scraped.", "none", ("process_threads{@}", "{{job}} {{instance}}"), min=0),
            lines("Scrapes", "Whether and how fast /metrics answers.", "s", ("scrape_duration_seconds{@}", "{{job}} {{instance}}"), min=0),
            panel("table", "Versions", "Of the coordinators.", "none", ("espalier_build_info{@}", ""), hide_value=True),
        ]),
    ],
}

BOARDS = [SEARCH, FLEET, COORDINATOR]
