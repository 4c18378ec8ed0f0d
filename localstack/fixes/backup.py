"""AWS Backup."""

import copy
import json
from urllib.parse import unquote

from moto.backup import urls
from moto.backup.exceptions import (
    AlreadyExistsException,
    BackupClientError,
    InvalidParameterValueException,
    InvalidRequestException,
    ResourceNotFoundException,
)
from moto.backup.models import BackupBackend, Plan, Vault
from moto.backup.responses import BackupResponse
from moto.core.resource_tagging import TaggedResource
from moto.core.utils import unix_time
from moto.moto_api._internal import mock_random

from .patch import around, define

# Paths that AWS takes with and without a slash at their end, and those that moto lacks.
for path in ("backup-vaults", "backup-jobs", "backup-vaults/(?P<name>[^/]+)/recovery-points/(?P<arn>.+)"):
    urls.url_paths[f"{{0}}/{path}/?$"] = urls.response.dispatch


def named(self, kind):
    """What follows `kind` in the path of a request."""
    parts = self.path.split("?")[0].split("/")
    return unquote(parts[parts.index(kind) + 1])


def plan_of(self, plan_id):
    plan = self.plans.get(plan_id)
    if plan is None or plan.deletion_date is not None:
        raise ResourceNotFoundException(msg="Failed reading Backup plan with provided version")
    return plan


@around(BackupBackend, "create_backup_plan")
def names_are_not_unique(original, self, backup_plan, backup_plan_tags, creator_request_id):
    """Plans may share a name. A repeated token answers with the first plan; a plan with the very same content is
    refused; a deleted plan stands in nobody's way."""
    document = copy.deepcopy(backup_plan)
    live = [plan for plan in self.plans.values() if plan.deletion_date is None]
    for plan in live:
        if creator_request_id and plan.creator_request_id == creator_request_id:
            return plan
        if plan.document == document:
            raise AlreadyExistsException(msg="Backup plan with the same plan document already exists")
    plan = Plan(backup_plan=backup_plan, creator_request_id=creator_request_id, backend=self)
    plan.document, plan.selections = document, {}
    self.tag_resource(plan.backup_plan_arn, backup_plan_tags or {})
    self.plans[plan.backup_plan_id] = plan
    return plan


@around(BackupBackend, "delete_backup_plan")
def selections_go_first(original, self, backup_plan_id):
    """A plan that selects something is not deleted."""
    if plan_of(self, backup_plan_id).selections:
        text = "Related backup plan selections must be deleted prior to backup plan deletion"
        raise InvalidRequestException(msg=text)
    return original(self, backup_plan_id)


@define(BackupResponse)
def update_backup_plan(self):
    """UpdateBackupPlan replaces the whole, with the defaults of a new plan, and makes a version."""
    plan = plan_of(self.backup_backend, named(self, "plans"))
    document = json.loads(self.body)["BackupPlan"]
    plan.document = copy.deepcopy(document)
    fresh = Plan(backup_plan=document, creator_request_id=plan.creator_request_id, backend=self.backup_backend)
    plan.backup_plan, plan.version_id = fresh.backup_plan, fresh.version_id
    plan.advanced_backup_settings = fresh.advanced_backup_settings
    return json.dumps(plan.to_dict())


@define(BackupResponse)
def create_backup_selection(self):
    """CreateBackupSelection: the role must be one that AWS Backup can assume."""
    from moto.backends import get_backend

    plan = plan_of(self.backup_backend, named(self, "plans"))
    selection = json.loads(self.body)["BackupSelection"]
    roles = get_backend("iam")[self.current_account]["aws"].get_roles()
    trusted = [role.arn for role in roles if "backup.amazonaws.com" in role.assume_role_policy_document]
    if selection["IamRoleArn"] not in trusted:
        text = f"IAM Role {selection['IamRoleArn']} cannot be assumed by AWS Backup"
        raise InvalidParameterValueException(msg=text)
    if any(other["SelectionName"] == selection["SelectionName"] for other in plan.selections.values()):
        raise AlreadyExistsException(msg="Backup selection with the same name already exists")
    identity = str(mock_random.uuid4())
    plan.selections[identity] = selection
    return json.dumps({"SelectionId": identity, "BackupPlanId": plan.backup_plan_id, "CreationDate": unix_time()})


@define(BackupResponse)
def list_backup_selections(self):
    """ListBackupSelections."""
    plan = plan_of(self.backup_backend, named(self, "plans"))
    shown = [
        {
            "SelectionId": identity,
            "SelectionName": selection["SelectionName"],
            "BackupPlanId": plan.backup_plan_id,
            "IamRoleArn": selection["IamRoleArn"],
        }
        for identity, selection in plan.selections.items()
    ]
    return json.dumps({"BackupSelectionsList": shown})


def selection_of(self):
    plan = plan_of(self.backup_backend, named(self, "plans"))
    identity = named(self, "selections")
    if identity not in plan.selections:
        raise ResourceNotFoundException(msg="Cannot find Backup selection")
    return plan, identity


@define(BackupResponse)
def get_backup_selection(self):
    """GetBackupSelection."""
    plan, identity = selection_of(self)
    shown = {"SelectionId": identity, "BackupPlanId": plan.backup_plan_id, "BackupSelection": plan.selections[identity]}
    return json.dumps(shown)


@define(BackupResponse)
def delete_backup_selection(self):
    """DeleteBackupSelection."""
    plan, identity = selection_of(self)
    del plan.selections[identity]
    return ""


@around(BackupResponse, "get_backup_plan")
def deleted_plans_are_gone(original, self):
    """A deleted plan is not read."""
    plan_of(self.backup_backend, named(self, "plans"))
    return original(self)


@around(BackupBackend, "create_backup_vault")
def own_key(original, self, *args, **kwargs):
    """A vault without a key has AWS's own, and says so."""
    vault = original(self, *args, **kwargs)
    if not vault.encryption_key_arn:
        vault.encryption_key_arn = f"arn:aws:kms:{self.region_name}:{self.account_id}:key/aws-backup"
    return vault


@define(Vault)
@property
def number_of_recovery_points(self):
    """DescribeBackupVault says how many recovery points there are."""
    return self.num_of_recovery_points


@around(BackupBackend, "describe_backup_vault")
def hidden_vault(original, self, backup_vault_name):
    """A vault that is not there is answered as one that the caller may not see."""
    if backup_vault_name not in self.vaults:
        raise BackupClientError("AccessDeniedException", "Insufficient privileges to perform this action.")
    return original(self, backup_vault_name)


@around(BackupBackend, "delete_backup_vault")
def empty_vaults_only(original, self, backup_vault_name):
    """A vault that holds recovery points is kept; one that goes takes its tags along."""
    vault = self.vaults.get(backup_vault_name)
    if vault and vault.num_of_recovery_points:
        text = f"Backup vault cannot be deleted (contains {vault.num_of_recovery_points} recovery points)"
        raise InvalidRequestException(msg=text)
    if vault:
        self.tagger.delete_all_tags_for_resource(vault.backup_vault_arn)
    return original(self, backup_vault_name)


@define(BackupResponse)
def start_backup_job(self):
    """StartBackupJob: it is done at once, and a recovery point is in the vault."""
    body = json.loads(self.body)
    vault = self.backup_backend.describe_backup_vault(body["BackupVaultName"])
    vault.num_of_recovery_points += 1
    identity = str(mock_random.uuid4())
    arn = f"arn:aws:backup:{self.region}:{self.current_account}:recovery-point:{identity}"
    return json.dumps({"BackupJobId": identity, "RecoveryPointArn": arn, "CreationDate": unix_time()})


@define(BackupResponse)
def delete_recovery_point(self):
    """DeleteRecoveryPoint."""
    vault = self.backup_backend.describe_backup_vault(named(self, "backup-vaults"))
    vault.num_of_recovery_points -= 1
    return ""


@define(BackupResponse)
def list_tags(self):
    """Tags of what does not exist are an error. A path ends with a slash or without."""
    arn = named(self, "tags")
    plans = [plan.backup_plan_arn for plan in self.backup_backend.plans.values() if plan.deletion_date is None]
    if arn not in plans + [vault.backup_vault_arn for vault in self.backup_backend.vaults.values()]:
        raise ResourceNotFoundException(msg=f"Resource {arn} does not exist")
    return json.dumps({"Tags": self.backup_backend.list_tags(resource_arn=arn)})


@around(BackupBackend, "iter_tagged_resources")
def plans_have_tags(original, self):
    """GetResources knows plans too."""
    yield from original(self)
    for plan in self.plans.values():
        if plan.deletion_date is None:
            tags = self.tagger.get_tag_dict_for_resource(plan.backup_plan_arn)
            yield TaggedResource(arn=plan.backup_plan_arn, tags=tags, resource_type="backup:backup-plan")
