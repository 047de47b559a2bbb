"""A client of S3 that shares nothing with ours: boto3, for the harness.

In, a line each on stdin: {"login": {"endpoint", "region", "bucket", "key", "secret"}, "op": "put_object", "args": {...}}, and if wanted
"body": TEXT, "size": N (the body is the text N times), "sent": TEXT (what goes out in the stead of the body that was signed), "at_once": N (so
many do it at the same moment), "into": PATH (the body that comes is written there, and is not in the answer).
Out, a line each: {"status": 200, "code": null, ...}: what boto3 gives, bodies as text, or the status and the code of an error; of many at
once {"status": 200, "code": null, "answers": [...]}.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

clients = {}


def client_of(login):
    name = json.dumps(login, sort_keys=True)
    if name not in clients:
        config = Config(
            s3={"addressing_style": "path"},
            retries={"max_attempts": 0},
            max_pool_connections=64,
            # Nothing is sent or looked at that a case does not ask for.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        clients[name] = boto3.client(
            "s3",
            endpoint_url=login["endpoint"],
            region_name=login["region"],
            aws_access_key_id=login["key"],
            aws_secret_access_key=login["secret"],
            config=config,
        )
    return clients[name]


def ask(request):
    client, args = client_of(request["login"]), {"Bucket": request["login"]["bucket"], **request.get("args", {})}
    if "body" in request:
        args["Body"] = (request["body"] * request.get("size", 1)).encode()
    if "sent" not in request:
        return getattr(client, request["op"])(**args)

    sent = request["sent"].encode()

    def exchange(request, **_):
        request.body = sent

    event = "before-send.s3"
    client.meta.events.register(event, exchange)
    try:
        return getattr(client, request["op"])(**args)
    finally:
        client.meta.events.unregister(event, exchange)


def all_at_once(request, count):
    client_of(request["login"])
    gate = threading.Barrier(count)

    def one(_):
        gate.wait()
        return answer(request)

    with ThreadPoolExecutor(count) as threads:
        return {"status": 200, "code": None, "answers": list(threads.map(one, range(count)))}


def answer(request):
    count = request.pop("at_once", None)
    if count:
        return all_at_once(request, count)
    try:
        said = ask(request)
        status = said.pop("ResponseMetadata")["HTTPStatusCode"]
        if "into" in request and hasattr(said.get("Body"), "read"):
            with open(request["into"], "wb") as file:
                for piece in said.pop("Body").iter_chunks(1 << 20):
                    file.write(piece)
        elif hasattr(said.get("Body"), "read"):
            said["Body"] = said["Body"].read().decode("latin-1")
        return {"status": status, "code": None, **said}
    except ClientError as error:
        said = error.response
        return {"status": said["ResponseMetadata"]["HTTPStatusCode"], "code": said["Error"]["Code"]}
    except BotoCoreError as error:
        return {"status": 0, "code": type(error).__name__}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line)), default=str), flush=True)
