#!/usr/bin/env python3
"""A real Lambda function: it speaks the Runtime API, rotates secrets, and does what its event says. It runs by itself, not as
a part of this package."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/"
SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=x"


def ask(url, body=None, **headers):
    request = urllib.request.Request(url, data=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
    with urllib.request.urlopen(request) as answer:
        return answer.headers, json.loads(answer.read() or b"null")


def secrets(operation, **parameters):
    headers = {"X_Amz_Target": f"secretsmanager.{operation}", "Content_Type": "application/x-amz-json-1.1"}
    return ask(os.environ["AWS_ENDPOINT_URL"], json.dumps(parameters).encode(), **headers, Authorization=SIGNED)[1]


def rotate(step, secret, version):
    if step == os.environ.get("FAILS"):
        raise ValueError(f"{step} fails")
    if step == "createSecret":
        value = {"SecretString": f"made by {version}", "VersionStages": ["AWSPENDING"]}
        secrets("PutSecretValue", SecretId=secret, ClientRequestToken=version, **value)
    if step == "finishSecret":
        stages = secrets("DescribeSecret", SecretId=secret)["VersionIdsToStages"]
        (old,) = (each for each, has in stages.items() if "AWSCURRENT" in has)
        move = {"MoveToVersionId": version, "RemoveFromVersionId": old}
        secrets("UpdateSecretVersionStage", SecretId=secret, VersionStage="AWSCURRENT", **move)


def handle(event):
    print("called with", json.dumps(event, sort_keys=True), flush=True)
    if "Step" in event:
        return rotate(event["Step"], event["SecretId"], event["ClientRequestToken"])
    if "exit" in event:
        sys.exit(event["exit"])
    if "fail" in event:
        raise ValueError(event["fail"])
    time.sleep(event.get("sleep", 0))
    return {"pid": os.getpid(), "environment": dict(os.environ)}


if os.environ.get("FAILS") == "init":
    ask(API + "init/error", json.dumps({"errorMessage": "not set up", "errorType": "Config"}).encode())
    sys.exit(1)
while True:
    given, event = ask(API + "invocation/next")
    of = f"{API}invocation/{given['Lambda-Runtime-Aws-Request-Id']}/"
    try:
        ask(of + "response", json.dumps(handle(event)).encode())
    except (ValueError, urllib.error.URLError) as error:
        ask(of + "error", json.dumps({"errorMessage": str(error), "errorType": type(error).__name__}).encode())
