"""Bad input through `espalier run`: one line that names the file, field or tensor, the documented exit code, nothing left.

python3 bad_input_test.py BUILD_FOLDER
"""

import json
import re
import shutil
import socket
import struct
import subprocess
import sys

import numpy

from harness import *

programs = Programs(sys.argv[1], fake=True)
real = Programs(sys.argv[1])


def model_copy(folder):
    model = folder / "model"
    shutil.copytree(TINY, model)
    return model


def header_of(model):
    data = (model / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]


def write_header(model, header, body):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (model / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)


def change_header(change):
    def damage(model):
        header, body = header_of(model)
        body = change(header, body) or body
        write_header(model, header, body)
    return damage


def change_config(**fields):
    def damage(model):
        config = json.loads((model / "config.json").read_text())
        config.update(fields)
        (model / "config.json").write_text(json.dumps(config))
    return damage


FIRST = "model.layers.0.mlp.gate_proj.weight"


def overlap(header, body):
    names = [name for name in header if name != "__metadata__"]
    first = min(names, key=lambda name: header[name]["data_offsets"][0])
    other = next(name for name in names if name != first and header[name]["shape"] == header[FIRST]["shape"] and name != FIRST)
    header[other]["data_offsets"] = header[FIRST]["data_offsets"]


def outside(header, body):
    begin, end = header[FIRST]["data_offsets"]
    header[FIRST]["data_offsets"] = [begin + len(body), end + len(body)]


def wrong_shape(header, body):
    header[FIRST]["shape"] = list(reversed(header[FIRST]["shape"]))


def nan_weight(header, body):
    begin, _ = header[FIRST]["data_offsets"]
    return body[:begin] + b"\xc0\x7f" + body[begin + 2:]


def truncate(model):
    data = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(data[:len(data) // 2])


def terabytes(model):
    data = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 42) + data[8:])


def pickle(model):
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")


# Damage, words that the message must hold, programs.
MODELS = {
    "no config.json": (lambda model: (model / "config.json").unlink(), ["config.json"], programs),
    "unknown architecture": (change_config(model_type="mamba", architectures=["MambaForCausalLM"]), ["config.json", "mamba"], programs),
    "quantised weights": (change_config(quantization_config={"quant_method": "gptq"}), ["quantization_config"], programs),
    "truncated safetensors": (truncate, ["model.safetensors"], programs),
    "overlapping offsets": (change_header(overlap), ["model.safetensors"], programs),
    "offsets out of the file": (change_header(outside), ["model.safetensors"], programs),
    "a header of terabytes": (terabytes, ["model.safetensors", "4398046511104"], programs),
    "a wrong shape": (change_header(wrong_shape), [FIRST], programs),
    "a pickle": (pickle, ["safetensors"], programs),
    "a NaN weight": (change_header(nan_weight), [FIRST], real),
}


def run_arguments(folder, model, *more):
    return ["run", "--model", model, "--tokens", SAMPLES, *([] if "--target" in more else ["--target", "60%"]), "--generations", "0", "--workers",
            "1", "--output", folder / "out", "--state", folder / "s", *more]


def expect(folder, which, arguments, code, words):
    actual, out, err = which.run(*arguments, timeout=120)
    lines = [line for line in err.splitlines() if line.startswith("espalier: ")]
    check(actual == code, f"exit code {actual} instead of {code}: {err}")
    check(len(lines) == 1, f"not one line but: {err!r}")
    for word in words:
        check(word in lines[0], f"'{word}' is not in: {lines[0]}")
    check(not (folder / "out").exists(), "OUT was made")
    check(code != 3 or not (folder / "s").exists(), "the state folder of a refused job is left")
    check(not servers_with(str(folder)), "a process is left")
    print(f"      {lines[0].replace(str(folder), '')}", flush=True)
    return lines[0]


def test_models():
    failures = []
    for name, (damage, words, which) in MODELS.items():
        with Folder() as folder:
            model = model_copy(folder)
            damage(model)
            try:
                # A NaN is only seen by who reads the weights, a worker: then the job has failed.
                expect(folder, which, run_arguments(folder, model), 5 if which is real else 3, words)
            except AssertionError as error:
                failures.append(f"{name}: {error}")
    check(not failures, "; ".join(failures))


def test_tokens():
    with Folder() as folder:
        tokens = numpy.load(SAMPLES).astype(numpy.uint16)
        beyond = tokens.copy()
        beyond[3, 5] = 5000
        numpy.save(folder / "beyond.npy", beyond)
        numpy.save(folder / "few.npy", tokens[:4])
        (folder / "text.npy").write_text("not an array")
        for name, words in {"beyond.npy": ["beyond.npy", "5000"], "text.npy": ["text.npy"], "missing.npy": ["missing.npy"],
                            "few.npy": ["few.npy", "2048 tokens", "at least 16384 tokens"]}.items():
            arguments = run_arguments(folder, TINY)
            arguments[arguments.index("--tokens") + 1] = folder / name
            expect(folder, programs, arguments, 3, words)


def test_too_few_tokens_for_a_schedule_says_how_many_are_needed():
    """And that is enough, exactly: with so many the job is accepted, with a window less it is not."""
    tokens = numpy.load(SAMPLES).reshape(-1).astype(numpy.uint16)
    length = 128
    with Folder() as folder:
        arguments = ["run", "--model", TINY, "--tokens", folder / "some.npy", "--target", "60%", "--preset", "darwinlm", "--generations", "1",
                     "--sequence-length", str(length), "--workers", "1", "--output", folder / "out", "--state", folder / "s"]
        numpy.save(folder / "some.npy", tokens[:300 * length])
        line = expect(folder, programs, arguments, 3, ["some.npy", "train_tokens", "too few tokens", "at least"])
        needed = int(re.search(r"at least (\d+) tokens", line)[1])
        check(300 * length < needed <= len(tokens), f"{needed} tokens")
        numpy.save(folder / "some.npy", tokens[:needed - length])
        expect(folder, programs, arguments, 3, [f"at least {needed} tokens"])
        numpy.save(folder / "some.npy", tokens[:needed])
        code, _, err = programs.run(*arguments, timeout=120)
        check(code == 0, f"exit code {code} with {needed} tokens: {err}")


def test_targets_and_fields():
    with Folder() as folder:
        job = folder / "job.textproto"
        job.write_text("seed: 1\nfrobnicate: 2\n")
        # The tiny model has 3,935,424 parameters, and 786,624 with every unit removed.
        cases = [(["--target", "1%"], ["target 1% (39354)", "below", "786624"]), (["--target", "786623"], ["target 786623", "786624"]),
                 (["--target", "5M"], ["target 5000000", "above", "3935424"]), (["--target", "101%"], ["--target", "101%", "100%"]),
                 (["--target", "lots"], ["--target", "lots"]),
                 (["--target", "60%", "--job", job], ["job.textproto:2", "frobnicate"]),
                 (["--target", "60%", "--sequence-length", "100000"], ["100000", "1024"]),
                 (["--target", "60%", "--first-parent", folder / "none.json"], ["none.json"])]
        for flags, words in cases:
            expect(folder, programs, run_arguments(folder, TINY, *flags), 3, words)


def test_a_refused_job_leaves_its_state_folder_to_the_next():
    with Folder() as folder:
        expect(folder, programs, run_arguments(folder, TINY, "--target", "1%"), 3, ["target 1%"])
        code, _, err = programs.run(*run_arguments(folder, TINY, "--target", "70%"), timeout=60)
        check(code == 0, f"the same command with a target that can be reached: {code}: {err}")


def test_usage_and_absent_coordinator():
    with Folder() as folder:
        code, _, err = programs.run("run", "--no-such-flag")
        check(code == 2 and err.startswith("espalier: "), f"{code}: {err}")
        expect(folder, programs, ["list", "--coordinator", "127.0.0.1:1"], 4, ["127.0.0.1:1"])
        expect(folder, programs, ["get", "x", "--coordinator", f"unix:{folder}/none"], 4, ["none"])
        expect(folder, programs, ["inspect", folder / "none"], 3, ["none"])


def test_an_output_over_what_is_needed():
    """Nothing is deleted that is no export of ours, and never what the work reads; refused before anything starts."""
    with Folder() as folder:
        model = model_copy(folder)
        (folder / "foreign" / "model").mkdir(parents=True)
        shutil.copy(model / "config.json", folder / "foreign" / "model")
        (folder / "link").symlink_to(folder)
        before = sorted(path.relative_to(folder) for path in folder.rglob("*"))

        def refused(output, words, *arguments):
            expect(folder, programs, [*arguments, "--output", output], 3, ["--output", *words])
            check(sorted(path.relative_to(folder) for path in folder.rglob("*")) == before, f"--output {output} changed the folder")

        run = run_arguments(folder, model)
        at = run.index("--output")
        run = run[:at] + run[at + 2:]
        refused(folder, ["is the model folder", str(model)], *run)
        refused(folder / "link", ["is the model folder"], *run)
        refused(model / "new", ["lies inside"], *run)
        refused(folder / "foreign", [str(folder / "foreign" / "model"), "no export"], *run)
        refused(model / "sub", ["lies inside"], "export", model, "--runtime", "nemotron-nas")
        refused(model / "model.safetensors", ["no GGUF"], "export", model, "--runtime", "gguf")


def test_recovery_that_fits_no_device():
    """Told by what the worker finds on this machine, before a coordinator starts; without recovery tokens it is no matter."""
    with Folder() as folder:
        worker = folder / "worker"
        worker.write_text("""#!/bin/sh
echo '{"libtorch": "2.11", "cuda_devices": [{"name": "A card", "memory_bytes": 20000000, "free_bytes": 20000000}]}'
""")
        worker.chmod(0o755)
        with_card = Programs(sys.argv[1])
        with_card.environment["ESPALIER_WORKER"] = str(worker)
        # 3,935,424 dense parameters at 2 bytes and 60 % of them at 7.
        expect(folder, with_card, run_arguments(folder, TINY, "--device", "cuda", "--recovery-tokens", "4096"), 3,
               ["recovery.tokens is 4096", "24.4 MB", "GPU of this machine has 20.0 MB", "smaller target"])
        expect(folder, with_card, run_arguments(folder, TINY, "--recovery-tokens", "4096", "--minimum-device-memory", "1000TB"), 3,
               ["this machine has", "minimum_device_memory"])
        check(not (folder / "s").exists(), "something was started")


def test_a_port_in_use():
    """The coordinator's documented exit code 3, a line, and no folder."""
    with Folder() as folder, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for listen, http, flag in ((port, 0, "--listen"), (0, port, "--http")):
            done = subprocess.run([str(programs.bin / "espalier-coordinator"), "--listen", f"127.0.0.1:{listen}", "--http", f"127.0.0.1:{http}",
                                   "--state", str(folder / "s"), "--artifacts", str(folder / "a")], capture_output=True, text=True, timeout=30)
            check(done.returncode == 3, f"exit code {done.returncode}: {done.stderr}")
            check(done.stderr == f"error: {flag}: cannot listen on 127.0.0.1:{port}: Address already in use; name another address or port\n",
                  f"not one line but: {done.stderr!r}")
            check(not list(folder.iterdir()), f"left behind: {list(folder.iterdir())}")


def change_a_weight(model):
    """One bit of the last tensor: the size, the header and the configuration stay as they were."""
    data = bytearray((model / "model.safetensors").read_bytes())
    data[-2] ^= 1
    (model / "model.safetensors").write_bytes(data)


def test_other_model_files_at_the_worker():
    """The files change between submission and work: the worker refuses them by their digest."""
    for change in (change_config(rope_parameters={"rope_theta": 20000.0, "rope_type": "default"}), change_a_weight):
        with Folder() as folder:
            model = model_copy(folder)
            address = f"unix:{folder}/c"
            coordinator = subprocess.Popen([str(real.bin / "espalier-coordinator"), "--listen", address, "--state", str(folder / "s"),
                                            "--artifacts", str(folder / "a")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            worker = None
            try:
                wait_until(lambda: real.run("list", "--coordinator", address)[0] == 0, what="the coordinator answers")
                code, out, err = real.run("submit", "--model", model, "--tokens", SAMPLES, "--target", "60%", "--generations", "0", "--job-id",
                                          "j", "--coordinator", address)
                check(code == 0, err)
                change(model)
                worker = subprocess.Popen([str(real.bin / "espalier-worker"), "--coordinator", address, "--artifacts", str(folder / "a")],
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                code, out, err = real.run("watch", "j", "--coordinator", address, timeout=60)
                check(code == 5, f"exit code {code}: {out}{err}")
                told = [line for line in (out + err).splitlines() if "digest" in line]
                check(len(told) == 1 and str(model) in told[0], f"no line names the folder and its digest: {out}{err}")
                print(f"      {told[0].replace(str(folder), '')}", flush=True)
            finally:
                for process in (worker, coordinator):
                    if process is not None:
                        process.terminate()
                        process.wait(timeout=20)


if __name__ == "__main__":
    main([test_models, test_tokens, test_too_few_tokens_for_a_schedule_says_how_many_are_needed, test_targets_and_fields,
          test_a_refused_job_leaves_its_state_folder_to_the_next, test_usage_and_absent_coordinator, test_an_output_over_what_is_needed,
          test_recovery_that_fits_no_device, test_a_port_in_use, test_other_model_files_at_the_worker])
