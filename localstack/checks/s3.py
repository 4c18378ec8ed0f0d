"""Tests of fixes/s3.py."""

import json

from . import TAGS, Case, aws, unique


def statement(bucket, **more):
    both = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": both, **more}


class S3(Case):
    def bucket(self, **keywords):
        name = unique("acme-bucket")
        aws("s3").create_bucket(Bucket=name, **keywords)
        return name

    def policy(self, bucket, *statements):
        document = {"Version": "2012-10-17", "Statement": statements}
        aws("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))

    def test_new_bucket_is_private_and_encrypted(self):
        name = self.bucket()
        blocks = aws("s3").get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        self.assertEqual(set(blocks.values()), {True})
        controls = aws("s3").get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]
        self.assertEqual(controls, {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})

    def test_deleted_encryption_is_that_of_s3(self):
        name = self.bucket()
        aws("s3").delete_bucket_encryption(Bucket=name)
        rules = aws("s3").get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
        self.assertEqual(rules[0]["ApplyServerSideEncryptionByDefault"], {"SSEAlgorithm": "AES256"})

    def test_tags_come_with_the_create(self):
        name = self.bucket(CreateBucketConfiguration={"Tags": TAGS})
        self.assertEqual(sorted(map(str, aws("s3").get_bucket_tagging(Bucket=name)["TagSet"])), sorted(map(str, TAGS)))
        aws("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"Tags": [{"Key": "other", "Value": "v"}]})
        self.assertEqual(len(aws("s3").get_bucket_tagging(Bucket=name)["TagSet"]), len(TAGS))

    def test_versioning_is_told_in_the_words_of_s3(self):
        name = self.bucket()
        aws("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        raw = []
        events = aws("s3").meta.events
        events.register("before-parse.s3.GetBucketVersioning", lambda response_dict, **_: raw.append(response_dict["body"]))
        self.assertEqual(aws("s3").get_bucket_versioning(Bucket=name)["Status"], "Enabled")
        self.assertIn(b"<VersioningConfiguration ", raw[0])

    def test_this_server_stands_for_tls(self):
        name = self.bucket()
        self.policy(name, statement(name, Condition={"Bool": {"aws:SecureTransport": "false"}}))
        aws("s3").put_object(Bucket=name, Key="k", Body=b"v")

    def test_statements_for_services_bind_no_user(self):
        name = self.bucket()
        self.policy(name, statement(name, Principal={"Service": "cloudtrail.amazonaws.com"}))
        aws("s3").put_object(Bucket=name, Key="k", Body=b"v")
