"""Containers as processes: each runs app.py, and what it writes goes to its log stream."""

import errno
import itertools
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

from .containers import Log, Plan

PROGRAM = pathlib.Path(__file__).with_name("app.py")
PYTHON = getattr(sys, "_base_executable", None) or sys.executable
HOSTS = 254
NETWORKS = 256


class Process:
    """A container that runs. Only the scheduler's thread makes them: Linux ends them with the thread that did."""

    def __init__(self, plan: Plan, task: str, address: str, job: bool):
        self.plan = plan
        arguments = ["--parent", str(os.getpid()), "--tag", plan.tag, "--task", task, "--address", address]
        for port in plan.ports:
            arguments += ["--port", str(port)]
        if job and plan.command:
            arguments.append("--job")
        self.popen = subprocess.Popen(
            [PYTHON, "-I", "-S", str(PROGRAM), *arguments, "--", *plan.command],
            env=plan.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.began = threading.Event()  # it has said something, which it does when it listens, or has ended
        self.reader = threading.Thread(target=self.read, name=f"log of {task}", daemon=True)
        self.reader.start()

    def read(self) -> None:
        """Each line is an event, written at once."""
        with self.popen.stdout as lines:
            for line in lines:
                write(self.plan.log, line.decode(errors="replace").rstrip("\r\n"))
                self.began.set()
        self.began.set()

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(number)

    def exit_code(self) -> int | None:
        """The code, once the process has ended and its log is complete; 128 + the signal that ended it."""
        code = self.popen.poll()
        if code is None or self.reader.is_alive():
            return None
        return code if code >= 0 else 128 - code


def write(log: Log | None, message: str) -> None:
    if log and message:
        try:
            log.backend.put_log_events(log.group, log.stream, [{"timestamp": int(time.time() * 1000), "message": message}])
        except Exception as error:  # the group went away; the task does not care, as in AWS
            print(f"log {log.group} {log.stream}: {error}", flush=True)


def addresses():
    """127.30.x.y one after the other; each emulator begins somewhere else."""
    for number in itertools.count(os.getpid() * 127):
        yield f"127.30.{number // HOSTS % NETWORKS}.{number % HOSTS + 1}"


ADDRESSES = addresses()


def free_address(ports: list[int]) -> str:
    """A loopback address on which nobody listens on the ports."""
    return next(address for address in ADDRESSES if not any(taken(address, port) for port in ports))


def taken(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
