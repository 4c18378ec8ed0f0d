"""A thread that brings ECS services and tasks towards what they should be, every tick; and the calls that run and stop tasks."""

import signal
import threading
import time
import traceback
from types import SimpleNamespace

from fixes import ecs_services
from fixes.ecs_services import LOCK
from fixes.patch import around, define, idempotent
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ecs.exceptions import ECSException, InvalidParameterException
from moto.ecs.models import EC2ContainerServiceBackend, Service, ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse

from .services import reconcile
from .settings import settings
from .tasks import LIVE, LiveTask, placed, step, stop

LISTED = 3600  # seconds for which a stopped task is shown
TOKEN_REUSED = "The RunTask request could not be processed due to conflicts. The provided clientToken is already in use."

# --- the thread ------------------------------------------------------------------------------------------------------


def tick() -> None:
    """Tasks first, so that a service sees that one has ended before it sees that its target is unhealthy."""
    now = time.monotonic()
    for backend in [backend for regions in list(ecs_backends.values()) for backend in list(dict.values(regions))]:
        for tasks in list(backend.tasks.values()):
            for task in list(tasks.values()):
                with LOCK:
                    if task.status == "STOPPED":
                        forget(tasks, task)
                    else:
                        guarded(step, backend, task, now)
        for service in list(backend.services.values()):
            with LOCK:
                guarded(reconcile, backend, service, now)
    with LOCK:
        for task in [task for task in LIVE if task.task_arn not in task._backend.tasks.get(task.cluster_name, {})]:
            LIVE.discard(task)  # moto was reset
            for process in task.processes.values():
                process.end(signal.SIGKILL)


def guarded(function, backend, thing, now: float) -> None:
    """One service or task that fails does not stop the others."""
    try:
        function(backend, thing, now)
    except Exception:
        traceback.print_exc()


def forget(tasks: dict, task: LiveTask) -> None:
    if (utcnow() - task.stopped_at).total_seconds() > LISTED:
        tasks.pop(task.task_arn, None)


def schedule() -> None:
    while True:
        before = time.monotonic()
        guarded(lambda *_: tick(), None, None, before)
        time.sleep(max(settings["tick"] - (time.monotonic() - before), 0.01))


def start() -> None:
    """Takes the place of the corrections' settling, in a thread of its own."""
    ecs_services.settle = lambda backend, service: None
    threading.Thread(target=schedule, name="ecs scheduler", daemon=True).start()


# --- RunTask, StopTask -----------------------------------------------------------------------------------------------

idempotent(
    EC2ContainerServiceResponse,
    "clientToken",
    lambda action: action == "RunTask",
    lambda: ECSException("ConflictException", TOKEN_REUSED),
)


@define(EC2ContainerServiceResponse)
def run_task(self):
    """RunTask: tasks without a service, which end by themselves or by StopTask."""
    backend = self.ecs_backend
    cluster = backend._get_cluster(self._get_param("cluster", "default"))
    definition = backend.describe_task_definition(self._get_param("taskDefinition"))
    strategy = self._get_param("capacityProviderStrategy")
    if not strategy and not self._get_param("launchType"):
        strategy = cluster.default_capacity_provider_strategy
    network = self._get_param("networkConfiguration")
    if network:
        Service._validate_network(SimpleNamespace(_account_id=backend.account_id, region_name=backend.region_name), network)
    tags = list(self._get_param("tags") or [])
    if self._get_param("propagateTags") == "TASK_DEFINITION":
        tags += [tag for tag in definition.tags or [] if tag["key"] not in {own["key"] for own in tags}]
    tasks = []
    with LOCK:  # the thread sees a task once it is complete
        for _ in range(self._get_int_param("count", 1)):
            task = LiveTask(
                cluster=cluster,
                task_definition=definition,
                container_instance_arn=None,
                resource_requirements=None,
                backend=backend,
                group=self._get_param("group") or f"family:{definition.family}",
                launch_type="FARGATE" if strategy else self._get_param("launchType") or "EC2",
                overrides=self._get_param("overrides") or {},
                started_by=self._get_param("startedBy") or "",
                tags=[dict(tag) for tag in tags],
                networking_configuration=network,
                platform_version="1.4.0",
                capacity_provider_name=strategy[0]["capacityProvider"] if strategy else None,
            )
            tasks.append(placed(task, definition))
            backend.tasks.setdefault(cluster.name, {})[task.task_arn] = task
    return ActionResult({"tasks": tasks, "failures": []})


@around(EC2ContainerServiceBackend, "stop_task")
def stop_task(original, self, cluster_str, task_str, reason):
    """StopTask: the task drains and ends; its service starts another."""
    cluster, identity = self._get_cluster(cluster_str), task_str.split("/")[-1]
    with LOCK:
        for arn, task in self.tasks.get(cluster.name, {}).items():
            if arn.split("/")[-1] == identity:
                stop(self, task, "UserInitiated", reason or "Task stopped by user")
                return task
    raise InvalidParameterException("The referenced task was not found.")
