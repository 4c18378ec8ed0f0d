"""Lambda: functions that change in the background, and settings that read back as written."""

import fnmatch
import json

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.awslambda.policy import Policy
from moto.awslambda.responses import LambdaResponse

from .patch import around


def conflict(text):
    problem = LambdaClientError("ResourceConflictException", text)
    problem.code = 409
    return problem


@around(LambdaFunction, "__init__")
def log_group(original, self, account_id, spec, *arguments, **keywords):
    """A function writes to its own log group, or to the one it is told."""
    original(self, account_id, spec, *arguments, **keywords)
    self.logging = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{self.function_name}", **(spec.get("LoggingConfig") or {})}
    self.moves = "State"


@around(LambdaFunction, "get_configuration")
def logging(original, self, *arguments, **keywords):
    """LoggingConfig is part of the configuration."""
    return {**original(self, *arguments, **keywords), "LoggingConfig": self.logging}


@around(LambdaResponse, "get_function")
def settle(original, self):
    """A new function is Pending, and one that changes InProgress, for as long as AWS is at it: here, for one look."""
    answer = json.loads(original(self))
    function = self.backend.get_function(answer["Configuration"]["FunctionName"])
    if function.moves:
        answer["Configuration"][function.moves] = "Pending" if function.moves == "State" else "InProgress"
        function.moves = None
    return json.dumps(answer)


def change(function):
    """A change begins, unless AWS is still at another one."""
    if function.moves:
        text = "The operation cannot be performed at this time. "
        text += "The function is currently in the following state: Pending" if function.moves == "State" else "An update is in progress"
        raise conflict(f"{text} for resource: {function.function_arn}")
    function.moves = "LastUpdateStatus"


@around(LambdaBackend, "update_function_configuration")
def whole_configuration(original, self, function_name, qualifier, body):
    """The key, the disk, tracing and the log group change too; an empty key is none. One change at a time."""
    function = self.get_function(function_name, qualifier)
    change(function)
    function.kms_key_arn = body.get("KMSKeyArn", function.kms_key_arn) or None
    function.tracing_config = body.get("TracingConfig") or function.tracing_config
    function.logging = {**function.logging, **(body.get("LoggingConfig") or {})}
    if body.get("EphemeralStorage"):
        function.ephemeral_storage = body["EphemeralStorage"]["Size"]
    return original(self, function_name, qualifier, body=body)


@around(LambdaBackend, "update_function_code")
def processor(original, self, function_name, qualifier, body):
    """New code may be for another processor. One change at a time."""
    function = self.get_function(function_name, qualifier)
    change(function)
    if body.get("Architectures"):
        function.architectures = body["Architectures"]
    return original(self, function_name, qualifier, body=body)


@around(Policy, "add_statement")
def names_once(original, self, raw, *arguments, **keywords):
    """No two permissions of a function have one name."""
    name = json.loads(raw).get("StatementId")
    if any(statement.get("Sid") == name for statement in self.statements):
        raise conflict(f"The statement id ({name}) provided already exists.")
    return original(self, raw, *arguments, **keywords)


def allows(function, service, source, account):
    """Whether the function's policy lets a service call it for something of this ARN, in this account."""
    return any(grants(statement, service, source, account) for statement in function.policy.statements)


def grants(statement, service, source, account):
    if statement.get("Principal") != {"Service": service} or statement.get("Effect") != "Allow":
        return False
    if statement.get("Action") not in ("lambda:InvokeFunction", "lambda:*"):
        return False
    given = {"aws:sourceaccount": account, "aws:sourcearn": source}
    wanted = [pair for test in (statement.get("Condition") or {}).values() for pair in test.items()]
    return all(fnmatch.fnmatchcase(given.get(key.lower(), ""), value) for key, value in wanted)


@around(LambdaBackend, "put_function_concurrency")
def numbers(original, self, function_name, reserved_concurrency):
    """None of the account's concurrency (0) is a reservation too: the function is stopped."""
    answer = original(self, function_name, reserved_concurrency)
    self.get_function(function_name).reserved_concurrency = Reserved(reserved_concurrency)
    return answer


class Reserved(int):
    """A number that moto takes for set even when it is 0."""

    def __bool__(self):
        return True
