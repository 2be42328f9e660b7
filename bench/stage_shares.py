"""Where the seconds of a generation go when several cards share it, from the log of a coordinator that ran with --log-level debug.

python3 stage_shares.py COORDINATOR_LOG [--skip 1]

For each stage, means over the generations after the first SKIP: its tasks, the seconds from its first lease to its last commit, how many
tasks ran at once on the busiest card and on the least busy one (means over that time), and the seconds in which some card had none.
"""

import argparse
import collections
import datetime
import re
import statistics

LINE = re.compile(r"(\S+) debug (leased|committed) (\S+) attempt (?:.* to worker (\S+?):)?")
STAGE = re.compile(r"/(p\d+/g\d+)/(s\d+)/")


def tasks_of(path):
    """[(task, worker, begin, end)]"""
    begun, tasks = {}, []
    for line in open(path, encoding="utf-8", errors="replace"):
        found = LINE.match(line)
        if not found:
            continue
        seconds = datetime.datetime.fromisoformat(found.group(1)).timestamp()
        task = found.group(3)
        if found.group(2) == "leased":
            begun[task] = (found.group(4), seconds)
        elif task in begun:
            tasks.append((task, *begun.pop(task), seconds))
    return tasks


def busy_seconds(spans, begin, end):
    """Task seconds within the time, and the seconds in which there was at least one."""
    clipped = sorted((max(a, begin), min(b, end)) for a, b in spans if b > begin and a < end)
    total, covered, reach = sum(b - a for a, b in clipped), 0.0, begin
    for a, b in clipped:
        covered += max(0.0, b - max(a, reach))
        reach = max(reach, b)
    return total, covered


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log")
    parser.add_argument("--skip", type=int, default=1)
    flags = parser.parse_args()
    spans = collections.defaultdict(list)  # worker -> of all its tasks: the parent's and the yardsticks' run beside the stages'
    stages = collections.defaultdict(list)  # (generation, stage) -> [(begin, end)]
    for task, worker, begin, end in tasks_of(flags.log):
        spans[worker].append((begin, end))
        if found := STAGE.search(task):
            stages[found.groups()].append((begin, end))
    generations = sorted({generation for generation, _ in stages}, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])[flags.skip :]
    rows = collections.defaultdict(list)
    whole = []
    for generation in generations:
        own = {stage: listed for (of, stage), listed in stages.items() if of == generation}
        previous = first = min(begin for listed in own.values() for begin, _ in listed)
        whole.append(max(end for listed in own.values() for _, end in listed) - first)
        for stage, listed in sorted(own.items()):
            begin, end = previous, max(end for _, end in listed)
            shares = [busy_seconds(worker_spans, begin, end) for worker_spans in spans.values()]
            seconds = max(end - begin, 1e-9)
            at_once = sorted(total / seconds for total, _ in shares)
            rows[stage].append((len(listed), seconds, at_once[-1], at_once[0], sum(seconds - covered for _, covered in shares)))
            previous = end
    print(f"{len(spans)} workers, {len(generations)} generations of {statistics.mean(whole):.3f} s")
    print(f"{'stage':6}{'tasks':>6}{'seconds':>9}{'busiest':>9}{'least':>7}{'card idle, s':>14}")
    for stage, values in sorted(rows.items()):
        n, seconds, most, least, idle = (statistics.mean(column) for column in zip(*values))
        print(f"{stage:6}{n:6.1f}{seconds:9.3f}{most:9.2f}{least:7.2f}{idle:14.3f}")


if __name__ == "__main__":
    main()
