"""KMS."""

import datetime
import json

from moto.core.exceptions import JsonRESTError
from moto.core.utils import unix_time, utcnow
from moto.kms.models import Key
from moto.kms.responses import KmsResponse

from .patch import around, define

REFUSED_WHEN_PENDING = ["TagResource", "UntagResource", "EnableKey", "DisableKey", "EnableKeyRotation", "DisableKeyRotation"]
REFUSED_WHEN_PENDING += ["CreateAlias", "UpdateAlias", "UpdateKeyDescription", "ScheduleKeyDeletion", "PutKeyPolicy"]


def refused(code, text):
    return JsonRESTError(code, text)


@around(Key, "__init__")
def default_usage(original, self, *args, **kwargs):
    """A key is for ENCRYPT_DECRYPT unless said otherwise."""
    original(self, *args, **kwargs)
    self.key_usage = self.key_usage or "ENCRYPT_DECRYPT"
    self.multi_region = bool(self.multi_region)
    self.rotation_period = 365


def wanted_key(self):
    """The key that the call is about, if it exists."""
    name = self._get_param("TargetKeyId") or self._get_param("KeyId")
    try:
        return self.kms_backend.keys.get(self.kms_backend.any_id_to_key_id(name)) if name else None
    except Exception:  # moto has several errors for an unknown id; the operation itself answers with the right one
        return None


@around(KmsResponse, "call_action")
def pending_keys(original, self):
    """A key that is pending deletion can be read and restored, nothing else; only such a key can be restored."""
    action, key = self._get_action(), wanted_key(self)
    pending = key is not None and key.key_state == "PendingDeletion"
    if (pending and action in REFUSED_WHEN_PENDING) or (key and not pending and action == "CancelKeyDeletion"):
        state = "is pending deletion" if pending else "is not pending deletion"
        problem = refused("KMSInvalidStateException", f"{key.arn} {state}.")
        headers = {"status": "400", "x-amzn-errortype": problem.error_type, "content-type": "application/x-amz-json-1.1"}
        return 400, headers, problem.get_body()
    return original(self)


@define(KmsResponse)
def enable_key_rotation(self):
    """The rotation period is kept, and lies between 90 and 2560 days; a disabled key does not rotate."""
    key_id, days = self._get_param("KeyId"), self._get_param("RotationPeriodInDays")
    self._validate_cmk_id(key_id)
    key = wanted_key(self)
    if days is not None and not 90 <= days <= 2560:
        raise refused("ValidationException", f"RotationPeriodInDays {days} is not between 90 and 2560")
    if not key.enabled:
        raise refused("DisabledException", f"{key.arn} is disabled.")
    if days or not key.key_rotation_status:
        key.rotation_period = days or 365
    key.next_rotation = utcnow() + datetime.timedelta(days=key.rotation_period)
    self.kms_backend.enable_key_rotation(key_id)
    return json.dumps(None)


@around(KmsResponse, "get_key_rotation_status")
def rotation_status(original, self):
    """GetKeyRotationStatus says the period and the next date."""
    status, key = json.loads(original(self)), wanted_key(self)
    status["KeyId"] = key.arn
    if status["KeyRotationEnabled"]:
        status["RotationPeriodInDays"] = key.rotation_period
        status["NextRotationDate"] = unix_time(getattr(key, "next_rotation", utcnow()))
    return json.dumps(status)


@around(KmsResponse, "schedule_key_deletion")
def schedule(original, self):
    """The window lies between 7 and 30 days; the answer says the key's new state."""
    days = self._get_param("PendingWindowInDays") or 30
    if not 7 <= days <= 30:
        raise refused("ValidationException", f"PendingWindowInDays {days} is not between 7 and 30")
    answer = json.loads(original(self))
    return json.dumps({**answer, "KeyId": wanted_key(self).arn, "KeyState": "PendingDeletion", "PendingWindowInDays": days})


def readable_policy(self):
    """A policy that is no JSON object with statements is refused."""
    text = self._get_param("Policy")
    if text is not None:
        try:
            if not json.loads(text)["Statement"]:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise refused("MalformedPolicyDocumentException", "The new key policy is malformed.") from None


@around(KmsResponse, "create_key")
def create_key(original, self):
    """See readable_policy."""
    readable_policy(self)
    return original(self)


@around(KmsResponse, "put_key_policy")
def put_key_policy(original, self):
    """See readable_policy."""
    readable_policy(self)
    return original(self)
