"""Secrets Manager: rotation, and what follows from it for stages and dates.

A rotation is carried out by `carry_out`, and whoever wants to know that AWSCURRENT has moved puts itself around
`moved`: the data plane, where functions run, replaces both. Without it no function runs, and a rotation goes as if the
function had done its work.
"""

import json
import math
import re
import time
import uuid

from moto.awslambda.utils import get_backend
from moto.secretsmanager.exceptions import (
    InvalidParameterException,
    InvalidRequestException,
    OperationNotPermittedOnReplica,
    ResourceNotFoundException,
    SecretNotFoundException,
    SecretsManagerClientError,
)
from moto.secretsmanager.models import FakeSecret, ReplicaSecret, SecretsManagerBackend

from .awslambda import allows
from .patch import around, define
from .secretsmanager import MARKED, secret_of

SERVICE = "secretsmanager.amazonaws.com"
DAY = 86_400
RATE = re.compile(r"rate\((\d+) (hour|day)s?\)")
CRON = re.compile(r"cron\(0 \S+ \S+ \S+ \S+ \S+\)")
CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
NO_FUNCTION = "You tried to enable rotation on a secret that doesn't already have a Lambda function ARN configured "
NO_FUNCTION += "and you didn't include such an ARN as a parameter in this call."
NO_PERMISSION = "Secrets Manager cannot invoke the specified Lambda function. "
NO_PERMISSION += f"Ensure that the function policy grants access to the principal {SERVICE}."


# --- stages ----------------------------------------------------------------------------------------------------------


def version_at(secret, stage):
    """The id of the version that has the stage."""
    return next((id for id, version in secret.versions.items() if stage in version["version_stages"]), None)


def unfinished(secret):
    """What is pending and not current is of a rotation that is not complete."""
    pending = version_at(secret, PENDING)
    return pending if pending != version_at(secret, CURRENT) else None


def make_current(secret, version):
    """AWSCURRENT goes to the version, AWSPREVIOUS to the one that had it."""
    before = version_at(secret, CURRENT)
    for each in secret.versions.values():
        each["version_stages"] = [stage for stage in each["version_stages"] if stage not in (CURRENT, PREVIOUS)]
    if before:
        secret.versions[before]["version_stages"].append(PREVIOUS)
    secret.versions[version]["version_stages"].append(CURRENT)
    secret.default_version_id = version


def moved(backend, secret, version):
    """AWSCURRENT has moved to the version. Of a secret that rotates, that was a rotation, whoever did it."""
    if secret.rotation_enabled:
        secret.last_rotation_date = int(time.time())
        plan(secret)


def tells(name):
    @around(SecretsManagerBackend, name)
    def current_moves(original, self, secret_id, *args, **kwargs):
        """A version without a stage in the call is the current one, also after AWSCURRENT has moved."""
        secret = secret_of(self, secret_id)
        before = version_at(secret, CURRENT) if secret is not None else None
        answer = original(self, secret_id, *args, **kwargs)
        now = version_at(secret, CURRENT) if secret is not None else None
        if now != before:
            secret.default_version_id = now
            moved(self, secret, now)
        return answer


for operation in ("put_secret_value", "update_secret", "update_secret_version_stage"):
    tells(operation)


@around(SecretsManagerBackend, "update_secret_version_stage")
def one_version_a_stage(original, self, secret_id, version_stage, remove_from_version_id, move_to_version_id):
    """A stage that a version has is taken away from that version by name, and nothing changes where the call is wrong."""
    secret = secret_of(self, secret_id)
    if secret is not None:
        for version in (remove_from_version_id, move_to_version_id):
            if version and version not in secret.versions:
                raise ResourceNotFoundException(f"Secrets Manager can't find the specified secret version: {version}")
        has = version_at(secret, version_stage)
        if has and has == move_to_version_id and remove_from_version_id in (None, has):
            return secret.arn, secret.name
        if has and move_to_version_id and not remove_from_version_id:
            text = f"The parameter RemoveFromVersionId can't be empty. Staging label {version_stage} is currently attached to"
            raise InvalidParameterException(f"{text} version {has}, so you must explicitly reference that version.")
    return original(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)


@around(FakeSecret, "_form_version_ids_to_stages")
def only_with_stages(original, self):
    """A version without stages is not shown any more."""
    return {version: stages for version, stages in original(self).items() if stages}


# --- rules -----------------------------------------------------------------------------------------------------------


def checked(rules):
    """Days or a schedule, not both."""
    days, schedule = rules.get("AutomaticallyAfterDays"), rules.get("ScheduleExpression")
    if days is not None and schedule is not None:
        raise InvalidParameterException("You can't specify both AutomaticallyAfterDays and ScheduleExpression.")
    if days is not None and not 1 <= days <= 1000:
        raise InvalidParameterException("RotationRules.AutomaticallyAfterDays must be within 1-1000.")
    if schedule is not None and not CRON.fullmatch(schedule) and not (hours(schedule) or 0) >= 4:
        raise InvalidParameterException(f"The ScheduleExpression {schedule} is not valid.")
    if not re.fullmatch(r"([1-9]|1\d|2[0-4])h", rules.get("Duration") or "1h"):
        raise InvalidParameterException(f"The Duration {rules['Duration']} is not valid.")
    return {name: value for name, value in rules.items() if value is not None}


def hours(schedule):
    """The hours between two rotations of a rate; of a cron expression nothing."""
    match = RATE.fullmatch(schedule)
    return int(match[1]) * (24 if match[2] == "day" else 1) if match else None


def plan(secret):
    """When the secret is to rotate next, and in how many days from the last time."""
    rules = secret.rotation_rules or {}
    every = hours(rules["ScheduleExpression"]) if "ScheduleExpression" in rules else None
    if every:
        secret.rotation_rules = rules = {**rules, "AutomaticallyAfterDays": math.ceil(every / 24)}
    seconds = every * 3600 if every else rules.get("AutomaticallyAfterDays", 0) * DAY
    if "ScheduleExpression" in rules and not every:
        seconds = 0  # no clock runs here that understands cron
    secret.next_rotation_date = int(time.time()) + seconds if seconds else None


@around(FakeSecret, "__init__")
def no_rules_yet(original, self, *args, **kwargs):
    """A new secret does not rotate."""
    original(self, *args, **kwargs)
    self.rotation_rules = None


@around(FakeSecret, "to_dict")
def rotation_is_said(original, self):
    """DescribeSecret says whether a secret rotates also when it never did. Once it did, function and rules stay to be read,
    the dates go with the rotation."""
    described = original(self)
    for name in ("RotationLambdaARN", "RotationRules", "LastRotatedDate", "NextRotationDate"):
        described.pop(name, None)
    described["RotationEnabled"] = self.rotation_enabled
    dates = (self.last_rotation_date, self.next_rotation_date) if self.rotation_enabled else (None, None)
    said = {"RotationLambdaARN": self.rotation_lambda_arn, "RotationRules": self.rotation_rules}
    said |= {"LastRotatedDate": dates[0], "NextRotationDate": dates[1]}
    return {**described, **{name: value for name, value in said.items() if value}}


# --- rotation --------------------------------------------------------------------------------------------------------


def carry_out(backend, secret, version):
    """As if the function had done its work at once: the new version has the current value, and is current."""
    current = secret.versions.get(version_at(secret, CURRENT), {})
    for kind in ("secret_string", "secret_binary"):
        if kind in current:
            secret.versions[version][kind] = current[kind]
    make_current(secret, version)
    moved(backend, secret, version)


def carry_out_managed(backend, secret, version):
    """The service that owns a secret changes the password by itself."""
    value = json.loads(secret.versions[version_at(secret, CURRENT)]["secret_string"])
    secret.versions[version]["secret_string"] = json.dumps({**value, "password": uuid.uuid4().hex + "#A"})
    make_current(secret, version)
    moved(backend, secret, version)


def function_of(backend, arn, secret):
    """The function that rotates, which must let Secrets Manager call it."""
    account, region = (arn.split(":") + [""] * 5)[4], (arn.split(":") + [""] * 5)[3]
    try:
        if account != backend.account_id or region != backend.region_name:
            raise LookupError(arn)
        function = get_backend(account, region).get_function(arn)
    except Exception:  # whatever moto refuses
        raise ResourceNotFoundException(f"Resource not found for ARN '{arn}'.") from None
    if not allows(function, SERVICE, secret.arn, backend.account_id):
        raise SecretsManagerClientError("AccessDeniedException", NO_PERMISSION)
    return function


@define(SecretsManagerBackend)
def rotate_secret(
    self, secret_id, client_request_token=None, rotation_lambda_arn=None, rotation_rules=None, rotate_immediately=True
):
    """RotateSecret: keeps function and rules, and begins a rotation unless it is told to wait."""
    secret = secret_of(self, secret_id)
    if secret is None:
        raise SecretNotFoundException()
    if isinstance(secret, ReplicaSecret):
        raise OperationNotPermittedOnReplica
    if secret.is_deleted():
        raise InvalidRequestException(MARKED)
    rules = checked(rotation_rules) if rotation_rules else secret.rotation_rules
    version = self._from_client_request_token(client_request_token)
    if version in secret.versions:
        return secret.to_short_dict(version_id=version)  # the same call again
    if unfinished(secret):
        raise InvalidRequestException("A previous rotation isn't complete. That rotation will be reattempted.")
    arn = rotation_lambda_arn or secret.rotation_lambda_arn
    if not arn and not secret.owning_service:
        raise InvalidRequestException(NO_FUNCTION)
    if arn:
        function_of(self, arn, secret)
    secret.rotation_requested, secret.rotation_enabled = True, True
    secret.rotation_lambda_arn, secret.rotation_rules = arn, rules
    plan(secret)
    if not rotate_immediately:
        return secret.to_short_dict(include_version_id=False)
    if not secret.versions:
        raise InvalidRequestException(f"The secret {secret.name} has no value that could rotate.")
    secret.remove_version_stages_from_old_versions([PENDING])
    created = {"createdate": int(time.time()), "version_id": version, "version_stages": [PENDING]}
    secret.versions[version] = created
    (carry_out if arn else carry_out_managed)(self, secret, version)
    return secret.to_short_dict(version_id=version)


@around(SecretsManagerBackend, "cancel_rotate_secret")
def cancelled(original, self, secret_id):
    """CancelRotateSecret stops a rotation, and leaves its version, which it tells, pending: the caller removes the stage."""
    original(self, secret_id)
    secret = secret_of(self, secret_id)
    pending = unfinished(secret)
    return secret.to_short_dict(version_id=pending, include_version_id=bool(pending))
