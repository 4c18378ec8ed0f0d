#!/usr/bin/env python3
"""Serves the core of LocalStack itself on a loopback port, without Docker.

    core_emulator.py PORT --ready-file FILE --folder DIR

PORT 0 takes a free one. All files are below DIR. Run by `localstack/up --localstack`, inside its virtual environment.
"""

import argparse
import os
import pathlib
import socket
import threading
import time
import urllib.error
import urllib.request

WATCH_EVERY = 1.0
READS = ("Describe", "List", "Get")
NOT_IMPLEMENTED = 501


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def settings(port: int, folder: pathlib.Path) -> dict[str, str]:
    """What LocalStack reads from the environment, most of it at import."""
    for name in ("files", "volume", "tmp", "home"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "FILESYSTEM_ROOT": str(folder / "files"),
        "LOCALSTACK_VOLUME_DIR": str(folder / "volume"),
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder / "home"),
        "DISABLE_EVENTS": "1",  # nothing is reported to anybody
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "USE_SSL": "0",
        "DNS_ADDRESS": "0",
        "LS_LOG": "warning",
    }


def nothing_of_the_rest() -> None:
    """The core has neither ECS nor load balancers nor databases, and of what it has it lacks parts, as saved queries: an
    account there has none of them, and whoever reads them is told so. Writes of such things are refused as ever."""
    from localstack.aws.handlers import run_custom_response_handlers
    from localstack.aws.protocol.serializer import create_serializer

    def answer(chain, context, response):
        operation = context.operation
        if operation is None or response.status_code != NOT_IMPLEMENTED or not operation.name.startswith(READS):
            return
        serializer = create_serializer(context.service, context.protocol)
        empty = serializer.serialize_to_response({}, operation, context.request.headers, context.request_id)
        response.update_from(empty)

    run_custom_response_handlers.append(answer)


def watch(port: int, ready: pathlib.Path) -> None:
    """Says when the server answers, and ends the process when INFRA_EMULATOR_PARENT is gone."""
    from emulator import alive

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while not ready.exists():
        try:
            with opener.open(f"http://127.0.0.1:{port}/_localstack/health", timeout=5):
                partial = ready.with_suffix(".partial")
                partial.write_text(str(port))
                partial.rename(ready)
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    parent = int(os.environ.get("INFRA_EMULATOR_PARENT") or 0)
    while True:
        time.sleep(WATCH_EVERY)
        if parent and not alive(parent):
            os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--ready-file", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    port = arguments.port or free_port()
    os.environ.update(settings(port, arguments.folder))
    threading.Thread(target=watch, args=(port, arguments.ready_file), daemon=True).start()

    from localstack.runtime.main import main as serve

    nothing_of_the_rest()
    serve()


if __name__ == "__main__":
    main()
