"""Secrets Manager: what waits for deletion, and versions. Rotation is in secretsmanager_rotation."""

import json

from moto.secretsmanager.exceptions import InvalidRequestException, ResourceExistsException
from moto.secretsmanager.models import SecretsManagerBackend

from .patch import around

MARKED = "You can't perform this operation on the secret because it was marked for deletion."
REFUSED_WHEN_DELETED = ["put_secret_value", "update_secret", "tag_resource", "untag_resource", "put_resource_policy"]


def secret_of(self, name):
    return self.secrets[name] if name in self.secrets else None


def refuse_when_deleted(name):
    @around(SecretsManagerBackend, name)
    def live_only(original, self, *args, **kwargs):
        """A secret that waits for its deletion can be read about and restored, nothing else."""
        identity = args[0] if args else kwargs.get("secret_id", kwargs.get("arn"))
        secret = secret_of(self, identity)
        if secret is not None and secret.is_deleted():
            raise InvalidRequestException(MARKED)
        return original(self, *args, **kwargs)


for operation in REFUSED_WHEN_DELETED:
    refuse_when_deleted(operation)


@around(SecretsManagerBackend, "create_secret")
def name_is_taken_until_deleted(original, self, name, *args, **kwargs):
    """The name of a secret that waits for its deletion is taken: it can be restored, not made again."""
    secret = secret_of(self, name)
    if secret is not None and secret.is_deleted():
        text = "You can't create this secret because a secret with this name is already scheduled for deletion."
        raise InvalidRequestException(text)
    return original(self, name, *args, **kwargs)


@around(SecretsManagerBackend, "delete_secret")
def managed_secret(original, self, secret_id, *args, **kwargs):
    """A secret that RDS manages is deleted by RDS only, which is the one to force it without a recovery window."""
    secret = secret_of(self, secret_id)
    forced = kwargs.get("force_delete_without_recovery") or (args[1:] and args[1])
    if secret is not None and secret.owning_service and not forced:
        text = f"You can't delete the secret {secret_id} because it is managed by {secret.owning_service}."
        raise InvalidRequestException(text)
    return original(self, secret_id, *args, **kwargs)


@around(SecretsManagerBackend, "put_secret_value")
def a_version_has_one_value(original, self, secret_id, secret_string, secret_binary, client_request_token, *args, **kwargs):
    """Also one of a rotation: whoever comes second with the same value changes nothing, also not its stages, and whoever
    comes with another one is told."""
    secret = secret_of(self, secret_id)
    version = secret.versions.get(client_request_token, {}) if secret is not None else {}
    there = version.get("secret_string", version.get("secret_binary"))
    if there is None:
        return original(self, secret_id, secret_string, secret_binary, client_request_token, *args, **kwargs)
    if there != (secret_string or secret_binary):
        text = f"You can't use ClientRequestToken {client_request_token} because that value is already in use"
        raise ResourceExistsException(f"{text} for a version of secret {secret.arn}.")
    return secret.to_short_dict(include_version_stages=True, version_id=client_request_token)


@around(SecretsManagerBackend, "list_secret_version_ids")
def versions_have_their_dates(original, self, secret_id):
    """A version was made when it was made, not when somebody looks."""
    listed, secret = json.loads(original(self, secret_id)), self.secrets[secret_id]
    for version in listed["Versions"]:
        version["CreatedDate"] = secret.versions[version["VersionId"]].get("createdate", version["CreatedDate"])
    return json.dumps(listed)
