"""Artifacts in object storage, against a real server of the protocol: python3 s3_test.py BUILD_FOLDER

The server is moto's, from the environment that tools/setup.sh --full makes (.deps/s3); without it exit code 77 and why.
"""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from fleet import *

BUILD = pathlib.Path(sys.argv[1])
HERE = pathlib.Path(__file__).resolve().parent
PYTHON = pathlib.Path(SOURCE) / ".deps/s3/bin/python"
SPEC = ["--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--head-granularity", "head", "--generations", "1", "--seed", "5"]


def test_the_contract_of_artifact_stores(bucket):
    result = subprocess.run([BUILD / "bin/contract_test", "[.s3]"], capture_output=True, text=True, timeout=600,
                            env=dict(os.environ, ESPALIER_TEST_S3=bucket))
    print("      " + result.stdout.strip().splitlines()[-1], flush=True)
    check(result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:])


def objects(bucket, prefix):
    script = ("import boto3, os, sys; s = boto3.client('s3', endpoint_url=os.environ['AWS_ENDPOINT_URL_S3'], region_name='us-east-1'); "
              "print('\\n'.join(o['Key'] for o in s.list_objects_v2(Bucket=sys.argv[1], Prefix=sys.argv[2]).get('Contents', [])))")
    return subprocess.run([PYTHON, "-c", script, bucket, prefix], capture_output=True, text=True, check=True).stdout.split()


def test_a_job_over_a_bucket_finds_the_same_masks_and_leaves_nothing_when_deleted(bucket):
    programs = Programs(str(BUILD), fake=True, task_ms=2)
    flags = ["--artifact-grace-seconds", "1"]
    with Folder() as folder, Fleet(folder, programs, lease=0.5, coordinator_flags=flags) as fleet:
        fleet.start_coordinator()
        fleet.submit(*SPEC)
        fleet.start_worker()
        fleet.wait_done()
        reference = fleet.masks()
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    with Folder() as folder, Fleet(folder, programs, lease=5, artifacts=f"s3://{bucket}/run", coordinator_flags=flags) as fleet:
        fleet.start_coordinator()
        fleet.submit(*SPEC)
        for _ in range(2):
            fleet.start_worker()
        fleet.wait_done()
        check(fleet.masks() == reference, "the masks differ from those over a folder")
        stored = objects(bucket, "run/sha256/")
        check(len(stored) > 8, f"only {stored} are in the bucket")
        for text in [fleet.coordinator_log(), *(worker.text() for worker in fleet.workers)]:
            check(secret not in text, "the secret key is in a log")
        code, _, err = fleet.ask("delete", "j")
        check(code == 0, f"delete: {err}")
        wait_until(lambda: not objects(bucket, "run/sha256/"), 60, "the bucket is empty")
        check("removed" in fleet.coordinator_log(), "nobody said that artifacts were removed")


if __name__ == "__main__":
    if not PYTHON.exists():
        print("SKIPPED: no moto; tools/setup.sh --full installs it (tests/contract/requirements.txt)")
        sys.exit(77)
    with Folder() as folder:
        ready = folder / "ready"
        server = subprocess.Popen([PYTHON, HERE / "s3_server.py", ready], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: ready.exists() or server.poll() is not None, 120, "the server of object storage answers")
            check(ready.exists(), f"moto ended: {server.stderr.read()[-1500:] if server.poll() is not None else ''}")
            port, access, secret, bucket = ready.read_text().split()
            os.environ.update(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{port}", AWS_ACCESS_KEY_ID=access, AWS_SECRET_ACCESS_KEY=secret,
                              AWS_REGION="us-east-1")
            main([test_the_contract_of_artifact_stores,
                  test_a_job_over_a_bucket_finds_the_same_masks_and_leaves_nothing_when_deleted], bucket)
        finally:
            server.kill()
            server.wait()
