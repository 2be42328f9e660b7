"""A server of the S3 protocol (moto) that checks signatures: s3_server.py READY_FILE

Writes "PORT ACCESS_KEY SECRET_KEY BUCKET" to READY_FILE and serves until it is killed.
"""

import logging
import os
import sys
import time

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "3"  # making the user; from then on every request must be signed with its key

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "espalier-test"
POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()


def client(service, access, secret):
    return boto3.client(service, endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", aws_access_key_id=access,
                        aws_secret_access_key=secret)


iam = client("iam", "none", "none")
iam.create_user(UserName="espalier")
key = iam.create_access_key(UserName="espalier")["AccessKey"]
iam.put_user_policy(UserName="espalier", PolicyName="all", PolicyDocument=POLICY)
client("s3", key["AccessKeyId"], key["SecretAccessKey"]).create_bucket(Bucket=BUCKET)
with open(sys.argv[1] + ".tmp", "w", encoding="utf-8") as ready:
    ready.write(f"{port} {key['AccessKeyId']} {key['SecretAccessKey']} {BUCKET}\n")
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
while True:
    time.sleep(3600)
