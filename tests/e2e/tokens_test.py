#!/usr/bin/env python3
"""`espalier tokens`, as a user runs it: tokens_test.py ESPALIER MODEL_FOLDER"""

import contextlib
import gzip
import hashlib
import json
import os
import pathlib
import pty
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np
import pyarrow
import pyarrow.ipc
import pyarrow.parquet
from tokenizers import Tokenizer

ESPALIER, MODEL = "", pathlib.Path()
TEXTS = [f"Document {i}: pruning {i * i} of {i} branches.\nIt grows — naïvely — again." for i in range(300)]


class TokensTest(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="espalier-tokens-")
        self.root = pathlib.Path(self.temporary.name)
        self.tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
        (self.root / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))

    def tearDown(self):
        self.temporary.cleanup()

    def tokens(self, *arguments, output="out.npy", code=0):
        command = [ESPALIER, "tokens", *arguments, "--model", MODEL, "--output", self.root / output]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def ids(self, texts):
        return [token for text in texts for token in [*self.tokenizer.encode(text, add_special_tokens=False).ids, 0]]

    def test_documents_follow_each_other_with_the_end_token_between(self):
        self.tokens(self.root / "a.jsonl")
        found = np.load(self.root / "out.npy")
        self.assertEqual(found.dtype, np.uint16)
        self.assertEqual(found.tolist(), self.ids(TEXTS))
        sidecar = json.loads((self.root / "out.npy.json").read_text())
        self.assertEqual(
            sidecar["tokenizer_digest"], hashlib.sha256((MODEL / "tokenizer.json").read_bytes()).hexdigest()
        )
        self.assertEqual((sidecar["documents"], sidecar["tokens"]), (300, len(found)))

    def test_the_same_inputs_give_the_same_bytes_compressed_or_not(self):
        with gzip.open(self.root / "b.jsonl.gz", "wt") as file:
            file.write((self.root / "a.jsonl").read_text())
        self.tokens(self.root / "a.jsonl", output="first.npy")
        self.tokens(self.root / "b.jsonl.gz", output="second.npy")
        self.assertEqual((self.root / "first.npy").read_bytes(), (self.root / "second.npy").read_bytes())

    def test_no_text_stands_in_two_parts_and_shares_come_close(self):
        with open(self.root / "a.jsonl", "a") as file:
            file.write("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))  # every text twice
        self.tokens(self.root / "a.jsonl", "--split", "train=0.8,test=0.2")
        parts = {}
        for name in ("train", "test"):
            flat = np.load(self.root / f"out.{name}.npy").tolist()
            ends = [-1] + [i for i, token in enumerate(flat) if token == 0]
            parts[name] = {tuple(flat[a + 1 : b]) for a, b in zip(ends, ends[1:])}
        self.assertFalse(parts["train"] & parts["test"])
        self.assertEqual(len(parts["train"] | parts["test"]), 300)
        self.assertTrue(30 < len(parts["test"]) < 95, len(parts["test"]))

    def test_rows_are_cut_from_the_stream_and_the_tail_is_dropped(self):
        self.tokens(self.root / "a.jsonl", "--sequence-length", "128")
        found, flat = np.load(self.root / "out.npy"), self.ids(TEXTS)
        self.assertEqual(found.shape, (len(flat) // 128, 128))
        self.assertEqual(found.reshape(-1).tolist(), flat[: found.size])

    def test_a_large_text_is_read_in_pieces_and_is_one_document(self):
        (self.root / "book.txt").write_text("A line of a long book, and no other.\n" * 8000)
        self.tokens(self.root / "book.txt")
        found = np.load(self.root / "out.npy")
        self.assertEqual((found == 0).sum(), 1)
        text = self.tokenizer.decode(found[:-1].tolist())
        self.assertEqual(text, "A line of a long book, and no other.\n" * 8000)
        self.tokens(self.root / "book.txt", "--text-documents", "line")
        self.assertEqual((np.load(self.root / "out.npy") == 0).sum(), 8000)

    def test_bad_input_is_named_and_leaves_nothing(self):
        (self.root / "bad.jsonl").write_text('{"text": "good"}\n{"words": 3}\n')
        (self.root / "torn.jsonl").write_text('{"text": "go\n')
        (self.root / "latin.txt").write_bytes(b"caf\xe9\n")
        (self.root / "empty.txt").write_text("")
        (self.root / "book.txt").write_text("A line of a book.\n" * 100)
        (self.root / "one.jsonl").write_text('{"text": "good"}\n')
        for arguments, part in (
            (["bad.jsonl"], "line 2: has no text in the field 'text'"),
            (["torn.jsonl"], "line 1"),
            (["latin.txt"], "not UTF-8"),
            (["empty.txt"], "would hold no token: the input has no text"),
            (["book.txt", "--split", "train=0.98,test=0.02"], "a text file is one document; --text-documents line makes each line one"),
            (["one.jsonl", "--split", "train=0.5,test=0.5"], "only 1 document is there to split into 2 parts; give more documents"),
            (["one.jsonl", "--sequence-length", "128"], "there is too little text for one row; add text"),
            (["none.jsonl"], "is no file"),
            (["a.jsonl", "--split", "train=0.9,test=0.2"], "sum to 1"),
            (["a.jsonl", "--split", "train"], "NAME=SHARE"),
        ):
            with self.subTest(arguments=arguments):
                done = self.tokens(self.root / arguments[0], *arguments[1:], code=2)
                self.assertIn(part, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1)
                self.assertFalse([file for file in self.root.iterdir() if file.name.startswith("out")])

    def test_parquet_gives_the_tokens_of_its_column(self):
        table = pyarrow.table({"number": list(range(300)), "words": TEXTS})
        pyarrow.parquet.write_table(table, self.root / "a.parquet", row_group_size=70)
        self.tokens(self.root / "a.parquet", "--field", "words")
        self.assertEqual(np.load(self.root / "out.npy").tolist(), self.ids(TEXTS))

    def saved_to_disk(self, folder, table, rows_of_a_file):
        """What datasets.Dataset.save_to_disk leaves."""
        folder.mkdir()
        names = []
        for at in range(0, table.num_rows, rows_of_a_file):
            names.append({"filename": f"data-{len(names):05d}-of-00002.arrow"})
            with pyarrow.ipc.new_stream(folder / names[-1]["filename"], table.schema) as stream:
                stream.write_table(table.slice(at, rows_of_a_file), max_chunksize=64)
        (folder / "state.json").write_text(json.dumps({"_data_files": names, "_split": None, "_format_type": None}))
        (folder / "dataset_info.json").write_text("{}")
        return folder

    def test_a_folder_of_datasets_gives_the_tokens_of_its_files_in_their_order(self):
        folder = self.saved_to_disk(self.root / "saved", pyarrow.table({"text": TEXTS}), 200)
        self.tokens(folder)
        self.assertEqual(np.load(self.root / "out.npy").tolist(), self.ids(TEXTS))
        self.assertEqual(json.loads((self.root / "out.npy.json").read_text())["inputs"], ["saved"])

    def test_columns_that_cannot_be_read_are_named_and_leave_nothing(self):
        pyarrow.parquet.write_table(pyarrow.table({"words": TEXTS}), self.root / "words.parquet")
        pyarrow.parquet.write_table(pyarrow.table({"text": ["good", None]}), self.root / "null.parquet")
        whole = (self.root / "words.parquet").read_bytes()
        (self.root / "torn.parquet").write_bytes(whole[: len(whole) // 2])
        saved = self.saved_to_disk(self.root / "saved", pyarrow.table({"text": TEXTS}), 300)
        (self.root / "torn.arrow").write_bytes((saved / "data-00000-of-00002.arrow").read_bytes()[:-3000])
        (self.root / "several").mkdir()
        (self.root / "several/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
        for name, part in (
            ("words.parquet", "has no column 'text' (--field); it has words"),
            ("null.parquet", "column 'text' holds None, which is no text"),
            ("torn.parquet", "is no whole Parquet file"),
            ("torn.arrow", "is no whole Arrow stream"),
            ("several", "holds the splits train, test; name the folder of one of them"),
            (".", "no folder that datasets wrote"),
        ):
            with self.subTest(name=name):
                done = self.tokens(self.root / name, code=2)
                self.assertIn(part, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1)
                self.assertFalse([file for file in self.root.iterdir() if file.name.startswith("out")])

    def test_on_a_terminal_one_line_rewrites_itself_until_everything_is_read(self):
        (self.root / "many.jsonl").write_text("".join(json.dumps({"text": text * 20}) + "\n" for text in TEXTS * 4))
        leader, follower = pty.openpty()
        command = [ESPALIER, "tokens", self.root / "many.jsonl", "--model", MODEL, "--output", self.root / "out.npy"]
        running = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=follower)
        os.close(follower)
        shown = b""
        with contextlib.suppress(OSError):  # what a terminal says when its last program has gone
            while piece := os.read(leader, 4096):
                shown += piece
        os.close(leader)
        self.assertEqual(running.wait(), 0, shown)
        steps = shown.decode().strip().split("\r")
        self.assertTrue(all(step.startswith("tokens  [") for step in steps), shown)
        shares = [float(step.split("]")[1].split("%")[0]) for step in steps]
        self.assertEqual((shares, shares[-1]), (sorted(shares), 100.0))
        self.assertGreater(len(steps), 1)
        self.assertIn("[" + "#" * 30 + "]", steps[-1])
        self.assertIn(f"{len(np.load(self.root / 'out.npy')):,} tokens", steps[-1])

    def model_with_another_tokenizer(self):
        other = self.root / "model"
        other.mkdir()
        for file in MODEL.iterdir():
            (other / file.name).write_bytes(file.read_bytes() + (b"\n" if file.name == "tokenizer.json" else b""))
        return other

    def test_a_coordinator_refuses_at_its_door_what_another_tokenizer_made(self):
        self.tokens(self.root / "a.jsonl")
        self.tokens(self.root / "a.jsonl", output="b.npy")
        other, state = self.model_with_another_tokenizer(), self.root / "state"
        program = pathlib.Path(ESPALIER).with_name("espalier-coordinator")
        server = subprocess.Popen([program, "--state", state, "--ready-file", self.root / "ready", "--log-level", "off"],
                                  stdout=subprocess.DEVNULL)  # fmt: skip
        try:
            end = time.monotonic() + 60
            while not (self.root / "ready").exists() and time.monotonic() < end:
                time.sleep(0.02)

            def submit(model, tokens, *more):
                command = [ESPALIER, "submit", "--coordinator", f"unix:{state / 'coordinator.sock'}", "--validate-only", "--target", "60%",
                           "--model", model, "--tokens", tokens, "--sequence-length", "64", *more]  # fmt: skip
                return subprocess.run([str(word) for word in command], capture_output=True, text=True)

            done = submit(MODEL, self.root / "out.npy", "--evaluate", self.root / "b.npy")
            self.assertEqual(done.returncode, 0, done.stderr)
            refused = submit(other, self.root / "out.npy")
            self.assertEqual(refused.returncode, 3, refused.stderr)
            self.assertIn("tokens_path", refused.stderr)
            self.assertIn("was made with another tokenizer", refused.stderr)
            (self.root / "out.npy.json").unlink()  # now as a file of another tool: only the held-out one says whose it is
            self.assertNotIn("tokenizer", submit(MODEL, self.root / "out.npy", "--runtime", "gguf").stdout)
            rules = json.loads((other / "tokenizer.json").read_text()) | {"pre_tokenizer": {"type": "Whitespace"}}
            (other / "tokenizer.json").write_text(json.dumps(rules))
            warned = submit(other, self.root / "out.npy", "--runtime", "gguf")
            self.assertEqual(warned.returncode, 0, warned.stderr)
            self.assertIn("note: runtime GGUF: the result's tokenizer cannot be exported", warned.stdout)
            self.assertIn("--without-tokenizer", warned.stdout)
            held_out = submit(other, self.root / "out.npy", "--evaluate", self.root / "b.npy")
            self.assertEqual(held_out.returncode, 3, held_out.stderr)
            self.assertIn("evaluation_path", held_out.stderr)
        finally:
            server.terminate()
            server.wait()

    def test_a_model_with_another_tokenizer_refuses_the_file(self):
        self.tokens(self.root / "a.jsonl")
        other = self.model_with_another_tokenizer()
        results = []
        for model in (MODEL, other):
            command = [ESPALIER, "evaluate", model, "--tokens", self.root / "out.npy", "--sequence-length", "64"]
            results.append(subprocess.run([str(word) for word in command], capture_output=True, text=True))
        self.assertEqual(results[0].returncode, 0, results[0].stderr)
        self.assertNotEqual(results[1].returncode, 0)
        self.assertIn("was made with another tokenizer", results[1].stderr)


if __name__ == "__main__":
    ESPALIER, MODEL = sys.argv[1], pathlib.Path(sys.argv[2])
    unittest.main(argv=sys.argv[:1])
