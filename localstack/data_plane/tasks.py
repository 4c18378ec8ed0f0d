"""ECS tasks as processes.

A task goes PROVISIONING, PENDING, RUNNING, DEACTIVATING, STOPPING, STOPPED. It has a loopback address of its own, which is
its address in DescribeTasks and in its target groups. It is registered when it runs; before it stops, it is deregistered
and gets time until no request is on its way to it.
"""

import signal
import time

from fixes.ecs_services import ServiceTask, containers_of, release_interfaces
from moto.core.utils import utcnow
from moto.elbv2.models import elbv2_backends

from . import balancer
from .containers import CannotStart, Plan, plan
from .processes import Process, free_address

SPREADS = 0.3  # seconds in which balancers learn that a target is gone
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

def placed(task: LiveTask, definition) -> LiveTask:
    """What every new task has."""
    task.created_at, task.cpu, task.memory = utcnow(), definition.cpu, definition.memory
    task.containers = list(containers_of(task, definition, "PENDING"))
    task.health_status = "UNKNOWN"
    task.service_arn = getattr(task, "service_arn", "")
    LIVE.add(task)
    return task


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
