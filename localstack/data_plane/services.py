"""ECS services whose tasks are processes: rolling deployments, failed tasks, the circuit breaker, events."""

import math
from dataclasses import dataclass

from fixes.ecs_services import event, place_task
from moto.core.utils import utcnow
from moto.elbv2.models import elbv2_backends

from . import balancer
from .tasks import LiveTask, placed, stop

BACKOFF = 0.5  # seconds until a task that failed is replaced; AWS waits longer and longer
ROLLS_BACK = 2.0  # seconds for which a rollback is under way at least; AWS takes minutes
STEADY = 1.0  # seconds after which a task without a target group counts as healthy
INCONSISTENT = 3  # failed tasks after which a service says so
SCHEDULER = "ServiceSchedulerInitiated"


@dataclass
class Rollout:
    """What a deployment has seen so far."""

    failures: int = 0  # without a healthy task in between
    not_before: float = 0.0  # when its next task may start
    shown_until: float = 0.0  # when it may be complete


def reconcile(backend, service, now: float) -> None:
    """Brings a service one step towards its primary deployment."""
    if service.status == "INACTIVE" or not hasattr(service, "changed_at"):
        return
    if not hasattr(service, "rollouts"):
        service.rollouts, service.completed, service.steady = {}, None, False
    every = list(backend.tasks.get(service.cluster_name, {}).values())
    tasks = [task for task in every if task.service_arn == service.arn]
    count_failures(service, tasks, now)
    tasks = [task for task in tasks if task.status != "STOPPED"]
    if service.status == "DRAINING":
        end(backend, service, [task for task in tasks if task.live()], deployment_id(service))
        if not tasks:
            service.status, service.deployments = "INACTIVE", []
    else:
        primary = service.deployments[0]
        healthy = look(backend, service, tasks, now)
        breaker(service, primary, now)
        primary = service.deployments[0]
        if primary["rolloutState"] != "FAILED":
            roll(backend, service, primary, tasks, healthy, now)
        elif not service.desired_count:
            end(backend, service, [task for task in tasks if task.live()], primary["id"])
        finish(service, primary, tasks, healthy, now)
    tally(service, tasks)


def deployment_id(service) -> str:
    return service.deployments[0]["id"] if service.deployments else ""


def rollout_of(service, identity: str) -> Rollout:
    return service.rollouts.setdefault(identity, Rollout())


# --- failures --------------------------------------------------------------------------------------------------------


def count_failures(service, tasks: list[LiveTask], now: float) -> None:
    """A task that failed counts once it has stopped, so that whoever reads the count can read why."""
    for task in tasks:
        if task.status != "STOPPED" or task.counted or not task.failed:
            continue
        task.counted = True
        for deployment in service.deployments:
            if deployment["id"] == task.started_by:
                deployment["failedTasks"] += 1
                deployment["updatedAt"] = utcnow()
        rollout = rollout_of(service, task.started_by)
        rollout.failures, rollout.not_before = rollout.failures + 1, now + BACKOFF
        if task.stop_code == "TaskFailedToStart":
            event(service, f"(service {service.name}) was unable to place a task. Reason: {task.stopped_reason}.")
        if rollout.failures == INCONSISTENT:
            where = "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
            event(service, f"(service {service.name}) is unable to consistently start tasks successfully. {where}")


def breaker(service, primary: dict, now: float) -> None:
    """A deployment with too many failed tasks has failed. With rollback, the last completed one is primary again."""
    chosen = service.deployment_configuration.get("deploymentCircuitBreaker") or {}
    limit = min(max(3, math.ceil(service.desired_count / 2)), 200)
    if primary["rolloutState"] != "IN_PROGRESS" or not chosen.get("enable"):
        return
    if rollout_of(service, primary["id"]).failures < limit:
        return
    reason = "ECS deployment circuit breaker: tasks failed to start."
    primary.update({"rolloutState": "FAILED", "rolloutStateReason": reason, "updatedAt": utcnow()})
    event(service, f"(service {service.name}) (deployment {primary['id']}) deployment failed: tasks failed to start.")
    back, service.completed = service.completed, None
    if not chosen.get("rollback") or back is None or back is primary:
        return
    event(service, f"(service {service.name}) rolling back to deployment {back['id']}.")
    reason = f"ECS deployment circuit breaker: rolling back to deploymentId {back['id']}."
    back.update({"status": "PRIMARY", "rolloutState": "IN_PROGRESS", "rolloutStateReason": reason, "updatedAt": utcnow()})
    primary["status"] = "ACTIVE"
    service.deployments = [back, *(one for one in service.deployments if one is not back)]
    service.task_definition = back["taskDefinition"]
    service.rollouts[back["id"]] = Rollout(shown_until=now + ROLLS_BACK)


# --- health ----------------------------------------------------------------------------------------------------------


def look(backend, service, tasks: list[LiveTask], now: float) -> set[LiveTask]:
    """The healthy tasks. Those whose target is unhealthy after the grace period are stopped."""
    groups = elbv2_backends[backend.account_id][backend.region_name].target_groups
    grace, healthy = float(service.health_check_grace_period_seconds or 0), set()
    for task in tasks:
        if task.status != "RUNNING" or not task.live():
            continue
        states = {arn: balancer.health(arn, key) for arn, key in task.keys() if arn in groups}
        sick = next((arn for arn, state in states.items() if state == "unhealthy"), None)
        if sick and now - task.began > grace:
            text = f"(service {service.name}) (task {task.id}) failed ELB health checks in (target-group {sick})"
            event(service, f"{text}.")
            stop(backend, task, SCHEDULER, f"Task failed ELB health checks in (target-group {sick})", failed=True)
        elif all(state not in ("initial", "unhealthy") for state in states.values()) and (states or now - task.began >= STEADY):
            healthy.add(task)
            if not task.was_healthy:
                task.was_healthy = True
                rollout_of(service, task.started_by).failures = 0
    return healthy


# --- rolling ---------------------------------------------------------------------------------------------------------


def roll(backend, service, primary: dict, tasks: list[LiveTask], healthy: set[LiveTask], now: float) -> None:
    """Starts tasks of the primary deployment up to maximumPercent, stops older ones down to minimumHealthyPercent."""
    desired, percent = service.desired_count, service.deployment_configuration
    least = math.ceil(desired * percent.get("minimumHealthyPercent", 100) / 100)
    most = math.floor(desired * percent.get("maximumPercent", 200) / 100)
    occupied = [task for task in tasks if task.live() or task.failed]  # a task that failed is replaced once it has ended
    new = [task for task in occupied if task.started_by == primary["id"]]
    old = [task for task in tasks if task.live() and task.started_by != primary["id"]]
    if now >= rollout_of(service, primary["id"]).not_before:
        begin(backend, service, primary, min(desired - len(new), most - len(occupied)), now)
    running = sorted((task for task in new if task.live()), key=lambda task: (task not in healthy, task.began))
    end(backend, service, running[desired:], primary["id"])
    leaving = [task for task in old if task not in healthy]
    kept = sum(task in healthy for task in running[:desired])
    fit = [task for task in old if task in healthy]
    leaving += fit[: max(len(fit) - max(least - kept, 0), 0)]
    end(backend, service, leaving, primary["id"])


def begin(backend, service, primary: dict, count: int, now: float) -> None:
    started = []
    definition = backend.describe_task_definition(primary["taskDefinition"])
    for _ in range(count):
        try:
            task = placed(place_task(backend, service, primary, definition, LiveTask), definition)
        except Exception as error:  # a subnet or a group is gone
            rollout = rollout_of(service, primary["id"])
            rollout.not_before = now + BACKOFF
            primary["failedTasks"], rollout.failures = primary["failedTasks"] + 1, rollout.failures + 1
            event(service, f"(service {service.name}) was unable to place a task. Reason: {error}.")
            break
        task.bindings = [dict(binding) for binding in service.load_balancers]
        started.append(task)
    if started:
        named = " ".join(f"(task {task.id})" for task in started)
        event(service, f"(service {service.name}) has started {len(started)} tasks: {named}.")
        service.steady = False


def end(backend, service, tasks: list[LiveTask], by: str) -> None:
    if not tasks:
        return
    draining = sum(bool(task.targets) for task in tasks)
    for task in tasks:
        stop(backend, task, SCHEDULER, f"Scaling activity initiated by (deployment {by})")
    if draining:
        event(service, f"(service {service.name}) has begun draining connections on {draining} tasks.")
    named = " ".join(f"(task {task.id})" for task in tasks)
    event(service, f"(service {service.name}) has stopped {len(tasks)} running tasks: {named}.")
    service.steady = False


def finish(service, primary: dict, tasks: list[LiveTask], healthy: set[LiveTask], now: float) -> None:
    """A deployment is complete when all of its tasks are healthy and nothing of the ones before it is left."""
    by = {task.started_by for task in tasks}
    service.deployments = [d for d in service.deployments if d is primary or d["id"] in by or d["rolloutState"] == "FAILED"]
    done = len(tasks) == service.desired_count and all(task in healthy for task in tasks) and by <= {primary["id"]}
    if not done or primary["rolloutState"] == "FAILED" or now < rollout_of(service, primary["id"]).shown_until:
        return
    if primary["rolloutState"] != "COMPLETED":
        text = f"ECS deployment {primary['id']} completed."
        primary.update({"rolloutState": "COMPLETED", "rolloutStateReason": text, "updatedAt": utcnow()})
        event(service, f"(service {service.name}) (deployment {primary['id']}) deployment completed.")
        service.steady = False
    service.deployments, service.completed = [primary], primary
    if not service.steady:
        service.steady = True
        event(service, f"(service {service.name}) has reached a steady state.")


def tally(service, tasks: list[LiveTask]) -> None:
    """The counts that DescribeServices shows."""
    for deployment in service.deployments:
        own = [task for task in tasks if task.started_by == deployment["id"]]
        deployment["runningCount"] = sum(task.status == "RUNNING" for task in own)
        deployment["pendingCount"] = sum(task.status in ("PROVISIONING", "PENDING") for task in own)
        if deployment["status"] != "PRIMARY":
            deployment["desiredCount"] = sum(task.live() for task in own)
        else:
            deployment["desiredCount"] = service.desired_count
    service.running_count = sum(task.status == "RUNNING" for task in tasks)
    service.pending_count = sum(task.status in ("PROVISIONING", "PENDING") for task in tasks)
