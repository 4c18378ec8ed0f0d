"""Secrets that rotate, where no function runs."""

import io
import json
import time
import uuid
import zipfile

from . import Case, aws, unique

SERVICE = "secretsmanager.amazonaws.com"


def zipped(program="#!/bin/sh\n", mode=0o755):
    """A function's code: one program."""
    content, entry = io.BytesIO(), zipfile.ZipInfo("bootstrap")
    entry.external_attr = mode << 16
    with zipfile.ZipFile(content, "w") as code:
        code.writestr(entry, program)
    return content.getvalue()


def role(iam=None):
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    return (iam or aws("iam")).create_role(RoleName=unique("role"), AssumeRolePolicyDocument=document)["Role"]["Arn"]


def function(program="#!/bin/sh\n", **keywords):
    """The ARN of a new one."""
    call = {"FunctionName": unique("function"), "Role": role(), "Runtime": "provided.al2023", "Handler": "bootstrap"}
    call |= {"Code": {"ZipFile": zipped(program)}, **keywords}
    return aws("lambda").create_function(**call)["FunctionArn"]


def allow(arn, service, **keywords):
    call = {"FunctionName": arn, "StatementId": unique("s"), "Action": "lambda:InvokeFunction", "Principal": service}
    aws("lambda").add_permission(**call, **keywords)


class Rotation(Case):
    def setUp(self):
        self.secrets, self.name = aws("secretsmanager"), unique("secret")
        self.first = self.secrets.create_secret(Name=self.name, SecretString="x")["VersionId"]
        self.function = function()

    def rotate(self, **keywords):
        call = {"SecretId": self.name, "RotationLambdaARN": self.function, "RotationRules": {"AutomaticallyAfterDays": 7}}
        return self.secrets.rotate_secret(**{**call, **keywords})

    def told(self):
        return self.secrets.describe_secret(SecretId=self.name)

    def test_function_must_let_it_call(self):
        self.refused("AccessDeniedException", self.rotate)
        allow(self.function, "events.amazonaws.com")
        allow(self.function, SERVICE, SourceAccount="999999999999")
        self.refused("AccessDeniedException", self.rotate)
        self.assertEqual(self.told()["RotationEnabled"], False)

    def test_rotates_at_once(self):
        allow(self.function, SERVICE, SourceAccount="123456789012")
        version = self.rotate(ClientRequestToken=str(uuid.uuid4()))["VersionId"]
        told = self.told()
        self.assertEqual(told["VersionIdsToStages"], {self.first: ["AWSPREVIOUS"], version: ["AWSPENDING", "AWSCURRENT"]})
        self.assertEqual((told["RotationEnabled"], told["RotationLambdaARN"]), (True, self.function))
        self.assertEqual((told["NextRotationDate"] - told["LastRotatedDate"]).days, 7)
        self.assertEqual(self.secrets.get_secret_value(SecretId=self.name)["SecretString"], "x")
        again = self.secrets.rotate_secret(SecretId=self.name)["VersionId"]
        self.assertEqual(self.told()["VersionIdsToStages"][version], ["AWSPREVIOUS"])
        self.assertEqual(self.secrets.get_secret_value(SecretId=self.name)["VersionId"], again)

    def test_rotates_later(self):
        allow(self.function, SERVICE)
        rules = {"ScheduleExpression": "rate(10 days)", "Duration": "3h"}
        self.assertNotIn("VersionId", self.rotate(RotationRules=rules, RotateImmediately=False))
        told = self.told()
        self.assertEqual(told["VersionIdsToStages"], {self.first: ["AWSCURRENT"]})
        self.assertEqual(told["RotationRules"], {**rules, "AutomaticallyAfterDays": 10})
        self.assertNotIn("LastRotatedDate", told)
        self.secrets.put_secret_value(SecretId=self.name, SecretString="y")
        self.assertIn("LastRotatedDate", self.told())

    def test_rules_fit(self):
        allow(self.function, SERVICE)
        for rules in (
            {"AutomaticallyAfterDays": 7, "ScheduleExpression": "rate(7 days)"},
            {"ScheduleExpression": "rate(3 hours)"},
            {"ScheduleExpression": "cron(5 8 1 * ? *)"},
            {"AutomaticallyAfterDays": 7, "Duration": "25h"},
        ):
            self.refused("InvalidParameterException", self.rotate, RotationRules=rules)
        self.rotate(RotationRules={"ScheduleExpression": "cron(0 8 1 * ? *)"}, RotateImmediately=False)

    def test_needs_a_function(self):
        self.refused("InvalidRequestException", self.secrets.rotate_secret, SecretId=self.name)

    def test_cancelled(self):
        allow(self.function, SERVICE)
        self.rotate()
        token = str(uuid.uuid4())
        call = {"SecretId": self.name, "VersionStages": ["AWSPENDING"], "ClientRequestToken": token}
        self.secrets.put_secret_value(**call, SecretString="z")
        self.refused("InvalidRequestException", self.rotate)
        self.assertEqual(self.secrets.cancel_rotate_secret(SecretId=self.name)["VersionId"], token)
        told = self.told()
        self.assertEqual((told["RotationEnabled"], told["RotationLambdaARN"]), (False, self.function))
        self.assertNotIn("NextRotationDate", told)
        self.assertEqual(told["VersionIdsToStages"][token], ["AWSPENDING"])
        self.secrets.update_secret_version_stage(SecretId=self.name, VersionStage="AWSPENDING", RemoveFromVersionId=token)
        self.assertNotIn(token, self.told()["VersionIdsToStages"])
        self.assertIn("VersionId", self.rotate())

    def test_current_moves(self):
        token = str(uuid.uuid4())
        put = {"SecretId": self.name, "SecretString": "z", "ClientRequestToken": token, "VersionStages": ["AWSPENDING"]}
        self.secrets.put_secret_value(**put)
        move = {"SecretId": self.name, "VersionStage": "AWSCURRENT", "MoveToVersionId": token}
        self.secrets.update_secret_version_stage(**move, RemoveFromVersionId=self.first)
        self.assertEqual(self.secrets.get_secret_value(SecretId=self.name)["SecretString"], "z")
        self.secrets.put_secret_value(**put)
        stages = {self.first: ["AWSPREVIOUS"], token: ["AWSPENDING", "AWSCURRENT"]}
        self.assertEqual(self.told()["VersionIdsToStages"], stages)

    def test_dates_of_versions_stay(self):
        def dates():
            versions = self.secrets.list_secret_version_ids(SecretId=self.name)["Versions"]
            return {version["VersionId"]: version["CreatedDate"] for version in versions}

        made = dates()
        time.sleep(1.1)
        self.assertEqual(dates(), made)

    def test_owner_rotates_its_secret(self):
        call = {"DBInstanceIdentifier": unique("db"), "Engine": "postgres", "DBInstanceClass": "db.t3.micro"}
        call |= {"AllocatedStorage": 20, "MasterUsername": "app", "ManageMasterUserPassword": True}
        arn = aws("rds").create_db_instance(**call)["DBInstance"]["MasterUserSecret"]["SecretArn"]
        values = [json.loads(self.secrets.get_secret_value(SecretId=arn)["SecretString"])]
        self.secrets.rotate_secret(SecretId=arn)
        values.append(json.loads(self.secrets.get_secret_value(SecretId=arn)["SecretString"]))
        self.assertEqual([value["username"] for value in values], ["app", "app"])
        self.assertNotEqual(values[0]["password"], values[1]["password"])
