"""Functions that run, and secrets that they rotate."""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request
import uuid

import boto3
from checks import Case, aws, unique
from checks.rotation import allow, function, role, zipped

from . import data_plane, eventually

HERE = pathlib.Path(__file__).resolve().parent
# Of the interpreters that `env` may find, some start slowly.
PROGRAM = (HERE / "programs" / "bootstrap.py").read_text().replace("/usr/bin/env python3", sys.executable, 1)
SECRETS, EVENTS = "secretsmanager.amazonaws.com", "events.amazonaws.com"


def running(more=None, **variables):
    return function(PROGRAM, Environment={"Variables": variables}, Timeout=10, **(more or {}))


def call(arn, client=None, **event):
    """What the function answers, and whether it failed."""
    answer = (client or aws("lambda")).invoke(FunctionName=arn, Payload=json.dumps(event))
    return json.load(answer["Payload"]), answer.get("FunctionError")


def logged(arn):
    """The lines in the function's log."""
    group = aws("lambda").get_function_configuration(FunctionName=arn)["LoggingConfig"]["LogGroup"]
    try:
        return [event["message"] for event in aws("logs").filter_log_events(logGroupName=group)["events"]]
    except aws("logs").exceptions.ResourceNotFoundException:
        return []


def calls(arn):
    """The events that it was called with."""
    return [json.loads(line.removeprefix("called with ")) for line in logged(arn) if line.startswith("called with ")]


def gone(pid):
    """Whether the process has ended, also where nobody waits for it."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def settled(arn, change, **keywords):
    """Changes the function, once it is not changing any more."""
    aws("lambda").get_function(FunctionName=arn)
    change(FunctionName=arn, **keywords)
    aws("lambda").get_function(FunctionName=arn)


class Functions(Case):
    def test_answers(self):
        data_plane(variables={"EXTRA": "x"})
        arn = running(OWN="y")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answers = list(pool.map(lambda number: call(arn, number=number)[0], range(3)))
        data_plane(variables={})
        self.assertEqual(len({answer["pid"] for answer in answers}), 1)
        name, has = arn.split(":")[-1], answers[0]["environment"]
        self.assertEqual((has["AWS_LAMBDA_FUNCTION_NAME"], has["AWS_REGION"]), (name, "us-east-1"))
        self.assertEqual((has["EXTRA"], has["OWN"], has["AWS_ENDPOINT_URL"]), ("x", "y", os.environ["AWS_ENDPOINT_URL"]))
        self.assertIn("INFRA_EMULATOR_PARENT", has)
        self.assertEqual(call(name)[0]["environment"].get("EXTRA"), None)
        self.assertEqual(sorted(event.get("number", 3) for event in calls(arn)), [0, 1, 2, 3])
        self.assertEqual(aws("lambda").invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"], 204)

    def test_fails(self):
        arn = running()
        first = call(arn)[0]["pid"]
        self.assertEqual(call(arn, fail="no"), ({"errorMessage": "no", "errorType": "ValueError"}, "Unhandled"))
        self.assertEqual(call(arn)[0]["pid"], first)
        told, failed = call(arn, exit=3)
        self.assertEqual((told["errorType"], failed), ("Runtime.ExitError", "Unhandled"))
        self.assertTrue(told["errorMessage"].endswith("Runtime exited with error: exit status 3"), told)
        self.assertNotEqual(call(arn)[0]["pid"], first)

    def test_does_not_start(self):
        told, failed = call(function("#!/bin/sh\n", Code={"ZipFile": zipped(mode=0o644)}))
        self.assertEqual((told["errorType"], failed), ("Runtime.InvalidEntrypoint", "Unhandled"))
        self.assertEqual(call(function("#!/bin/sh\nexit 1\n"))[0]["errorType"], "Runtime.ExitError")
        self.assertEqual(call(running(FAILS="init")), ({"errorMessage": "not set up", "errorType": "Config"}, "Unhandled"))

    def test_takes_too_long(self):
        arn = running()
        pid = call(arn)[0]["pid"]
        settled(arn, aws("lambda").update_function_configuration, Timeout=1)
        eventually(lambda: gone(pid), "the process of the former settings has ended")
        pid = call(arn)[0]["pid"]
        told, failed = call(arn, sleep=60)
        self.assertEqual((told["errorType"], failed), ("Sandbox.Timedout", "Unhandled"))
        self.assertTrue(told["errorMessage"].endswith("Task timed out after 1.00 seconds"), told)
        self.assertTrue(gone(pid))
        self.assertIn(told["errorMessage"], logged(arn))
        self.assertEqual(call(arn)[1], None)

    def test_changes_and_goes(self):
        arn = running()
        first = call(arn)[0]["pid"]
        code = zipped(PROGRAM.replace("called with", "changed and called with"))
        settled(arn, aws("lambda").update_function_code, ZipFile=code)
        second = call(arn)[0]["pid"]
        eventually(lambda: gone(first), "the process of the former code has ended")
        eventually(lambda: "changed and called with {}" in logged(arn), "the new code runs")
        aws("lambda").delete_function(FunctionName=arn)
        eventually(lambda: gone(second), "the process of the deleted function has ended")
        self.refused("ResourceNotFoundException", aws("lambda").invoke, FunctionName=arn)

    def test_in_the_background(self):
        data_plane(retry=0)
        arn, other = running(), running({"LoggingConfig": {"LogGroup": unique("log")}})
        answer = aws("lambda").invoke(FunctionName=arn, InvocationType="Event", Payload=b'{"fail": "no"}')
        self.assertEqual((answer["StatusCode"], answer["Payload"].read()), (202, b""))
        eventually(lambda: calls(arn) == [{"fail": "no"}] * 3, "it is called three times")
        aws("lambda").invoke(FunctionName=other, InvocationType="Event", Payload=b"{}")
        eventually(lambda: calls(other) == [{}], "it is called")

    def test_settings(self):
        for wrong in ({"variables": {"a": 1}}, {"variables": None}, {"postgres": "mysql://x"}, {"postgres": 1}, {"retry": -1}):
            with self.subTest(wrong), self.assertRaisesRegex(Exception, "400"):
                data_plane(**wrong)


class Rotations(Case):
    def setUp(self):
        self.secrets, self.name = aws("secretsmanager"), unique("secret")
        made = self.secrets.create_secret(Name=self.name, SecretString="x")
        self.arn, self.first = made["ARN"], made["VersionId"]

    def rotator(self, **variables):
        arn = running(**variables)
        allow(arn, SECRETS)
        return arn

    def listener(self, permitted=True, **keywords):
        """A function that is called by a rule for the secret."""
        arn, name = running(), unique("rule")
        pattern = {"source": ["aws.secretsmanager"], "detail-type": ["Secret Label Updated"], "resources": [self.arn]}
        rule = aws("events").put_rule(Name=name, EventPattern=json.dumps(pattern), **keywords)["RuleArn"]
        aws("events").put_targets(Rule=name, Targets=[{"Id": "a", "Arn": arn}])
        if permitted:
            allow(arn, EVENTS, SourceArn=rule)
        return arn

    def rotate(self, **keywords):
        return self.secrets.rotate_secret(SecretId=self.name, **keywords)["VersionId"]

    def stages(self):
        return self.secrets.describe_secret(SecretId=self.name)["VersionIdsToStages"]

    def value(self):
        return self.secrets.get_secret_value(SecretId=self.name)["SecretString"]

    def test_four_steps_and_an_event(self):
        rotator, listener = self.rotator(), self.listener()
        version = self.rotate(RotationLambdaARN=rotator, RotationRules={"AutomaticallyAfterDays": 30})
        eventually(lambda: self.value() == f"made by {version}", "the secret has rotated")
        self.assertEqual(self.stages(), {self.first: ["AWSPREVIOUS"], version: ["AWSPENDING", "AWSCURRENT"]})
        self.assertIn("LastRotatedDate", self.secrets.describe_secret(SecretId=self.name))
        steps = calls(rotator)
        self.assertEqual([event["Step"] for event in steps], ["createSecret", "setSecret", "testSecret", "finishSecret"])
        same = {(event["SecretId"], event["ClientRequestToken"], event["RotationToken"]) for event in steps}
        self.assertEqual([each[:2] for each in same], [(self.arn, version)])
        (event,) = eventually(lambda: calls(listener), "the rule's function is called")
        detail = {"name": self.name, "labelUpdated": "AWSCURRENT", "versionId": version}
        self.assertEqual((event["detail"], event["resources"], event["source"]), (detail, [self.arn], "aws.secretsmanager"))
        self.assertRegex(event["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def test_stops_at_the_first_step_that_fails(self):
        rotator = self.rotator(FAILS="setSecret")
        version = self.rotate(RotationLambdaARN=rotator, RotationRules={"AutomaticallyAfterDays": 30})
        eventually(lambda: len(calls(rotator)) == 2, "two steps are called")
        self.assertEqual(self.stages(), {self.first: ["AWSCURRENT"], version: ["AWSPENDING"]})
        self.assertNotIn("LastRotatedDate", self.secrets.describe_secret(SecretId=self.name))
        self.refused("InvalidRequestException", self.secrets.rotate_secret, SecretId=self.name)
        self.secrets.cancel_rotate_secret(SecretId=self.name)
        self.secrets.update_secret_version_stage(SecretId=self.name, VersionStage="AWSPENDING", RemoveFromVersionId=version)
        settled(rotator, aws("lambda").update_function_configuration, Environment={"Variables": {}})
        again = self.rotate()
        eventually(lambda: self.value() == f"made by {again}", "the secret has rotated")

    def test_function_that_never_runs_leaves_a_version_without_value(self):
        """So do tests get one that call the steps by themselves."""
        rotator = function("#!/bin/sh\nexit 1\n")
        allow(rotator, SECRETS)
        version = self.rotate(RotationLambdaARN=rotator, RotationRules={"AutomaticallyAfterDays": 30})
        self.assertEqual(self.stages(), {self.first: ["AWSCURRENT"], version: ["AWSPENDING"]})
        pending = {"SecretId": self.name, "VersionStage": "AWSPENDING", "VersionId": version}
        self.refused("ResourceNotFoundException", self.secrets.get_secret_value, **pending)
        put = {"SecretId": self.name, "ClientRequestToken": version, "VersionStages": ["AWSPENDING"]}
        for _ in range(2):
            self.secrets.put_secret_value(**put, SecretString="y")
        self.refused("ResourceExistsException", self.secrets.put_secret_value, **put, SecretString="z")
        self.assertEqual(self.secrets.get_secret_value(**pending)["SecretString"], "y")

    def test_each_move_is_told(self):
        listener, silent = self.listener(), [self.listener(permitted=False), self.listener(State="DISABLED")]
        token = str(uuid.uuid4())
        put = {"SecretId": self.name, "SecretString": "y"}
        self.secrets.put_secret_value(**put, ClientRequestToken=token, VersionStages=["AWSPENDING"])
        move = {"SecretId": self.name, "VersionStage": "AWSCURRENT", "RemoveFromVersionId": self.first}
        self.secrets.update_secret_version_stage(**move, MoveToVersionId=token)
        eventually(lambda: len(calls(listener)) == 1, "the first move is told")
        last = self.secrets.put_secret_value(**put)["VersionId"]
        eventually(lambda: len(calls(listener)) == 2, "the second move is told")
        self.assertEqual([event["detail"]["versionId"] for event in calls(listener)], [token, last])
        self.assertEqual([calls(arn) for arn in silent], [[], []])

    def test_functions_and_rotations_survive_a_copy(self):
        """Of an emulator without data plane into one that has it; the folder of the function goes with that."""
        up = subprocess.run([HERE.parent / "up"], check=True, capture_output=True, text=True)
        original = dict(re.findall(r"^export (\w+)=(.*)$", up.stdout, flags=re.M))
        self.addCleanup(os.kill, int(original["INFRA_EMULATOR_PID"]), 15)
        url = original["AWS_ENDPOINT_URL"]
        mine = {service: boto3.client(service, endpoint_url=url) for service in ("iam", "lambda", "secretsmanager")}
        name = self.made(mine)
        copy = self.copied(url)
        url = f"http://127.0.0.1:{copy['port']}"
        theirs = {service: boto3.client(service, endpoint_url=url) for service in mine}
        answer = call(name, theirs["lambda"])[0]
        self.assertEqual(answer["environment"]["AWS_ENDPOINT_URL"], url)
        version = theirs["secretsmanager"].rotate_secret(SecretId="s")["VersionId"]
        value = lambda: theirs["secretsmanager"].get_secret_value(SecretId="s")["SecretString"]  # noqa: E731
        eventually(lambda: value() == f"made by {version}", "the secret has rotated")
        os.kill(copy["pid"], 15)
        eventually(lambda: gone(answer["pid"]) and gone(copy["pid"]), "the process has ended with its emulator")
        folder = pathlib.Path(answer["environment"]["LAMBDA_TASK_ROOT"])
        self.assertFalse(folder.exists())

    def made(self, clients):
        arn = clients["lambda"].create_function(
            FunctionName="f",
            Role=role(clients["iam"]),
            Runtime="provided.al2023",
            Handler="bootstrap",
            Code={"ZipFile": zipped(PROGRAM)},
        )["FunctionArn"]
        permission = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": SECRETS}
        clients["lambda"].add_permission(FunctionName=arn, **permission)
        clients["secretsmanager"].create_secret(Name="s", SecretString="x")
        rules = {"RotationLambdaARN": arn, "RotationRules": {"AutomaticallyAfterDays": 30}}
        clients["secretsmanager"].rotate_secret(SecretId="s", **rules)
        return arn

    def copied(self, url):
        request = urllib.request.Request(f"{url}/_emulator/copy", data=b'{"data-plane": true}')
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return json.load(answer)
