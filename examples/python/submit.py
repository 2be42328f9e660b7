#!/usr/bin/env python3
"""Submits a job file, watches it and fetches the pruned model, with grpcio and stubs generated from proto/ alone.

    python -m grpc_tools.protoc -I proto --python_out=stubs --grpc_python_out=stubs proto/espalier/v1/*.proto
    PYTHONPATH=stubs python examples/python/submit.py unix:/tmp/espalier.sock job.textproto out/
"""

import pathlib
import sys
import uuid

import grpc
from espalier.v1 import job_pb2, search_service_pb2 as api, search_service_pb2_grpc
from google.protobuf import text_format

address, job_file, output = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
service = search_service_pb2_grpc.SearchServiceStub(grpc.insecure_channel(address))

spec = text_format.Parse(job_file.read_text(), job_pb2.JobSpec())
job = service.CreateJob(api.CreateJobRequest(spec=spec, request_id=str(uuid.uuid4()))).job
print("submitted", job.name)

for update in service.WatchJob(api.WatchJobRequest(name=job.name)):
    job = update.job
    state = api.Job.State.Name(job.state)
    print(f"{state}  {job.progress.step}  {job.progress.tasks_done}/{job.progress.tasks_total} tasks")
if state != "SUCCEEDED":
    sys.exit(f"{job.name} is {state}: {job.failure}")

output.mkdir(parents=True, exist_ok=True)
for file in job.result.files:
    with open(output / pathlib.Path(file.name).name, "wb") as out:
        for piece in service.ReadArtifact(api.ReadArtifactRequest(digest=file.digest)):
            out.write(piece.data)
print(f"{job.result.parameters} parameters, perplexity {job.result.perplexity:.2f}, in {output}")
