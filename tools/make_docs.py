#!/usr/bin/env python3
"""Writes the generated parts of docs/api.md and docs/configuration.md, or says whether they are up to date.

    tools/make_docs.py BUILD_FOLDER            # writes them
    tools/make_docs.py BUILD_FOLDER --check    # exits with 1 and says what differs when a page is not what it would write

From the comments of proto/ (protoc's descriptor set), the --help of the programs, and what a coordinator makes of an
empty job of each preset. What stands outside of the lines "<!-- generated -->" and "<!-- end of generated -->" is left.
"""

import argparse
import difflib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import proto_descriptors as descriptors

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = "espalier.v1."
BEGIN, END = "<!-- generated -->", "<!-- end of generated -->"
ORDER = ["search_service", "job", "mask", "worker_service", "task", "admin_service"]
PROGRAMS = ["espalier-coordinator", "espalier-worker"]


def one_line(comment):
    return " ".join(comment.split()).replace("|", "\\|")


def short(name):
    return name.removeprefix(PACKAGE)


def anchor(name):
    return re.sub(r"[^a-z0-9 -]", "", short(name).lower()).replace(" ", "-")


def type_text(kind, page=""):
    return f"[{short(kind)}]({page}#{anchor(kind)})" if kind.startswith(PACKAGE) else kind.removeprefix("google.protobuf.")


def field_type(field, page=""):
    label = "repeated " if field.is_repeated else "optional " if field.is_optional else ""
    return label + type_text(field.type, page)


# ---- the reference of the API


def method_lines(service, method):
    streams = ("stream " if method.streams_requests else "", "stream " if method.streams_responses else "")
    call = f"`{short(service.name)}/{method.name}`: {streams[0]}{type_text(method.request)} to {streams[1]}{type_text(method.response)}"
    return [f"#### {method.name}", "", call, ""] + ([method.comment.replace("\n", " "), ""] if method.comment else [])


def message_lines(message):
    lines = [f"#### {short(message.name)}", ""]
    if message.comment:
        lines += [message.comment.replace("\n", " "), ""]
    if not message.fields:
        return [*lines, "No fields.", ""]
    lines += ["| field | number | type | |", "| --- | --- | --- | --- |"]
    for field in message.fields:
        note = one_line(field.comment)
        if field.oneof:
            note = f"One of `{field.oneof}`. {note}".strip()
        lines.append(f"| `{field.name}` | {field.number} | {field_type(field)} | {note} |")
    return [*lines, ""]


def enum_lines(enum):
    lines = [f"#### {short(enum.name)}", ""]
    if enum.comment:
        lines += [enum.comment.replace("\n", " "), ""]
    lines += ["| value | number | |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {number} | {one_line(comment)} |" for name, number, comment in enum.values]
    return [*lines, ""]


def api_lines(files):
    by_stem = {pathlib.PurePosixPath(file.name).stem: file for file in files}
    if set(by_stem) != set(ORDER):
        raise SystemExit(f"ORDER in {__file__} names {sorted(ORDER)}; proto/ has {sorted(by_stem)}")
    lines = []
    for stem in ORDER:
        file = by_stem[stem]
        lines += [f"## {file.name}", ""]
        if file.comment:
            lines += [file.comment.replace("\n", " "), ""]
        for service in file.services:
            lines += [f"### {short(service.name)}", "", *([service.comment, ""] if service.comment else [])]
            for method in service.methods:
                lines += method_lines(service, method)
        if file.messages:
            lines += [f"### Messages of {stem}", ""]
        for message in file.messages:
            lines += message_lines(message)
        if file.enums:
            lines += [f"### Enums of {stem}", ""]
        for enum in file.enums:
            lines += enum_lines(enum)
    return lines


# ---- the configuration


class Defaults:
    """What a coordinator fills in for the bundled model: {column: JobSpec as JSON}."""

    COLUMNS = {"balanced, CPU": ("balanced", "cpu"), "balanced, CUDA": ("balanced", "cuda"), "darwinlm": ("darwinlm", "cuda")}

    def __init__(self, programs):
        self.specs = {}
        with tempfile.TemporaryDirectory(prefix="espalier-docs-") as name:
            state = pathlib.Path(name)
            command = [programs / "espalier-coordinator", "--state", state, "--ready-file", state / "ready", "--log-level", "off"]
            server = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
            try:
                end = time.monotonic() + 30
                while not (state / "ready").exists():
                    if server.poll() is not None or time.monotonic() > end:
                        raise SystemExit("espalier-coordinator does not start")
                    time.sleep(0.05)
                for column, (preset, device) in self.COLUMNS.items():
                    self.specs[column] = self.resolve(programs, state, preset, device)
            finally:
                server.terminate()
                server.wait()

    @staticmethod
    def resolve(programs, state, preset, device):
        command = [programs / "espalier", "submit", "--coordinator", f"unix:{state / 'coordinator.sock'}", "--validate-only",
                   "--format", "json", "--model", ROOT / "examples/tiny", "--tokens", ROOT / "examples/tiny-samples.npy",
                   "--target", "60%", "--preset", preset, "--device", device]  # fmt: skip
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout)["spec"]

    def of(self, column, path, field):
        """The value as text; "" where nothing was filled in."""
        at = self.specs[column]
        for step in path:
            at = at[step] if isinstance(step, int) and step < len(at) else at.get(step, {}) if isinstance(at, dict) else {}
        if isinstance(at, list):
            return ", ".join(self.text(item.get(field, "")) for item in at)
        return self.text(at.get(field, ""))

    @staticmethod
    def text(value):
        if isinstance(value, (dict, list)):
            return ""
        return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


# Where a message's values lie in a resolved specification; what is a user's own (paths, names) has no default to show.
TABLES = {
    "JobSpec": [], "Target": None, "CostOptions": ["cost"], "LadderOptions": ["ladder"], "Phase": ["phases", 0],
    "Stage": ["phases", 0, "stages"], "TrainSettings": ["phases", 0, "train"], "StopRules": ["stop"], "Recovery": ["recovery"],
    "GivenMask": None, "GivenMask.Removal": None,
}  # fmt: skip
OWN = {"display_name", "preset", "model_folder", "tokens_path", "evaluation_path", "device"}
TITLES = {"Phase": "each of `phases`", "Stage": "each of `stages`; values of one stage after the other",
          "TrainSettings": "`train` of a phase, of `play_off` and of `recovery`; values of the phase",
          "Recovery": "`recovery` and `play_off`; values of `recovery`"}  # fmt: skip


def job_table(message, defaults):
    name = short(message.name)
    path = TABLES[name]
    title = f"### {name}" + (f": {TITLES[name]}" if name in TITLES else "")
    columns = [] if path is None else list(defaults.specs)
    lines = [title, "", "| field | type | " + "".join(f"{column} | " for column in columns) + "|", "| --- |" + " --- |" * (len(columns) + 2)]
    for field in message.fields:
        values = ["" if field.name in OWN else defaults.of(column, path, field.name) for column in columns]
        cells = "".join(f" {value} |" for value in values)
        lines.append(f"| `{field.name}` | {field_type(field, 'api.md').removeprefix('optional ')} |{cells} {one_line(field.comment)} |")
    return [*lines, ""]


def help_text(program, *words):
    done = subprocess.run([str(program), *words, "--help"], capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "100"})
    if done.returncode != 0:
        raise SystemExit(f"{program} {' '.join(words)} --help: {done.stderr}")
    lines = []
    for line in done.stdout.splitlines():
        if line.startswith("Exit codes:") and words:
            break  # the same for every command; said once
        if line.strip().startswith(("-h,--help", "-h, --help")):
            continue
        lines.append(line.rstrip().replace(str(program), program.name))
    return "\n".join(lines).strip()


def subcommands(text):
    found, is_inside = [], False
    for line in text.splitlines():
        if line and not line.startswith(" "):
            is_inside = line.endswith(":") and "ommands" in line
        elif is_inside and (match := re.match(r"  ([a-z][a-z-]*)\s", line)):
            found.append(match.group(1))
    return found


def flag_lines(programs):
    lines = ["## Flags", ""]
    top = help_text(programs / "espalier")
    lines += ["### espalier", "", "```text", top, "```", ""]
    for command in subcommands(top):
        text = help_text(programs / "espalier", command)
        lines += [f"### espalier {command}", "", "```text", text, "```", ""]
        for nested in subcommands(text):
            lines += [f"### espalier {command} {nested}", "", "```text", help_text(programs / "espalier", command, nested), "```", ""]
    for program in PROGRAMS:
        if (programs / program).exists():
            lines += [f"### {program}", "", "```text", help_text(programs / program), "```", ""]
    return lines


def configuration_lines(files, programs):
    defaults = Defaults(programs)
    messages = {short(message.name): message for file in files for message in file.messages}
    about = {item.name: item.comment for file in files for item in file.messages + file.enums}
    for name in TABLES:  # a field without a comment is told by its type's
        for field in messages[name].fields:
            field.comment = field.comment or about.get(field.type, "")
    lines = ["## The job", ""]
    for name in TABLES:
        lines += job_table(messages[name], defaults)
    return lines + flag_lines(programs)


# ---- pages


def with_generated(page, lines):
    before, found, rest = page.partition(BEGIN + "\n")
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"a page lacks '{BEGIN}' or '{END}'")
    return before + BEGIN + "\n\n" + "\n".join(lines).rstrip() + "\n\n" + END + after


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    files = descriptors.load(ROOT / "proto")
    pages = {"docs/api.md": api_lines(files), "docs/configuration.md": configuration_lines(files, arguments.build.resolve() / "bin")}
    differing = 0
    for name, lines in pages.items():
        path = ROOT / name
        old = path.read_text()
        new = with_generated(old, lines)
        if old == new:
            continue
        differing += 1
        if arguments.check:
            print("".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), name, "as it would be", n=1)), end="")
            print(f"{name} is not up to date: run tools/make_docs.py {arguments.build}")
        else:
            path.write_text(new)
            print(f"wrote {name}")
    return 1 if arguments.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
