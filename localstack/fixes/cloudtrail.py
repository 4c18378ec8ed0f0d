"""CloudTrail."""

import json

from moto.cloudtrail.models import CloudTrailBackend, Trail
from moto.core.exceptions import JsonRESTError
from moto.core.resource_tagging import TaggedResource, TaggableResourcesMixin

from .patch import around, define

SERVICE = "cloudtrail.amazonaws.com"


def listed(value):
    return value if isinstance(value, list) else [value]


def lets_in(policy, action):
    """Whether a bucket's policy lets CloudTrail do this."""
    statements = listed(json.loads(policy)["Statement"]) if policy else []
    for statement in statements:
        principal = statement.get("Principal")
        services = listed(principal.get("Service", [])) if isinstance(principal, dict) else []
        if statement["Effect"] == "Allow" and SERVICE in services and action in listed(statement.get("Action", [])):
            return True
    return False


def check_policy(trail):
    """The bucket must let CloudTrail look at it and write to it."""
    from moto.s3.models import s3_backends

    policy = s3_backends[trail.account_id][trail.partition].get_bucket(trail.bucket_name).policy
    if not all(lets_in(policy, action) for action in ["s3:GetBucketAcl", "s3:PutObject"]):
        text = f"Incorrect S3 bucket policy is detected for bucket: {trail.bucket_name}"
        raise JsonRESTError("InsufficientS3BucketPolicyException", text)


@around(CloudTrailBackend, "create_trail")
def unique_and_allowed(original, self, name, *args, **kwargs):
    """A name in use is refused, and so is a bucket that does not let CloudTrail write."""
    if name in self.trails:
        arn = self.trails[name].arn
        raise JsonRESTError("TrailAlreadyExistsException", f"Trail {arn} already exists for customer: {self.account_id}")
    trail = original(self, name, *args, **kwargs)
    try:
        check_policy(trail)
    except JsonRESTError:
        del self.trails[name]
        self.tagging_service.delete_all_tags_for_resource(trail.arn)
        raise
    return trail


@around(Trail, "update")
def emptied(original, self, **kwargs):
    """An empty text takes a setting out."""
    original(self, **kwargs)
    self.s3_key_prefix = self.s3_key_prefix or None
    self.kms_key_id = self.kms_key_id or None
    check_policy(self)


@around(CloudTrailBackend, "delete_trail")
def by_arn(original, self, name):
    """DeleteTrail takes an ARN as well as a name, takes the tags along, and refuses what is not there."""
    trail = self.get_trail(name)
    original(self, trail.trail_name)
    self.tagging_service.delete_all_tags_for_resource(trail.arn)


@around(CloudTrailBackend, "list_tags")
def tags_of_trails(original, self, resource_id_list):
    """ListTags takes ARNs only, and those of trails that are there."""
    for arn in resource_id_list:
        if not arn.startswith("arn:"):
            raise JsonRESTError("CloudTrailARNInvalidException", f"{arn} is not a valid trail ARN")
        if arn not in [trail.arn for trail in self.trails.values()]:
            raise JsonRESTError("ResourceNotFoundException", f"{arn} was not found")
    return original(self, resource_id_list)


CloudTrailBackend.SERVICE_NAMESPACE = "cloudtrail"
CloudTrailBackend.__bases__ = (*CloudTrailBackend.__bases__, TaggableResourcesMixin)


@define(CloudTrailBackend)
def iter_tagged_resources(self):
    """GetResources knows trails."""
    for trail in self.trails.values():
        tags = self.tagging_service.get_tag_dict_for_resource(trail.arn)
        yield TaggedResource(arn=trail.arn, tags=tags, resource_type="cloudtrail:trail")
