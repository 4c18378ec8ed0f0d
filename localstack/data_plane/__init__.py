"""The data plane: what moto stores comes alive. Load balancers forward, probe their targets and publish metrics.

`install()` is called once, by emulator.py --data-plane, after the corrections of the package `fixes`.
"""

PATH = "/_emulator/data-plane"


def install() -> None:
    """Starts the load balancers and the scheduler of tasks, a thread each; functions, rotations and databases begin with
    the calls that are for them."""
    from . import balancer, databases, functions, rotations, scheduler

    balancer.start()
    scheduler.start()
    functions.start()
    rotations.start()
    databases.start()


def end() -> None:
    """Clears away what would outlast the process."""
    from . import functions

    functions.clear()


def endpoint(environ, start_response):
    """GET tells settings, address and counters; POST changes settings and tells them."""
    import settings as shared

    from . import balancer
    from .settings import settings

    return shared.endpoint(settings, balancer.counters, environ, start_response)
