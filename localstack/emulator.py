#!/usr/bin/env python3
"""Serves moto on a loopback port, with the corrections of the package `fixes` that make it answer as AWS does.

    emulator.py PORT [--ready-file FILE] [--without-fixes | [--strict] [--data-plane]]

PORT 0 takes a free one and writes it to FILE. Run by `localstack/up`, inside its virtual environment.
GET /_emulator/health says when the server is ready; POST /_emulator/copy starts a copy of it as it is now, and of one without
a data plane, with {"data-plane": true}, one that has it. With --data-plane, load balancers forward and functions run (see
`data_plane`), and /_emulator/data-plane tells and changes their settings; with --strict it is as slow as AWS (see `strict`), and
/_emulator/strict does the same.
"""

import argparse
import gc
import json
import logging
import os
import pathlib
import signal
import sys
import threading
import time

# moto reads its settings from the environment, most of them at import.
SETTINGS = {
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",  # roles attach AWS-managed policies
    "MOTO_S3_DEFAULT_MAX_KEYS": "1000",
    "MOTO_DOCKER_LAMBDA": "false",
    "AWS_ACCESS_KEY_ID": "test",  # moto calls itself in places
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
os.environ.update(SETTINGS)
os.environ.setdefault("MOTO_ACM_VALIDATION_WAIT", "5")  # seconds that stand for whoever makes the DNS records
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from settings import answer, asked  # noqa: E402

WATCH_EVERY = 1.0
DEFAULT_IDLE = 86_400.0


class Front:
    """The WSGI application in front of moto: health, settings by path, and when the last request came."""

    def __init__(self, application, fixes: bool):
        self.application = application
        self.fixes = fixes
        self.data_plane = None
        self.endpoints = {}
        self.last_request = time.monotonic()

    def has_strict(self) -> None:
        import strict

        self.application = strict.install(self.application)
        self.endpoints[strict.PATH] = strict.endpoint

    def has_data_plane(self) -> None:
        import data_plane

        data_plane.install()
        self.data_plane = data_plane
        self.endpoints[data_plane.PATH] = data_plane.endpoint

    def __call__(self, environ, start_response):
        path = environ.get("PATH_INFO")
        if path == "/_emulator/health":
            return answer(start_response, self.about)
        self.last_request = time.monotonic()
        if path == "/_emulator/copy":
            return answer(start_response, lambda: copy(self, asked(environ)))
        if endpoint := self.endpoints.get(path):
            return endpoint(environ, start_response)
        return self.application(environ, start_response)

    def end(self, status: int = 0) -> None:
        """Ends the process, whatever its threads are at."""
        if self.data_plane:
            self.data_plane.end()
        os._exit(status)

    def about(self) -> dict:
        about = {"status": "ready", "pid": os.getpid(), "fixes": self.fixes}
        return {**about, "proxy": self.data_plane.balancer.proxy()} if self.data_plane else about


def copy(front: Front, with_parts: dict) -> dict:
    """Forks: the copy has all that there is now, and serves a port of its own. Nobody else may be calling meanwhile."""
    if front.data_plane:
        raise ValueError("tasks cannot be copied: copy one without a data plane and ask for it")
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        os.waitpid(child, 0)
        with os.fdopen(reading) as told:
            return json.load(told)
    if os.fork():
        os._exit(0)  # so that nobody has to wait for the copy
    gc.freeze()  # what is garbage by now must not close the files that are opened from here on
    os.closerange(3, writing)
    os.closerange(writing + 1, 4096)
    try:
        if with_parts.get("data-plane"):
            front.has_data_plane()
        server = serve(front, 0)
        os.write(writing, json.dumps({**front.about(), "port": server.server_port}).encode())
        os.close(writing)
        server.serve_forever()
    finally:
        os._exit(1)


def serve(front: Front, port: int):
    """A server that is about to serve, and the watch over this process."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", port, front, threaded=True, request_handler=MotoRequestHandler)
    server.daemon_threads = True
    os.environ["MOTO_PORT"] = str(server.server_port)
    threading.Thread(target=watch, args=(front,), daemon=True).start()
    return server


def watch(front: Front) -> None:
    """Ends the process when INFRA_EMULATOR_PARENT is gone, or when nobody has called for INFRA_EMULATOR_IDLE."""
    parent = int(os.environ.get("INFRA_EMULATOR_PARENT") or 0)
    idle = float(os.environ.get("INFRA_EMULATOR_IDLE") or DEFAULT_IDLE)
    while True:
        time.sleep(WATCH_EVERY)
        if parent and not alive(parent):
            print(f"parent {parent} is gone", flush=True)
            front.end()
        if time.monotonic() - front.last_request > idle:
            print(f"no request for {idle:.0f} s", flush=True)
            front.end()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a process that has ended and that nobody has waited for (Linux)
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--ready-file", type=pathlib.Path)
    parser.add_argument("--without-fixes", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--data-plane", action="store_true")
    arguments = parser.parse_args()

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    application = DomainDispatcherApplication(create_backend_app)
    if not arguments.without_fixes:
        import fixes

        application = fixes.install(application)
    front = Front(application, not arguments.without_fixes)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: front.end())
    if arguments.strict:
        front.has_strict()
    if arguments.data_plane:
        front.has_data_plane()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request is noise; errors still show
    server = serve(front, arguments.port)
    if arguments.ready_file:
        partial = arguments.ready_file.with_suffix(".partial")
        partial.write_text(str(server.server_port))
        partial.rename(arguments.ready_file)
    print(f"serving http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
