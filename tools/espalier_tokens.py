#!/usr/bin/env python3
"""Turns text, JSONL, Parquet and Arrow into the token file that a search reads, with the model's own tokenizer.

    espalier tokens INPUT... --model FOLDER --output FILE.npy [--split train=0.98,test=0.02]

Inputs, by their endings: .jsonl and .ndjson (one object a line, its --field), .parquet and .arrow (a column, --field),
anything else is text; text and JSONL also as .gz. A folder is one that `datasets` wrote with save_to_disk. Documents are
read one after another, never a whole corpus at once; each gets the end-of-text token behind it and follows the one before
(rows of --sequence-length are cut from that stream, the tail is dropped). The same inputs give the same bytes.

--split gives every document to one part by a digest of its text, so that no text stands in two parts; the parts are
FILE.train.npy and so on. Beside each file lies FILE.npy.json, which carries the tokenizer's digest: a search on another
model is refused.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import sys
import time

TEXT_CHUNK = 1 << 16
BATCH_DOCUMENTS = 256
BATCH_CHARACTERS = 1 << 20
HEADER_BYTES = 128


class UsageError(Exception):
    """Said on one line; exit code 2."""


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="espalier tokens", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", type=pathlib.Path, metavar="INPUT")
    parser.add_argument("--model", required=True, type=pathlib.Path, help="folder with tokenizer.json and config.json")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FILE.npy")
    parser.add_argument("--field", default="text", help="of a JSONL object, column of a Parquet or Arrow file (text)")
    parser.add_argument("--text-documents", choices=["file", "line"], default="file", help="what one text document is")
    parser.add_argument("--sequence-length", type=int, default=0, help="rows of so many tokens; 0: one long row")
    parser.add_argument("--split", default="", help="parts and their shares, such as train=0.98,test=0.02")
    parser.add_argument("--no-end-token", action="store_true", help="nothing between documents")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    return parser.parse_args(arguments)


def parse_split(text):
    """Names and shares, in order; the empty name alone when nothing is to be split."""
    if not text:
        return [("", 1.0)]
    parts = []
    for item in text.split(","):
        name, _, share = item.partition("=")
        try:
            parts.append((name.strip(), float(share)))
        except ValueError:
            raise UsageError(f"--split: '{item}' is no NAME=SHARE") from None
    names = [name for name, _ in parts]
    if len(set(names)) != len(names) or not all(name.isidentifier() for name in names):
        raise UsageError(f"--split: '{text}' needs different names of letters and digits")
    if any(share <= 0 for _, share in parts) or abs(sum(share for _, share in parts) - 1) > 1e-6:
        raise UsageError(f"--split: the shares of '{text}' must be above 0 and sum to 1")
    return parts


def part_of(digest, parts):
    """By the first 64 bits of the document's digest: equal texts always meet in one part."""
    at, reached = int.from_bytes(digest[:8], "big") / 2**64, 0.0
    for index, (_, share) in enumerate(parts):
        reached += share
        if at < reached:
            return index
    return len(parts) - 1


class Progress:
    """Bytes read of all bytes, tokens, rate and remaining time; a line that rewrites itself on a terminal."""

    def __init__(self, total, quiet):
        self.total, self.done, self.tokens = max(total, 1), 0, 0
        self.begin, self.shown = time.monotonic(), 0.0
        self.live = not quiet and sys.stderr.isatty()
        self.quiet = quiet

    def show(self, last=False):
        now = time.monotonic()
        if self.quiet or not (last or (self.live and now - self.shown > 0.2)):
            return
        self.shown = now
        seconds = max(now - self.begin, 1e-9)
        share = min(1.0, self.done / self.total)
        bar = "#" * int(30 * share)
        rest = f"{seconds / share - seconds:.0f} s left" if 0 < share < 1 else f"{seconds:.1f} s"
        rate = f"{self.tokens:,} tokens  {self.tokens / seconds:,.0f}/s"
        line = f"tokens  [{bar:<30}] {100 * share:5.1f} %  {rate}  {rest}"
        begin, end = "\r" if self.live else "", "\n" if last or not self.live else ""
        print(begin + line + end, end="", file=sys.stderr, flush=True)


class CountingFile(io.RawIOBase):
    """A file that tells the progress how far it has been read, also below a gzip reader."""

    def __init__(self, path, progress):
        self.file, self.progress = open(path, "rb", buffering=0), progress

    def readable(self):
        return True

    def readinto(self, buffer):
        count = self.file.readinto(buffer)
        self.progress.done += count or 0
        return count

    def close(self):
        self.file.close()
        super().close()


def open_text(path, progress):
    raw = io.BufferedReader(CountingFile(path, progress), 1 << 20)
    stream = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
    return io.TextIOWrapper(stream, encoding="utf-8", errors="strict", newline="")


def kind_of(path):
    suffix = pathlib.Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    kinds = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".arrow": "arrow"}
    return kinds.get(suffix, "text")


def files_of(path):
    """The files of one INPUT: itself, or those of a folder that datasets' save_to_disk wrote, in its order."""
    if path.is_file():
        return [path]
    if (path / "dataset_dict.json").is_file():
        splits = json.loads((path / "dataset_dict.json").read_text()).get("splits", [])
        raise UsageError(f"'{path}': holds the splits {', '.join(splits)}; name the folder of one of them")
    if not (path / "state.json").is_file():
        raise UsageError(f"'{path}' is no file, and no folder that datasets wrote with save_to_disk")
    state = json.loads((path / "state.json").read_text())
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise UsageError(f"'{path}': its rows are chosen by an index; write it with flatten_indices().save_to_disk()")
    return [path / file["filename"] for file in state["_data_files"]]


def chunks_of_text(path, progress):
    """Pieces that end at a line's end, so that a large file need not be in memory; a longer line is one piece."""
    with open_text(path, progress) as file:
        held = ""
        while piece := file.read(TEXT_CHUNK):
            held += piece
            cut = held.rfind("\n") + 1
            if cut:
                yield held[:cut]
                held = held[cut:]
        if held:
            yield held


def digest_of_text_file(path):
    digest = hashlib.sha256()
    for chunk in chunks_of_text(path, Progress(1, True)):
        digest.update(chunk.encode())
    return digest.digest()


def json_documents(path, field, progress):
    with open_text(path, progress) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise UsageError(f"'{path}', line {number}: {error.msg}") from None
            if not isinstance(value, dict) or not isinstance(value.get(field), str):
                raise UsageError(f"'{path}', line {number}: has no text in the field '{field}' (--field)")
            yield value[field]


def parquet_batches(path, field):
    """The names of its columns; then its batches, each with its share of the file."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        yield file.schema_arrow.names
        for batch in file.iter_batches(batch_size=1024, columns=[field]):
            yield batch, batch.num_rows / file.metadata.num_rows


def arrow_batches(path, field):
    """The same of an Arrow stream, which is what datasets writes."""
    import pyarrow.ipc

    with pyarrow.memory_map(str(path)) as file, pyarrow.ipc.open_stream(file) as reader:
        yield reader.schema.names
        before = file.tell()
        for batch in reader:
            yield batch, (file.tell() - before) / file.size()
            before = file.tell()


def column_documents(path, kind, field, progress):
    try:
        import pyarrow
    except ImportError:
        raise UsageError(f"'{path}': {sys.executable} has no package pyarrow (pip install pyarrow)") from None
    try:
        batches = (parquet_batches if kind == "parquet" else arrow_batches)(path, field)
        names = next(batches)
        if field not in names:
            raise UsageError(f"'{path}': has no column '{field}' (--field); it has {', '.join(names)}")
        for batch, share in batches:
            for value in batch.column(field).to_pylist():
                if not isinstance(value, str):
                    raise UsageError(f"'{path}': column '{field}' holds {value!r:.60}, which is no text")
                yield value
            progress.done += int(path.stat().st_size * share)
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the file system's; Arrow's own have none
            raise
        name = "Parquet file" if kind == "parquet" else "Arrow stream"
        raise UsageError(f"'{path}': is no whole {name}: {str(error).splitlines()[0]}") from None


def pieces(arguments, files, parts, progress):
    """(text, part, whether the document ends here)."""
    for path in files:
        kind = kind_of(path)
        if kind == "text" and arguments.text_documents == "file":
            part = part_of(digest_of_text_file(path), parts) if len(parts) > 1 else 0
            ended = None
            for chunk in chunks_of_text(path, progress):
                if ended is not None:
                    yield ended, part, False
                ended = chunk
            if ended is not None:
                yield ended, part, True
            continue
        if kind == "jsonl":
            documents = json_documents(path, arguments.field, progress)
        elif kind in ("parquet", "arrow"):
            documents = column_documents(path, kind, arguments.field, progress)
        else:
            chunks = chunks_of_text(path, progress)
            documents = (line for chunk in chunks for line in chunk.splitlines() if line.strip())
        for text in documents:
            yield text, part_of(hashlib.sha256(text.encode()).digest(), parts), True


def batches(stream):
    batch, characters = [], 0
    for piece in stream:
        batch.append(piece)
        characters += len(piece[0])
        if len(batch) >= BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


class TokenWriter:
    """A .npy that grows as tokens come: the header has a fixed size and is written last, the name appears last."""

    def __init__(self, path, bytes_per_token, row_length):
        self.path, self.width, self.row_length = path, bytes_per_token, row_length
        self.temporary = path.with_name(path.name + f".tmp-{os.getpid()}")
        self.file = open(self.temporary, "wb")
        self.file.write(b"\0" * HEADER_BYTES)
        self.tokens = self.documents = 0

    def write(self, ids, ends):
        import numpy

        numpy.asarray(ids, dtype=f"<u{self.width}").tofile(self.file)
        self.tokens += len(ids)
        self.documents += ends

    def kept(self):
        return self.tokens // self.row_length * self.row_length if self.row_length else self.tokens

    def finish(self):
        kept, row = self.kept(), self.row_length
        self.file.flush()
        self.file.truncate(HEADER_BYTES + kept * self.width)
        shape = f"({kept // row}, {row})" if row else f"({kept},)"
        fields = f"{{'descr': '<u{self.width}', 'fortran_order': False, 'shape': {shape}, }}"
        text = fields.encode().ljust(HEADER_BYTES - 11) + b"\n"
        self.file.seek(0)
        self.file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.temporary, self.path)

    def abandon(self):
        self.file.close()
        self.temporary.unlink(missing_ok=True)


def load_tokenizer(folder):
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UsageError(f"{sys.executable} has no package tokenizers (pip install tokenizers)") from None
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UsageError(f"--model: '{folder}' has no tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, hashlib.sha256(path.read_bytes()).hexdigest()


def end_token(folder, size):
    """eos_token_id of config.json (the first, where there are several)."""
    path = folder / "config.json"
    value = json.loads(path.read_text()).get("eos_token_id") if path.is_file() else None
    value = value[0] if isinstance(value, list) and value else value
    if not isinstance(value, int) or not 0 <= value < size:
        raise UsageError(f"--model: '{path}' names no eos_token_id to end documents with; --no-end-token writes none")
    return value


def part_path(output, name):
    return output.with_name(f"{output.stem}.{name}{output.suffix}") if name else output


def write_sidecar(writer, name, share, arguments, digest, end):
    sidecar = {
        "format": "espalier-tokens",
        "version": 1,
        "tokenizer_digest": digest,
        "tokens": writer.kept(),
        "dropped_tokens": writer.tokens - writer.kept(),
        "documents": writer.documents,
        "row_length": arguments.sequence_length,
        "end_token": end,
        "inputs": [path.name for path in arguments.inputs],
    }
    if name:
        sidecar["part"] = {"name": name, "share": share}
    path = writer.path.with_name(writer.path.name + ".json")
    temporary = path.with_name(path.name + f".tmp-{os.getpid()}")
    temporary.write_text(json.dumps(sidecar, indent=2) + "\n")
    os.replace(temporary, path)


def why_empty(arguments, files, writers):
    """Why a part has no token, and what to do."""
    documents = sum(writer.documents for writer in writers)
    if not any(writer.tokens for writer in writers):
        return "the input has no text; add some"
    if len(writers) == 1:
        return "there is too little text for one row; add text"
    if documents > len(writers):
        return "there is too little text for its share; add text, or give it a larger one"
    number = f"only {documents} document{'s are' if documents != 1 else ' is'} there to split into {len(writers)} parts"
    if arguments.text_documents == "file" and any(kind_of(path) == "text" for path in files):
        return f"{number}, and a text file is one document; --text-documents line makes each line one"
    return f"{number}; give more documents"


def convert(arguments):
    parts = parse_split(arguments.split)
    if arguments.output.suffix != ".npy":
        raise UsageError(f"--output: '{arguments.output}' must end with .npy")
    for path in arguments.inputs:
        if not path.exists():
            raise UsageError(f"'{path}' is no file")
    files = [file for path in arguments.inputs for file in files_of(path)]
    tokenizer, digest = load_tokenizer(arguments.model)
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    end = None if arguments.no_end_token else end_token(arguments.model, size)
    width = 2 if size <= 1 << 16 else 4
    progress = Progress(sum(file.stat().st_size for file in files), arguments.quiet)
    writers = [TokenWriter(part_path(arguments.output, name), width, arguments.sequence_length) for name, _ in parts]
    try:
        for batch in batches(pieces(arguments, files, parts, progress)):
            encodings = tokenizer.encode_batch([text for text, _, _ in batch], add_special_tokens=False)
            for (_, part, ends), encoding in zip(batch, encodings):
                ids = encoding.ids + ([end] if ends and end is not None else [])
                writers[part].write(ids, ends)
                progress.tokens += len(ids)
            progress.show()
        if empty := [writer.path for writer in writers if writer.kept() == 0]:
            raise UsageError(f"'{empty[0]}' would hold no token: {why_empty(arguments, files, writers)}")
        for writer, (name, share) in zip(writers, parts):
            write_sidecar(writer, name, share, arguments, digest, end)
            writer.finish()
    except BaseException:
        for writer in writers:
            writer.abandon()
        raise
    progress.done = progress.total
    progress.show(last=True)
    for writer in writers:
        print(f"{writer.path}  {writer.kept():,} tokens, {writer.documents:,} documents")


def main(arguments=None):
    try:
        convert(parse_arguments(arguments))
        return 0
    except UsageError as error:
        print(f"espalier tokens: {error}", file=sys.stderr)
        return 2
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start} of its block"
        print(f"espalier tokens: an input is not UTF-8: {where}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"espalier tokens: {error.strerror}: '{error.filename}'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
