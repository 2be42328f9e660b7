"""That check_layering.py finds what it is there to find: a tree that follows the rules, and that tree with one violation planted at a time.

python3 layering_test.py
"""

import pathlib
import tempfile
import unittest

import check_layering

HOME_OF_ROOT = "/ro" "ot"  # in two, so that no search for such paths finds this file
GOOD = {
    "common/base/clock.h": "#pragma once\n#include <chrono>\n",
    "common/wire/job.cc": '#include "common/wire/job.h"\n#include "espalier/v1/job.pb.h"\n',
    "coordinator/main.cc": '#include "coordinator/core/coordinator.h"\n#include "common/base/clock.h"\n',
    "coordinator/search/evolution.cc": '#include "common/domain/mask.h"\n',
    "worker/main.cc": '#include "worker/session/session.h"\n',
    "worker/model/forward.cc": '#include <torch/types.h>\n#include "common/checkpoint/model_folder.h"\n',
    "client/render/table.cc": '#include "client/render/table.h"\n#include "client/result/run_report.h"\n',
    "client/commands/run_command.cc": '#include "client/run/run_job.h"\n',
    "bench/coordinator_load/load.cc": '#include "espalier/v1/job.pb.h"\n',
    "tests/unit/search/evolution_test.cc": '#include "coordinator/search/evolution.h"\n#include "tests/support/catch.h"\n',
    "docs/page.md": f"~/models lies in $HOME/models/x, see .{HOME_OF_ROOT}/x; a stub of gRPC.\n",
}
# What is planted, and what must be said.
BAD = [
    ("common/base/files.cc", '#include "common/domain/mask.h"\n', "does not lie below common/base"),
    ("common/base/deeper/files.cc", '#include "common/domain/mask.h"\n', "does not lie below common/base"),
    ("client/render/other.cc", '#include "client/commands/run_command.h"\n', "does not lie below client/render"),
    ("client/process/other.cc", '#include "coordinator/core/coordinator.h"\n', "does not lie below client/process"),
    ("client/main.cc", '#include "coordinator/core/coordinator.h"\n', "does not lie below client"),
    ("coordinator/other.cc", '#include "worker/session/session.h"\n', "does not lie below coordinator"),
    ("worker/other.cc", '#include "worker/train/trainer.h"\n', "does not lie below worker"),
    ("worker/session/other.cc", '#include "worker/engine/task_runner.h"\n', "does not lie below worker/session"),
    ("common/base/test.cc", '#include "tests/support/paths.h"\n', "does not lie below common/base"),
    ("client/newcomer/a.cc", "int x;\n", "client/newcomer/a.cc: its folder has no rule"),
    ("common/newcomer/a.h", "#pragma once\n", "common/newcomer/a.h: its folder has no rule"),
    ("elsewhere/a.cc", "int x;\n", "elsewhere/a.cc: its folder has no rule"),
    ("coordinator/core/a.cc", "#include <torch/types.h>\n", "LibTorch belongs"),
    ("worker/model/a.h", "#pragma once\n#include <torch/torch.h>\n", "use torch/types.h"),
    ("coordinator/core/a.cc", '#include "espalier/v1/job.pb.h"\n', "generated protobuf"),
    ("bench/a.cc", '#include "espalier/v1/job.pb.h"\n', "generated protobuf"),
    ("coordinator/search/a.cc", "#include <thread>\n", "a pure folder includes thread"),
    ("coordinator/schedule/a.cc", '#include "common/base/clock.h"\n', "a pure folder includes common/base/clock.h"),
    ("tests/unit/a_test.cc", "#include <catch2/catch.hpp>\n", "use tests/support/catch.h"),
    ("common/base/a.h", "int x;\n", "no #pragma once"),
    ("common/base/a.cc", "int x;\n" * 501, "501 lines; at most 500"),
    ("tools/a.py", "x = 1\n" * 501, "501 lines; at most 500"),
    ("docs/a.md", "The data lies in /home/somebody/data.\n", "docs/a.md:1: a path of one machine: /home/s"),
    ("tools/a.sh", f"true\ncp '{HOME_OF_ROOT}/models/x' .\n", f"tools/a.sh:2: a path of one machine: {HOME_OF_ROOT}/m"),
    ("tools/a.txt", "--index-url https://pypi.org/simple\n", "a registry's host: pypi.org"),
    ("deploy/Containerfile", "FROM docker.io/debian:12\n", "a registry's host: docker.io"),
    ("worker/model/a.cc", "// TODO: more\n", "work not done: TODO"),
    ("common/base/a.cc", 'return "not implemented";\n', "work not done: not implemented"),
]


class LayeringTest(unittest.TestCase):
    def problems(self, more):
        with tempfile.TemporaryDirectory(prefix="espalier-layering-") as name:
            root = pathlib.Path(name)
            for path, text in {**GOOD, **more}.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            return check_layering.check_tree(root)[0]

    def test_a_tree_that_follows_the_rules_has_no_problem(self):
        self.assertEqual(self.problems({}), [])
        self.assertEqual(self.problems({"docs/binary": "x"}), [])

    def test_each_planted_violation_is_the_one_that_is_found(self):
        for path, text, said in BAD:
            with self.subTest(path=path, text=text[:60]):
                problems = self.problems({path: text})
                self.assertEqual(len(problems), 1, problems)
                self.assertIn(said, problems[0])

    def test_bytes_that_are_no_text_are_passed_over(self):
        with tempfile.TemporaryDirectory(prefix="espalier-layering-") as name:
            (pathlib.Path(name) / "picture.png").write_bytes(b"\x89PNG\xff/home/x")
            self.assertEqual(check_layering.check_tree(pathlib.Path(name)), ([], 0))


if __name__ == "__main__":
    unittest.main()
