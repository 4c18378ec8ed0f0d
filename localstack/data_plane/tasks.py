"""ECS tasks as processes. A thread brings tasks and services (services.py) towards what they should be, every tick.

A task goes PROVISIONING, PENDING, RUNNING, DEACTIVATING, STOPPING, STOPPED. It has a loopback address of its own, which is
its address in DescribeTasks and in its target groups. It is registered when it runs; before it stops, it is deregistered
and gets time until no request is on its way to it.
"""

import signal
import threading
import time
import traceback
from types import SimpleNamespace

from fixes import ecs_services
from fixes.ecs_services import LOCK, ServiceTask, containers_of, release_interfaces
from fixes.patch import around, define
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ecs.exceptions import InvalidParameterException
from moto.ecs.models import EC2ContainerServiceBackend, Service, ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.elbv2.models import elbv2_backends

from . import balancer
from .containers import CannotStart, Plan, plan
from .processes import Process, free_address
from .settings import settings

SPREADS = 0.3  # seconds in which balancers learn that a target is gone
LISTED = 3600  # seconds for which a stopped task is shown
ENDED = "Essential container in task exited"


class LiveTask(ServiceTask):
    """A task whose containers are processes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.status = "PROVISIONING"
        self.plans: list[Plan] = []
        self.processes: dict[str, Process] = {}  # by name of the container
        self.targets: list[tuple[str, dict]] = []  # target group, target
        self.bindings: list[dict] = []  # load balancers of its service
        self.failed = False  # it ended by itself, or was unhealthy
        self.counted = False  # the service knows that it failed
        self.was_healthy = False
        self.began = self.drains_from = self.drained_by = self.terminated = 0.0
        self.containers = []

    def live(self) -> bool:
        return self.desired_status == "RUNNING"

    def keys(self):
        return [(arn, f"{target['Id']}:{target['Port']}") for arn, target in self.targets]


LIVE: set[LiveTask] = set()

# --- life of a task --------------------------------------------------------------------------------------------------


def step(backend, task: LiveTask, now: float) -> None:
    """Takes a task to its next status, where it is time."""
    observe(task)
    processes = task.processes.values()
    if task.status == "PROVISIONING":
        task.status, task.pull_started_at = "PENDING", utcnow()
    elif task.status in ("PENDING", "RUNNING"):
        if any(process.plan.essential and process.exit_code() is not None for process in processes):
            stop(backend, task, "EssentialContainerExited", ENDED, failed=True)
        elif task.status == "PENDING":
            start(backend, task, now)
    elif task.status == "DEACTIVATING":
        if now >= task.drained_by or (now >= task.drains_from and not in_flight(task)):
            task.status, task.terminated = "STOPPING", now
            for process in processes:
                process.end()
    elif task.status == "STOPPING":
        for process in processes:
            if now >= task.terminated + process.plan.stop_timeout:
                process.end(signal.SIGKILL)
        if all(process.exit_code() is not None for process in processes):
            ended(backend, task)


def observe(task: LiveTask) -> None:
    """Containers that have ended show their exit codes."""
    for container in task.containers:
        process = task.processes.get(container.name)
        code = process.exit_code() if process else None
        if code is not None and container.exitCode is None:
            container.last_status, container.exitCode = "STOPPED", code


def start(backend, task: LiveTask, now: float) -> None:
    """Starts every container once those it depends on let it; the task runs when all have started."""
    try:
        if not task.plans:
            prepare(backend, task)
        for one, container in zip(task.plans, task.containers):
            if one.name not in task.processes and all(reached(task, one, needed) for needed in one.needs):
                job = bool(one.command) and not (task.service_arn and one.essential)
                task.processes[one.name] = Process(one, task.id, task.address, job)
                container.last_status = "RUNNING"
    except CannotStart as error:
        stop(backend, task, "TaskFailedToStart", str(error), failed=True)
    except (OSError, TypeError, ValueError) as error:
        stop(backend, task, "TaskFailedToStart", f"CannotStartContainerError: {error}", failed=True)
    else:
        if len(task.processes) == len(task.plans) and all(process.began.is_set() for process in task.processes.values()):
            runs(backend, task, now)


def prepare(backend, task: LiveTask) -> None:
    """Everything that the containers need before any of them starts."""
    definition = backend.describe_task_definition(task.task_definition_arn)
    plans = []
    for container, text in zip(task.containers, definition.container_definitions):
        try:
            plans.append(plan(backend, task, text))
        except CannotStart as error:
            container.reason = str(error) if str(error).startswith("CannotPull") else None
            raise
    task.address = free_address([port for one in plans for port in one.ports])
    task.plans, task.pull_stopped_at = plans, utcnow()
    moves_to(task, task.address)
    for container in task.containers:
        container.network_interfaces = [{"attachmentId": a["id"], "privateIpv4Address": task.address} for a in task.attachments]


def reached(task: LiveTask, waits: Plan, needed: dict) -> bool:
    """Whether a container has come as far as another one waits for (dependsOn)."""
    name, condition = needed["containerName"], needed["condition"]
    process = task.processes.get(name)
    code = process.exit_code() if process else None
    if condition == "SUCCESS" and code:
        text = f"failed to resolve container ordering dependency [{name}] for target [{waits.name}]"
        raise CannotStart(f"dependency graph: {text} as dependency did not exit successfully.")
    return code is not None if condition in ("COMPLETE", "SUCCESS") else process is not None


def runs(backend, task: LiveTask, now: float) -> None:
    """The task runs, and is registered in the target groups of its service."""
    task.status, task.began = "RUNNING", now
    task.started_at = task.connectivity_at = utcnow()
    task.connectivity = "CONNECTED"
    groups = elbv2_backends[backend.account_id][backend.region_name].target_groups
    for binding in task.bindings:
        group = groups.get(binding.get("targetGroupArn"))
        if group:
            target = {"Id": task.address, "Port": binding["containerPort"]}
            group.register([target])
            task.targets.append((group.arn, target))


def moves_to(task: LiveTask, address: str) -> None:
    """The task's address in place of the one that its interface was given."""
    for attachment in task.attachments:
        for detail in attachment["details"]:
            if detail["name"] == "privateIPv4Address":
                detail["value"] = address


def stop(backend, task: LiveTask, code: str, reason: str, failed: bool = False) -> None:
    """Begins to stop a task: it is deregistered, then there is time for what is on its way."""
    if not task.live():
        return
    task.desired_status, task.stop_code, task.stopped_reason = "STOPPED", code, reason
    task.stopping_at, task.failed = utcnow(), failed
    task.status = "DEACTIVATING"
    now = time.monotonic()
    delay = deregister(backend, task)
    if delay is not None and any(process.exit_code() is None for process in task.processes.values()):
        task.drains_from, task.drained_by = now + min(SPREADS, delay), now + delay
    else:
        task.drains_from = task.drained_by = now


def deregister(backend, task: LiveTask) -> float | None:
    """Takes the task out of its target groups; says how long the slowest lets it drain (None without a group)."""
    groups, delays = elbv2_backends[backend.account_id][backend.region_name].target_groups, []
    for (arn, target), (_, key) in zip(task.targets, task.keys()):
        group = groups.get(arn)
        if group and key in group.targets:
            group.deregister([target])
            delays.append(float(group.attributes.get("deregistration_delay.timeout_seconds", 300)))
    return max(delays, default=None)


def in_flight(task: LiveTask) -> bool:
    return any(balancer.in_flight(arn, key) for arn, key in task.keys())


def ended(backend, task: LiveTask) -> None:
    observe(task)
    release_interfaces(backend, task)
    for attachment in task.attachments:
        attachment["status"] = "DELETED"
    for container in task.containers:
        container.last_status = "STOPPED"
    task.stopped_at = task.execution_stopped_at = utcnow()
    task.status = "STOPPED"
    LIVE.discard(task)


# --- the thread ------------------------------------------------------------------------------------------------------


def tick() -> None:
    from .services import reconcile

    now, seen = time.monotonic(), set()
    for backend in [backend for regions in list(ecs_backends.values()) for backend in list(dict.values(regions))]:
        for tasks in list(backend.tasks.values()):
            for task in list(tasks.values()):
                with LOCK:
                    if task.status == "STOPPED":
                        forget(tasks, task)
                        continue
                    seen.add(task)
                    guarded(step, backend, task, now)
        for service in list(backend.services.values()):
            with LOCK:
                guarded(reconcile, backend, service, now)
    for task in list(LIVE - seen):  # moto was reset
        LIVE.discard(task)
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


def start_scheduler() -> None:
    """Takes the place of the corrections' settling, in a thread of its own."""
    ecs_services.settle = lambda backend, service: None
    threading.Thread(target=schedule, name="ecs scheduler", daemon=True).start()


# --- RunTask, StopTask -----------------------------------------------------------------------------------------------


def placed(task: LiveTask, definition) -> LiveTask:
    """What every new task has."""
    task.created_at, task.cpu, task.memory = utcnow(), definition.cpu, definition.memory
    task.containers = list(containers_of(task, definition, "PENDING"))
    task.health_status = "UNKNOWN"
    task.service_arn = getattr(task, "service_arn", "")
    LIVE.add(task)
    return task


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
    with LOCK:
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
