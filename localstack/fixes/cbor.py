"""The protocol rpc-v2-cbor, which AWS serves for CloudWatch (and current SDKs speak) and moto does not.

A call in that protocol is turned into the same call in JSON, which moto knows, and its answer back. What is a number, a
time or a list in the answer follows from botocore's model of the service.
"""

import base64
import datetime
import functools
import gzip
import io
import json
import re

import cbor2

PATH = re.compile(r"^/service/(?P<target>\w+)/operation/(?P<operation>\w+)$")
SERVICES = {"GraniteServiceVersion20100801": "cloudwatch"}
DROPPED = ("CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_CONTENT_ENCODING", "HTTP_SMITHY_PROTOCOL", "HTTP_ACCEPT")


@functools.cache
def model(service):
    from moto.core.utils import get_service_model

    return get_service_model(service)


def to_json(value):
    """A CBOR value as JSON has it: a time is its seconds, bytes are base64."""
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items() if item is not None}
    return [to_json(item) for item in value] if isinstance(value, list) else value


def seconds(value):
    if isinstance(value, str):
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    return float(value)


SCALARS = {
    "timestamp": lambda value: cbor2.CBORTag(1, seconds(value)),
    "blob": base64.b64decode,
    "double": float,
    "float": float,
    "integer": int,
    "long": int,
    "boolean": lambda value: value if isinstance(value, bool) else str(value).lower() == "true",
    "string": str,
}


def to_cbor(shape, value):
    """A JSON value as the shape has it in CBOR."""
    if shape.type_name == "structure":
        members = shape.members
        return {k: to_cbor(members[k], v) for k, v in value.items() if k in members and v is not None}
    if shape.type_name == "list":
        return [to_cbor(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: to_cbor(shape.value, item) for key, item in value.items()}
    return SCALARS[shape.type_name](value)


def body_of(environ):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    raw = environ["wsgi.input"].read(length) if length else b""
    if environ.get("HTTP_CONTENT_ENCODING") == "gzip":
        raw = gzip.decompress(raw)
    return cbor2.loads(raw) if raw else {}


def json_call(environ, target, operation):
    """The same call in JSON."""
    body = json.dumps(to_json(body_of(environ))).encode()
    call = {name: value for name, value in environ.items() if name not in DROPPED}
    call |= {
        "PATH_INFO": "/",
        "RAW_URI": "/",
        "REQUEST_URI": "/",
        "CONTENT_TYPE": "application/x-amz-json-1.0",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_AMZ_TARGET": f"{target}.{operation}",
        "wsgi.input": io.BytesIO(body),
    }
    return call


def answer(service, operation, status, raw):
    """The answer's members in CBOR."""
    result = json.loads(raw) if raw.strip() else {}
    if not status.startswith("2"):
        code = str(result.get("__type", result.get("code", "InternalFailure"))).rpartition("#")[2]
        return {"__type": code, "message": result.get("message", result.get("Message", ""))}
    shape = model(service).operation_model(operation).output_shape
    return to_cbor(shape, result) if shape else {}


def translating(application):
    """Serves rpc-v2-cbor in front of the application."""

    def serve(environ, start_response):
        path = PATH.match(environ.get("PATH_INFO", ""))
        if environ.get("HTTP_SMITHY_PROTOCOL") != "rpc-v2-cbor" or not path or path["target"] not in SERVICES:
            return application(environ, start_response)
        started = {}

        def remember(status, headers, *_):
            started.update(status=status, headers=headers)

        parts = application(json_call(environ, path["target"], path["operation"]), remember)
        raw = b"".join(parts)
        payload = cbor2.dumps(answer(SERVICES[path["target"]], path["operation"], started["status"], raw))
        kept = [(k, v) for k, v in started["headers"] if k.lower() in ("x-amzn-requestid", "date", "server")]
        kept += [("smithy-protocol", "rpc-v2-cbor"), ("Content-Type", "application/cbor"), ("Content-Length", str(len(payload)))]
        start_response(started["status"], kept)
        return [payload]

    return serve
