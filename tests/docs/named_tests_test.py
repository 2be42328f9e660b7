"""Every test and file that docs/reliability.md and docs/security.md name is there, and no cell of the two tables is empty.

python3 named_tests_test.py
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["docs/reliability.md", "docs/security.md"]
# "Situation: outcome" between quotes; "..." stands for any words.
QUOTED = re.compile(r'"([A-Z][\w ]*: [^"]+)"')
PATH = re.compile(r"`((?:bench|common|coordinator|deploy|docs|tests|tools|worker)/[\w./-]+)`")


def names_in_sources():
    cases, functions = set(), set()
    for path in (ROOT / "tests").rglob("*.cc"):
        text = path.read_text()
        cases |= {re.sub(r'"\s*"', "", name) for name in re.findall(r'TEST_CASE\(\s*"((?:[^"]|"\s*")*?)"\s*[,)]', text)}
    for path in (ROOT / "tests").rglob("*.py"):
        functions |= set(re.findall(r"^def (test_\w+)\(", path.read_text(), re.M))
    return cases, functions


def missing(text, cases, functions):
    found = []
    for name in QUOTED.findall(text):
        pattern = re.compile(".*".join(re.escape(part.strip(", ")) for part in name.split("...")), re.S)
        if not any(pattern.match(case) for case in cases):
            found.append(name)
    found += [name for name in re.findall(r"`(test_\w+)`", text) if name not in functions]
    found += [path for path in PATH.findall(text) if not (ROOT / path).exists() and not any((ROOT / path).parent.glob(pathlib.Path(path).name + ".*"))]
    return found


def empty_cells(text):
    """Of the tables of invariants and faults: each of I1 to I20 and F1 to F26 has a row, and each of its cells says something."""
    rows = {cells[1]: cells[2:-1] for cells in ([cell.strip() for cell in line.split("|")] for line in text.splitlines()) if len(cells) > 3}
    wanted = [f"I{i}" for i in range(1, 21)] + [f"F{i}" for i in range(1, 27)]
    return [name for name in wanted if name not in rows or not all(rows[name])]


def main():
    cases, functions = names_in_sources()
    wrong = {page: missing((ROOT / page).read_text(), cases, functions) for page in PAGES}
    for page, names in wrong.items():
        for name in names:
            print(f"{page}: there is no '{name}'")
    reliability = (ROOT / PAGES[0]).read_text()
    empty = empty_cells(reliability)
    if empty:
        print(f"{PAGES[0]}: cells without a test or a reason: {', '.join(empty)}")
    # It can fail.
    assert missing('"Limits: a test that nobody wrote" `test_nobody_wrote` `tests/none/x.py`', cases, functions) != []
    assert empty_cells(reliability.replace("| F12 |", "| F99 |")) == ["F12"]
    print(f"{len(QUOTED.findall(reliability))} quoted tests, {len(cases)} in the sources")
    sys.exit(1 if empty or any(wrong.values()) else 0)


if __name__ == "__main__":
    main()
