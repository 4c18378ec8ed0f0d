"""Tests of fixes/cloudtrail.py."""

import json

from . import TAGS, Case, aws, indexed, unique


class CloudTrail(Case):
    def bucket(self, *actions):
        name = unique("acme-trail")
        aws("s3").create_bucket(Bucket=name)
        allow = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": list(actions), "Resource": "*"}
        aws("s3").put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
        return name

    def trail(self, **keywords):
        self.name = unique("trail")
        bucket = self.bucket("s3:GetBucketAcl", "s3:PutObject")
        return aws("cloudtrail").create_trail(Name=self.name, S3BucketName=bucket, TagsList=TAGS, **keywords)["TrailARN"]

    def test_bucket_must_let_cloudtrail_write(self):
        create = aws("cloudtrail").create_trail
        self.refused("InsufficientS3BucketPolicyException", create, Name=unique("trail"), S3BucketName=self.bucket("s3:GetBucketAcl"))

    def test_name_in_use(self):
        self.trail()
        create = aws("cloudtrail").create_trail
        self.refused("TrailAlreadyExistsException", create, Name=self.name, S3BucketName=self.bucket("s3:GetBucketAcl", "s3:PutObject"))

    def test_delete_by_arn(self):
        arn = self.trail()
        aws("cloudtrail").delete_trail(Name=arn)
        self.refused("TrailNotFoundException", aws("cloudtrail").get_trail, Name=arn)
        self.refused("TrailNotFoundException", aws("cloudtrail").delete_trail, Name=arn)

    def test_tags_of_nothing(self):
        arn = self.trail() + "-other"
        self.refused("CloudTrailARNInvalidException", aws("cloudtrail").list_tags, ResourceIdList=["trail"])
        self.refused("ResourceNotFoundException", aws("cloudtrail").list_tags, ResourceIdList=[arn])

    def test_empty_text_takes_out(self):
        arn = self.trail(S3KeyPrefix="p")
        aws("cloudtrail").update_trail(Name=arn, S3KeyPrefix="", KmsKeyId="")
        trail = aws("cloudtrail").get_trail(Name=arn)["Trail"]
        self.assertEqual((trail.get("S3KeyPrefix"), trail.get("KmsKeyId")), (None, None))

    def test_index_knows_trails(self):
        self.assertIn(self.trail(), indexed())
