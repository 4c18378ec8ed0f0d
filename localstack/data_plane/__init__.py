"""The data plane: what moto stores comes alive. Load balancers forward, probe their targets and publish metrics.

`install()` is called once, by emulator.py --data-plane, after the corrections of the package `fixes`.
"""

import json

PATH = "/_emulator/data-plane"


def install() -> None:
    """Starts the load balancers and the scheduler of tasks, a thread each."""
    from . import balancer, scheduler

    balancer.start()
    scheduler.start()


def endpoint(environ, start_response):
    """GET tells settings, address and counters; POST changes settings and tells them."""
    from . import balancer
    from .settings import settings

    status = "200 OK"
    try:
        if environ["REQUEST_METHOD"] == "POST":
            asked = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
            if not isinstance(asked, dict):
                raise ValueError("an object with settings is expected")
            settings.change(asked)
        answer = {**settings, **balancer.counters()}
    except ValueError as wrong:
        status, answer = "400 Bad Request", {"message": str(wrong)}
    body = json.dumps(answer).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
