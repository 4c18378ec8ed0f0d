"""Lambda functions of the runtimes `provided.*` that run: a process each, one call at a time, the others wait.

Each function has a thread of its own, which makes the process at the first call, hands it one call after the other, and
makes another one when it has ended. Code or settings that change, and a deletion, end the process once the calls are
answered that have come before. Functions of other runtimes stay as moto has them.
"""

import io
import itertools
import json
import os
import pathlib
import queue
import shutil
import tempfile
import threading
import time
import traceback
import urllib.parse
import uuid
import zipfile
from dataclasses import dataclass, field
from datetime import datetime, timezone

from fixes.patch import around
from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.awslambda.utils import get_backend
from moto.logs.models import logs_backends

from .containers import Log
from .runtime_api import Gone, Outcome, Sandbox, failure
from .settings import settings

FOLDER = "infra-function-"  # and the emulator's process id
RETRIES = 2
LOCK = threading.Lock()


@dataclass
class Call:
    """A call that waits for its turn, then for its answer."""

    event: bytes
    request: str
    answer: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)


def runs(function: LambdaFunction) -> bool:
    """Whether it is a function that can run here: a program of its own, in a zip."""
    return str(function.run_time).startswith("provided") and bool(getattr(function, "code_bytes", None))


class Runner:
    """The thread of a function."""

    def __init__(self, function: LambdaFunction):
        self.function, self.made_of = function, made_of(function)
        self.waiting: queue.SimpleQueue = queue.SimpleQueue()
        self.sandbox: Sandbox | None = None
        self.folder: pathlib.Path | None = None
        threading.Thread(target=self.run, name=f"function {function.function_name}", daemon=True).start()

    def run(self) -> None:
        while call := self.waiting.get():
            try:
                outcome = self.serve(call)
            except Exception as error:  # such as a zip that is none
                traceback.print_exc()
                outcome = failure(call.request, "Runtime.Unknown", str(error))
            call.answer.put(outcome)
        if self.sandbox:
            self.sandbox.end()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def serve(self, call: Call) -> Outcome:
        while True:
            if not self.sandbox or not self.sandbox.alive():
                if self.sandbox:
                    self.sandbox.end()
                    self.sandbox = None
                program = self.unpacked() / "bootstrap"
                if not program.is_file() or not os.access(program, os.X_OK):
                    text = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
                    return failure(call.request, "Runtime.InvalidEntrypoint", text)
                log = log_of(self.function)
                self.sandbox = Sandbox(program, environment(self.function, program, log), self.function.function_arn, log)
            try:
                return self.sandbox.call(call.request, call.event, float(self.function.timeout))
            except Gone:
                continue  # a new process takes it

    def unpacked(self) -> pathlib.Path:
        """The folder with what is in the zip, as executable as it is there."""
        if self.folder is None:
            folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
            with zipfile.ZipFile(io.BytesIO(self.function.code_bytes)) as code:
                for entry in code.infolist():
                    path = pathlib.Path(code.extract(entry, folder))
                    if entry.external_attr >> 16 and path.is_file():
                        path.chmod(entry.external_attr >> 16 & 0o777)
            self.folder = folder
        return self.folder


def made_of(function: LambdaFunction) -> tuple:
    """What a process is made of: where it changes, there is another one."""
    variables = sorted(function.environment_vars.items()), sorted(settings["variables"].items())
    shape = function.memory_size, function.timeout, function.handler, json.dumps(function.logging, sort_keys=True)
    return id(function), function.code_sha_256, variables, shape


def environment(function: LambdaFunction, program: pathlib.Path, log: Log) -> dict[str, str]:
    """Lambda's variables, the function's own, and those of the emulator's process that are for the program under test."""
    lambdas = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": str(program.parent),
        "_HANDLER": function.handler or "",
        "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": log.group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log.stream,
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ['MOTO_PORT']}",
    }
    ours = {name: value for name, value in os.environ.items() if name.startswith("INFRA_")}
    return {**ours, **settings["variables"], **function.environment_vars, **lambdas}


def log_of(function: LambdaFunction) -> Log:
    """A stream of the function's group for one process. Lambda makes the group where there is none."""
    backend, group = logs_backends[function.account_id][function.region], function.logging["LogGroup"]
    backend.ensure_log_group(group)
    stream = f"{datetime.now(timezone.utc):%Y/%m/%d}/[{function.version}]{uuid.uuid4().hex}"
    backend.ensure_log_stream(group, stream)
    return Log(backend, group, stream)


# --- calls -----------------------------------------------------------------------------------------------------------

RUNNERS: dict[tuple, Runner] = {}


def key_of(function: LambdaFunction) -> tuple:
    return function.account_id, function.region, function.function_name, str(function.version)


def call(function: LambdaFunction, event: bytes, request: str) -> Outcome:
    """Calls the function, and waits for what comes of it."""
    waiting = Call(event, request)
    with LOCK:
        runner = RUNNERS.get(key_of(function))
        if runner is None or runner.made_of != made_of(function):
            if runner:
                runner.waiting.put(None)
            runner = RUNNERS[key_of(function)] = Runner(function)
        runner.waiting.put(waiting)
    return waiting.answer.get()


def call_later(function: LambdaFunction, event: bytes, request: str) -> None:
    """Calls it in the background, and again where it fails, as it is by then."""
    account, region, arn = function.account_id, function.region, function.function_arn

    def attempts() -> None:
        for retry in itertools.count(1):
            try:
                function = get_backend(account, region).get_function(arn)
            except Exception:  # deleted meanwhile
                return
            if not runs(function) or not call(function, event, request).failed or retry > retries(function):
                return
            time.sleep(settings["retry"] * 2 ** (retry - 1))

    threading.Thread(target=attempts, name=f"event for {arn}", daemon=True).start()


def retries(function: LambdaFunction) -> int:
    """Two, unless the function says otherwise."""
    wanted = [each.config.get("MaximumRetryAttempts") for each in function.event_invoke_config]
    return next((number for number in wanted if number is not None), RETRIES)


@around(LambdaResponse, "invoke")
def invoke(original, self):
    """Invoke: with an answer, in the background, or not at all."""
    name = urllib.parse.unquote(self.path.rstrip("/").rsplit("/", 2)[-2])
    qualifier = self.querystring.get("Qualifier", [None])[0]
    function = self.backend.get_function(name, qualifier)
    if not runs(function):
        return original(self)
    event = self.body if isinstance(self.body, bytes) else (self.body or "").encode()
    event = event or b"{}"
    try:
        json.loads(event)
    except ValueError as wrong:
        text = f"Could not parse request body into json: {wrong}"
        raise LambdaClientError("InvalidRequestContentException", text) from None
    request = str(uuid.uuid4())
    headers = {"content-type": "application/json", "x-amzn-requestid": request}
    kind = self.headers.get("X-Amz-Invocation-Type") or "RequestResponse"
    if kind == "DryRun":
        return 204, {**headers, "status": 204}, ""
    if kind == "Event":
        call_later(function, event, request)
        return 202, {**headers, "status": 202}, ""
    if function.reserved_concurrency is not None and int(function.reserved_concurrency) == 0:
        problem = LambdaClientError("TooManyRequestsException", "Rate Exceeded.")
        problem.code = 429
        raise problem
    outcome = call(function, event, request)
    headers["x-amz-executed-version"] = str(function.version)
    if outcome.failed:
        headers["x-amz-function-error"] = "Unhandled"
    return 200, headers, outcome.payload


# --- ends ------------------------------------------------------------------------------------------------------------


def stop(account: str, region: str, name: str) -> None:
    """Ends the processes of a function once they have answered."""
    with LOCK:
        for key in [key for key in RUNNERS if key[:3] == (account, region, name)]:
            RUNNERS.pop(key).waiting.put(None)


def changes(name: str) -> None:
    @around(LambdaBackend, name)
    def changed(original, self, function_name, *args, **kwargs):
        """What changes or goes runs no longer as it was."""
        function = self.get_function(function_name)
        answer = original(self, function_name, *args, **kwargs)
        stop(function.account_id, function.region, function.function_name)
        return answer


for operation in ("update_function_code", "update_function_configuration", "delete_function"):
    changes(operation)


def start() -> None:
    """Clears away what emulators left that had no time for it."""
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        try:
            os.kill(int(folder.name.removeprefix(FOLDER).partition("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (OSError, ValueError):
            continue


def clear() -> None:
    """The emulator ends: the processes end with it, their folders would stay."""
    for runner in list(RUNNERS.values()):
        if runner.folder:
            shutil.rmtree(runner.folder, ignore_errors=True)
