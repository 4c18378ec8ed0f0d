"""Secrets rotate: Secrets Manager calls the function's four steps, and tells EventBridge where AWSCURRENT has gone."""

import json
import threading
import uuid
from datetime import datetime, timezone

from fixes import secretsmanager_rotation as rotation
from fixes.awslambda import allows
from moto.awslambda.utils import get_backend
from moto.events.models import events_backends
from moto.events.utils import EventTemplateParser

from . import functions

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
at_once, moved_before = rotation.carry_out, rotation.moved


# --- the four steps --------------------------------------------------------------------------------------------------


def carry_out(backend, secret, version: str) -> None:
    """In the background. A function that cannot run here has done its work at once."""
    function = get_backend(backend.account_id, backend.region_name).get_function(secret.rotation_lambda_arn)
    if functions.runs(function):
        threading.Thread(target=steps, args=(backend, secret, version), name=f"rotation of {secret.name}", daemon=True).start()
    else:
        at_once(backend, secret, version)


def steps(backend, secret, version: str) -> None:
    """One after the other, up to the first that fails: then the version stays pending."""
    token = str(uuid.uuid4())
    for step in STEPS:
        if not secret.rotation_enabled or secret.is_deleted():
            return  # cancelled
        event = {"Step": step, "SecretId": secret.arn, "ClientRequestToken": version, "RotationToken": token}
        try:
            function = get_backend(backend.account_id, backend.region_name).get_function(secret.rotation_lambda_arn)
        except Exception:  # deleted meanwhile
            return
        request = str(uuid.uuid4())
        if functions.call(function, json.dumps(event).encode(), request).failed:
            print(f"rotation of {secret.name}: {step} failed (request {request})", flush=True)
            return


# --- Secret Label Updated --------------------------------------------------------------------------------------------


def moved(backend, secret, version: str) -> None:
    moved_before(backend, secret, version)
    detail = {"name": secret.name, "labelUpdated": rotation.CURRENT, "versionId": version}
    send(backend.account_id, backend.region_name, "aws.secretsmanager", "Secret Label Updated", [secret.arn], detail)


def send(account: str, region: str, source: str, kind: str, resources: list[str], detail: dict) -> None:
    """An event of AWS's own goes to the functions that the rules of the default bus name."""
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": source,
        "account": account,
        "time": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        "region": region,
        "resources": resources,
        "detail": detail,
    }
    for rule in list(events_backends[account][region].event_buses["default"].rules.values()):
        pattern = rule.event_pattern
        if not rule.state.startswith("ENABLED") or not pattern.get_pattern() or not pattern.matches_event(event):
            continue
        for target in rule.targets:
            if ":lambda:" in target["Arn"]:
                deliver(account, region, rule, target, event)


def deliver(account: str, region: str, rule, target: dict, event: dict) -> None:
    """Calls the function of a target, which must let EventBridge do so for this rule."""
    try:
        function = get_backend(account, region).get_function(target["Arn"])
    except Exception:  # deleted; AWS counts a failed invocation
        return print(f"rule {rule.name}: there is no function {target['Arn']}", flush=True)
    if not allows(function, "events.amazonaws.com", rule.arn, account):
        return print(f"rule {rule.name}: {function.function_name} does not let events.amazonaws.com call it", flush=True)
    if functions.runs(function):
        functions.call_later(function, shaped(target, event), str(uuid.uuid4()))


def shaped(target: dict, event: dict) -> bytes:
    """What the target gets of the event: all of it, unless it says otherwise."""
    if target.get("Input"):
        return target["Input"].encode()
    if transformer := target.get("InputTransformer"):
        paths, whole = transformer.get("InputPathsMap") or {}, {**event, "ingestion-time": event["time"]}
        return json.dumps(EventTemplateParser.parse(transformer["InputTemplate"], paths, whole)).encode()
    return json.dumps(event).encode()


def start() -> None:
    """Takes the place of what stands for rotations where no function runs."""
    rotation.carry_out, rotation.moved = carry_out, moved
