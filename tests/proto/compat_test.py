#!/usr/bin/env python3
"""The API serves the clients of the last release; and every planted break is found."""

import pathlib
import shutil
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import proto_compat  # noqa: E402
import proto_descriptors  # noqa: E402

SERVICE, JOB, MASK = "search_service.proto", "job.proto", "mask.proto"


class CompatTest(unittest.TestCase):
    def changes(self, *edits):
        """What breaks when (file, text, other text) are done to the present files, against the present files."""
        with tempfile.TemporaryDirectory(prefix="espalier-compat-") as name:
            folder = pathlib.Path(name) / "proto"
            shutil.copytree(ROOT / "proto", folder)
            for file, old, new in edits:
                path = folder / "espalier/v1" / file
                text = path.read_text()
                self.assertEqual(text.count(old), 1, f"{file}: '{old}'")
                path.write_text(text.replace(old, new))
            changed = proto_descriptors.read(proto_descriptors.compile_set(folder))
        return proto_compat.breaking_changes(proto_descriptors.read(proto_descriptors.compile_set(ROOT / "proto")), changed)

    def test_nothing_breaks_the_clients_of_the_last_release(self):
        released = proto_descriptors.read(proto_compat.RELEASED.read_bytes())
        self.assertGreater(sum(len(file.messages) for file in released), 40)
        present = proto_descriptors.read(proto_descriptors.compile_set(ROOT / "proto"))
        self.assertEqual(proto_compat.breaking_changes(released, present), [])

    def test_additions_are_free(self):
        self.assertEqual(self.changes(
            (JOB, "  optional int64 minimum_device_memory = 37;", "  optional int64 minimum_device_memory = 37;\n  optional string note = 900;"),
            (JOB, "  BALANCED = 1;", "  BALANCED = 1;\n  BOLD = 900;"),
            (SERVICE, "message CancelJobRequest {", "message AddedRequest {\n  string name = 1;\n}\n\nmessage CancelJobRequest {"),
            (SERVICE, "  rpc GetJob(GetJobRequest) returns (Job);", "  rpc GetJob(GetJobRequest) returns (Job);\n  rpc Added(GetJobRequest) returns (Job);"),
        ), [])  # fmt: skip

    def test_planted_breaks_are_found(self):
        for edits, expected in (
            ([(JOB, "  optional uint64 seed = 8;", "")], "field espalier.v1.JobSpec.seed is gone"),
            ([(JOB, "optional uint64 seed = 8;", "optional uint64 random_seed = 8;")],
             "field espalier.v1.JobSpec.seed is gone; its number 8 is random_seed now"),
            ([(JOB, "optional uint64 seed = 8;", "optional uint64 seed = 901;")],
             "field espalier.v1.JobSpec.seed had the number 8 and has 901"),
            ([(JOB, "optional uint64 seed = 8;", "optional string seed = 8;")],
             "field espalier.v1.JobSpec.seed was optional uint64 and is optional string"),
            ([(JOB, "optional uint64 seed = 8;", "uint64 seed = 8;")],
             "field espalier.v1.JobSpec.seed was optional uint64 and is uint64"),
            ([(JOB, "optional uint64 seed = 8;", "repeated uint64 seed = 8;")],
             "field espalier.v1.JobSpec.seed was optional uint64 and is repeated uint64"),
            ([(JOB, "    double share = 1;", ""), (JOB, "message Target {", "message Target {\n  double share = 1;")],
             "field espalier.v1.Target.share was double in oneof kind and is double"),
            ([(JOB, "  DARWINLM = 2;", "")], "value espalier.v1.Preset.DARWINLM is gone"),
            ([(JOB, "DARWINLM = 2;", "DARWINLM = 900;")], "value espalier.v1.Preset.DARWINLM was 2 and is 900"),
            ([(MASK, "    TYPE_UNSPECIFIED = 0;", "    TYPE_UNKNOWN = 0;")], "value espalier.v1.RopeConfig.Type.TYPE_UNSPECIFIED is gone"),
            ([(SERVICE, "  rpc PauseJob(PauseJobRequest) returns (Job);", "")], "method espalier.v1.SearchService.PauseJob is gone"),
            ([(SERVICE, "rpc WatchJob(WatchJobRequest) returns (stream WatchJobResponse);",
               "rpc WatchJob(WatchJobRequest) returns (WatchJobResponse);")],
             "method espalier.v1.SearchService.WatchJob was (espalier.v1.WatchJobRequest) returns (stream espalier.v1.WatchJobResponse)"),
            ([(SERVICE, "rpc PauseJob(PauseJobRequest)", "rpc PauseJob(GetJobRequest)")],
             "method espalier.v1.SearchService.PauseJob was (espalier.v1.PauseJobRequest)"),
            ([(SERVICE, "service SearchService {", "service Searches {")], "service espalier.v1.SearchService is gone"),
            ([(SERVICE, "message PauseJobRequest {", "message StopRequest {"),
              (SERVICE, "rpc PauseJob(PauseJobRequest)", "rpc PauseJob(StopRequest)")], "message espalier.v1.PauseJobRequest is gone"),
        ):  # fmt: skip
            with self.subTest(expected=expected):
                lines = self.changes(*edits)
                self.assertTrue(any(line.startswith(expected) for line in lines), lines)


if __name__ == "__main__":
    unittest.main()
