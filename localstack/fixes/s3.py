"""S3."""

import json

import xmltodict
from moto.s3.models import FakeBucket, PublicAccessBlock, S3Backend
from moto.s3.responses import S3Response

from .patch import around

MANAGED = {"Rule": {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": "false"}}


@around(FakeBucket, "__init__")
def protected(original, self, *args, **kwargs):
    """A new bucket blocks public access, belongs with all that is in it to its owner, and is encrypted."""
    original(self, *args, **kwargs)
    self.public_access_block = PublicAccessBlock(True, True, True, True)
    self.ownership_rule = "BucketOwnerEnforced"
    self.encryption = MANAGED


@around(S3Backend, "delete_bucket_encryption")
def encrypted_again(original, self, bucket_name):
    """A bucket whose encryption is deleted is encrypted with S3's own keys."""
    original(self, bucket_name)
    self.get_bucket(bucket_name).encryption = MANAGED


@around(S3Response, "_bucket_response_put")
def tagged(original, self, request, bucket_name, querystring):
    """CreateBucket takes tags. One that finds the bucket there leaves its tags alone."""
    before = bucket_name in self.backend.buckets
    answer = original(self, request, bucket_name, querystring)
    created = not before and bucket_name in self.backend.buckets
    if created and self.body:
        wanted = (xmltodict.parse(self.body).get("CreateBucketConfiguration") or {}).get("Tags") or {}
        tags = wanted.get("Tag") or []
        tags = tags if isinstance(tags, list) else [tags]
        if tags:
            self.backend.put_bucket_tagging(bucket_name, {tag["Key"]: tag.get("Value") or "" for tag in tags})
    return answer


@around(S3Response, "get_bucket_versioning")
def versioning(original, self):
    """The answer to GetBucketVersioning is a VersioningConfiguration, whatever the operation is called."""
    status = self.backend.get_bucket_versioning(self.bucket_name)
    status = f"<Status>{status}</Status>" if status else ""
    name = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    return 200, {"Content-Type": "application/xml"}, f"<VersioningConfiguration {name}>{status}</VersioningConfiguration>"


@around(FakeBucket, "get_permission")
def conditions(original, self, action, resource):
    """A statement of a policy holds only for its principals, and only where its conditions are met. This server stands
    for AWS's endpoints, which are reached over TLS; what else a condition asks of a caller is not known here, and not
    met."""
    kept, policy = self.policy, self.policy
    if policy is None:
        return original(self, action, resource)
    document = json.loads(policy)
    statements = document["Statement"]
    statements = statements if isinstance(statements, list) else [statements]
    document["Statement"] = [statement for each in statements for statement in [met(each)] if statement]
    self.policy = json.dumps(document).encode()
    try:
        return original(self, action, resource)
    finally:
        self.policy = kept


def met(statement):
    """The statement without the conditions that are met, or None where it does not hold."""
    principal = statement.get("Principal", "*")
    if isinstance(principal, dict) and "AWS" not in principal:
        return None
    rest = {}
    for operator, keys in (statement.get("Condition") or {}).items():
        for key, value in keys.items():
            values = [str(item).lower() for item in (value if isinstance(value, list) else [value])]
            if not (operator.lower() == "bool" and key.lower() == "aws:securetransport" and values == ["true"]):
                rest[key] = value
    if rest:
        return None
    return {key: value for key, value in statement.items() if key != "Condition"}
