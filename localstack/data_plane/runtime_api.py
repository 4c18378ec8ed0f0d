"""A process of a Lambda function, and the Runtime API from which it takes its calls."""

import http.server
import json
import os
import pathlib
import queue
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

from .containers import Log
from .processes import PYTHON, write

STARTER = pathlib.Path(__file__).with_name("bootstrap.py")
VERSION = "/2018-06-01/runtime/"
INIT = 10.0  # seconds until a process must have asked for its first call


@dataclass
class Outcome:
    """What a call came to."""

    payload: bytes
    failed: bool = False


def failure(request: str, kind: str, text: str) -> Outcome:
    """What Lambda itself says where the function did not answer."""
    return Outcome(json.dumps({"errorType": kind, "errorMessage": f"RequestId: {request} Error: {text}"}).encode(), failed=True)


class Gone(Exception):
    """The process has ended before it took the call."""


class Sandbox:
    """One process, one call at a time. Linux ends the process with the thread that made it."""

    def __init__(self, program: pathlib.Path, environment: dict[str, str], arn: str, log: Log):
        self.arn, self.log = arn, log
        self.calls: queue.SimpleQueue = queue.SimpleQueue()  # what the process is to be handed
        self.said: queue.SimpleQueue = queue.SimpleQueue()  # what it did, as (what, request, body)
        self.fresh = True
        self.server = Server(self)
        address = f"127.0.0.1:{self.server.server_port}"
        self.popen = subprocess.Popen(
            [PYTHON, "-I", "-S", str(STARTER), str(os.getpid()), str(program)],
            cwd=program.parent,
            env={**environment, "AWS_LAMBDA_RUNTIME_API": address},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.reader = threading.Thread(target=self.read, name=f"log of {arn}", daemon=True)
        self.reader.start()
        threading.Thread(target=self.watch, name=f"end of {arn}", daemon=True).start()

    def read(self) -> None:
        """Each line is an event, written at once."""
        with self.popen.stdout as lines:
            for line in lines:
                write(self.log, line.decode(errors="replace").rstrip("\r\n"))

    def watch(self) -> None:
        self.popen.wait()
        self.said.put(("exit", None, b""))

    def call(self, request: str, event: bytes, timeout: float) -> Outcome:
        """Hands the event to the process, and waits for what comes of it."""
        taken = False
        if self.fresh:
            self.fresh = False
            what, _, body = self.next(time.monotonic() + INIT)
            if what != "ready":
                return self.ended(request, what, body, INIT)
        self.calls.put((request, event, time.time() + timeout))
        deadline = time.monotonic() + timeout
        while True:
            what, of, body = self.next(deadline)
            if what == "taken":
                taken = taken or of == request
            elif what in ("response", "error") and of == request:
                return Outcome(body, failed=what == "error")
            elif what == "exit" and not taken:
                raise Gone
            elif what in ("exit", "timeout", "init error"):
                return self.ended(request, what, body, timeout)

    def next(self, deadline: float):
        try:
            return self.said.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            return "timeout", None, b""

    def ended(self, request: str, what: str, body: bytes, timeout: float) -> Outcome:
        """The process takes no more calls."""
        self.end()
        if what == "init error":
            return Outcome(body, failed=True)
        if what == "timeout":
            outcome = failure(request, "Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds")
        else:
            code = self.popen.wait()
            how = f"signal: {signal.strsignal(-code)}" if code < 0 else f"exit status {code}"
            text = f"Runtime exited with error: {how}" if code else "Runtime exited without providing a reason"
            outcome = failure(request, "Runtime.ExitError", text)
        write(self.log, json.loads(outcome.payload)["errorMessage"])
        return outcome

    def alive(self) -> bool:
        return self.popen.poll() is None

    def end(self) -> None:
        """Ends the process, with all that it has logged."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        self.reader.join(1.0)  # what it started may still hold its output
        self.calls.put(None)
        self.server.stop()


class Server(http.server.ThreadingHTTPServer):
    """The Runtime API of one process."""

    daemon_threads = True

    def __init__(self, sandbox: Sandbox):
        self.sandbox = sandbox
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass  # a process that was killed in the middle


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        sandbox = self.server.sandbox
        if self.path != VERSION + "invocation/next":
            return self.say(404, b"")
        sandbox.said.put(("ready", None, b""))
        call = sandbox.calls.get()
        if call is None:
            return self.say(410, b"")
        request, event, deadline = call
        sandbox.said.put(("taken", request, b""))
        headers = {"Lambda-Runtime-Aws-Request-Id": request, "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000))}
        headers["Lambda-Runtime-Invoked-Function-Arn"] = sandbox.arn
        headers["Lambda-Runtime-Trace-Id"] = f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()};Sampled=0"
        return self.say(200, event, headers)

    def do_POST(self) -> None:
        body = self.body()
        match self.path.removeprefix(VERSION).split("/"):
            case ["invocation", request, ("response" | "error") as what]:
                self.server.sandbox.said.put((what, request, body))
            case ["init", "error"]:
                self.server.sandbox.said.put(("init error", None, body))
            case _:
                return self.say(404, b"")
        return self.say(202, b'{"status":"OK"}')

    def body(self) -> bytes:
        """With its length, or in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass
