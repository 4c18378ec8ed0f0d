"""Service deployments, and services that ECS itself releases (blue/green, canary, linear).

AWS keeps a deployment of the service for each change of what its tasks are made of, and a revision of the service for
each. With a strategy other than ROLLING a deployment walks through stages: the new tasks start in the other target group,
the test rule is led to them, then the rule of production, both revisions run for the bake time, and the old tasks stop.
A PAUSE hook holds it until ContinueServiceDeployment, StopServiceDeployment takes it back, and so does an alarm that fires
meanwhile. Not known with --data-plane, whose scheduler takes the place of `settle`. A stage takes a moment here, and a
minute of time for baking two seconds.
"""

import copy
import time

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ecs.exceptions import ECSException, InvalidParameterException
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.moto_api._internal import mock_random

from . import ecs_services
from .ecs_services import LOCK, end_task, event, find, run_task, settle_all, tasks_of
from .patch import define

STAGE = 0.3  # seconds that a stage takes
MINUTE = 2.0  # seconds that a minute of baking takes
STAGES = ["PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT"]
STAGES += ["PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"]
STAGES += ["BAKE_TIME", "CLEAN_UP"]
OVER = ["SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"]


class Walk:
    """A deployment on its way."""

    def __init__(self, service, deployment, shown, target, source):
        self.service, self.deployment, self.shown = service, deployment, shown
        self.target, self.source = target, source
        self.configuration = shown["deploymentConfiguration"]
        self.passed, self.entered = set(), time.monotonic()
        self.fired = set(firing(self))

    def rolls(self):
        return self.configuration["strategy"] == "ROLLING"


def revisions_of(service):
    if not hasattr(service, "revisions"):
        service.revisions, service.walks, service.serving = [], [], None
    return service.revisions


def arn_of(service, kind):
    return service.arn.replace(":service/", f":{kind}/") + f"/{mock_random.uuid4().hex[:21]}"


def summary(revision, wanted, weight):
    counts = {"requestedTaskCount": wanted, "runningTaskCount": 0, "pendingTaskCount": 0}
    weights = {"requestedTestTrafficWeight": 0.0, "requestedProductionTrafficWeight": weight}
    return {"arn": revision["serviceRevisionArn"], **counts, **weights}


original_deploy = ecs_services.deploy


def deploy(service):
    """A change of what tasks are made of is a deployment of the service, towards a new revision. One that is under way
    gives up its place."""
    original_deploy(service)
    revisions = revisions_of(service)
    now, source = utcnow(), service.serving
    revision = {
        "serviceRevisionArn": arn_of(service, "service-revision"),
        "serviceArn": service.arn,
        "clusterArn": service.cluster_arn,
        "taskDefinition": service.task_definition,
        "loadBalancers": copy.deepcopy(service.load_balancers or []),
        "networkConfiguration": service.network_configuration or None,
        "createdAt": now,
    }
    revisions.append(revision)
    for walk in service.walks:
        if walk.shown["status"] not in OVER:
            go_back(walk, "A new deployment has taken its place.", at_once=True)
    configuration = copy.deepcopy(ecs_services.DEPLOYMENT_CONFIGURATION | (service.deployment_configuration or {}))
    shown = {
        "serviceDeploymentArn": arn_of(service, "service-deployment"),
        "serviceArn": service.arn,
        "clusterArn": service.cluster_arn,
        "createdAt": now,
        "startedAt": now,
        "updatedAt": now,
        "sourceServiceRevisions": [summary(source, service.desired_count, 100.0)] if source else [],
        "targetServiceRevision": summary(revision, service.desired_count, 0.0),
        "status": "IN_PROGRESS",
        "lifecycleStage": STAGES[0],
        "lifecycleHookDetails": [],
        "deploymentConfiguration": configuration,
        "deploymentCircuitBreaker": {"status": "MONITORING", "failureCount": 0, "threshold": 3},
    }
    service.walks.append(Walk(service, service.deployments[0], shown, revision, source))
    service.current_service_deployment = shown["serviceDeploymentArn"]


ecs_services.deploy = deploy


# --- load balancers --------------------------------------------------------------------------------------------------


def groups_of(service):
    """The two target groups of a service, in the order of its settings, and the rules that lead to them."""
    binding = (service.load_balancers or [{}])[0]
    advanced = binding.get("advancedConfiguration") or {}
    groups = [binding.get("targetGroupArn"), advanced.get("alternateTargetGroupArn")]
    return groups, advanced.get("productionListenerRule"), advanced.get("testListenerRule")


def lead(service, rule, group, share=100):
    """Leads a rule to this target group, and what is left to the other one."""
    from moto.elbv2.models import elbv2_backends

    if not rule or not group:
        return
    groups, _, _ = groups_of(service)
    balancers = elbv2_backends[service._account_id][service.region_name]
    tuples = [{"TargetGroupArn": arn, "Weight": share if arn == group else 100 - share} for arn in groups if arn]
    balancers.modify_rule(rule, [], [{"Type": "forward", "ForwardConfig": {"TargetGroups": tuples}}])


def other(service, group):
    groups, _, _ = groups_of(service)
    return next((arn for arn in groups if arn != group), None)


original_registration = ecs_services.registration


def registration(backend, service, task, verb):
    """Of a service that ECS releases, the tasks of a revision are in one of its two target groups."""
    groups, production, _ = groups_of(service)
    if not production:
        return original_registration(backend, service, task, verb)
    if verb == "register":
        task.group_arn = getattr(service, "group_of_new", None) or groups[0]
    bindings = service.load_balancers
    try:
        service.load_balancers = [{**bindings[0], "targetGroupArn": getattr(task, "group_arn", groups[0])}]
        return original_registration(backend, service, task, verb)
    finally:
        service.load_balancers = bindings


ecs_services.registration = registration


# --- walking ---------------------------------------------------------------------------------------------------------

original_settle = ecs_services.settle


def settle(backend, service):
    """Brings the service a step further on its way."""
    revisions_of(service)
    walk = service.walks[-1] if service.walks else None
    going = walk and walk.shown["status"] not in OVER and service.status == "ACTIVE"
    if not going or walk.rolls():
        service.group_of_new = getattr(service, "serving_group", None)
        original_settle(backend, service)
        if going and service.deployments and service.deployments[0]["rolloutState"] == "COMPLETED":
            walk.shown.update({"status": "SUCCESSFUL", "finishedAt": utcnow(), "updatedAt": utcnow()})
            walk.shown["targetServiceRevision"].update(counts(service.desired_count))
            service.serving = walk.target
        return
    if walk.shown["status"] != "IN_PROGRESS":
        if time.monotonic() - walk.entered >= STAGE:
            went_back(backend, walk)
        return
    fired = [name for name in firing(walk) if name not in walk.fired]
    if fired:
        walk.shown["alarms"]["triggeredAlarmNames"] = fired
        go_back(walk, "Service deployment rolled back because of a CloudWatch alarm.")
        return
    while advance(backend, walk):
        pass
    running = len(tasks_of(backend, service))
    service.running_count, service.pending_count = running, 0


ecs_services.settle = settle


def firing(walk):
    """The alarms of a deployment that fire. Those that fire already when it begins are not watched."""
    from moto.cloudwatch.models import cloudwatch_backends

    alarms = walk.configuration.get("alarms") or {}
    if not alarms.get("enable"):
        return []
    walk.shown.setdefault("alarms", {"status": "MONITORING", "alarmNames": alarms["alarmNames"]})
    known = cloudwatch_backends[walk.service._account_id][walk.service.region_name].alarms
    return [name for name in alarms["alarmNames"] if name in known and known[name].state_value == "ALARM"]


def counts(running):
    return {"requestedTaskCount": running, "runningTaskCount": running, "pendingTaskCount": 0}


def advance(backend, walk):
    """Does what belongs to a stage and enters the next one. False where there is something to wait for."""
    service, shown, stage = walk.service, walk.shown, walk.shown["lifecycleStage"]
    minutes = walk.configuration.get("bakeTimeInMinutes") or 0
    lasts = minutes * MINUTE if stage == "BAKE_TIME" else STAGE
    lasts = lasts if service.desired_count else 0
    if time.monotonic() - walk.entered < lasts or held(walk, stage):
        return False
    groups, production, test = groups_of(service)
    serving = getattr(service, "serving_group", None) or groups[0]
    new = other(service, serving) if walk.source else serving
    target = shown["targetServiceRevision"]
    if stage == "SCALE_UP":
        service.group_of_new = new
        definition = backend.describe_task_definition(walk.target["taskDefinition"])
        own = [task for task in tasks_of(backend, service) if task.started_by == walk.deployment["id"]]
        for _ in range(service.desired_count - len(own)):
            run_task(backend, service, walk.deployment, definition)
        target.update(counts(service.desired_count))
        walk.deployment.update({"runningCount": service.desired_count, "pendingCount": 0})
        for source in shown["sourceServiceRevisions"]:
            source.update(counts(len(tasks_of(backend, service)) - service.desired_count))
    elif stage == "TEST_TRAFFIC_SHIFT":
        lead(service, test, new)
        target["requestedTestTrafficWeight"] = 100.0
    elif stage == "PRODUCTION_TRAFFIC_SHIFT":
        lead(service, production, new)
        target["requestedProductionTrafficWeight"] = 100.0
        for source in shown["sourceServiceRevisions"]:
            source["requestedProductionTrafficWeight"] = 0.0
    elif stage == "CLEAN_UP":
        service.serving, service.serving_group = walk.target, new
        shown.update({"status": "SUCCESSFUL", "finishedAt": utcnow(), "updatedAt": utcnow()})
        service.changed_at = 0
        service.group_of_new = new
        original_settle(backend, service)
        return False
    shown["lifecycleStage"], shown["updatedAt"] = STAGES[STAGES.index(stage) + 1], utcnow()
    walk.entered = time.monotonic()
    return True


def held(walk, stage):
    """A PAUSE hook holds the deployment at the end of its stage."""
    if stage in walk.passed:
        return False
    for hook in walk.configuration.get("lifecycleHooks") or []:
        if hook.get("targetType") == "PAUSE" and stage in hook["lifecycleStages"]:
            timeout = {"timeoutInMinutes": 1440, "action": "ROLLBACK"} | (hook.get("timeoutConfiguration") or {})
            details = walk.shown["lifecycleHookDetails"]
            if not any(one["status"] == "AWAITING_ACTION" for one in details):
                one = {"hookId": f"ecs-pause-{mock_random.uuid4().hex}", "targetType": "PAUSE", "status": "AWAITING_ACTION"}
                one |= {"expiresAt": time.time() + timeout["timeoutInMinutes"] * 60, "timeoutAction": timeout["action"]}
                walk.shown["lifecycleHookDetails"] = [one]
            return True
    return False


def go_back(walk, reason, at_once=False):
    """The traffic goes back at once, the new tasks stop, and the service has its former revision."""
    service, source = walk.service, walk.source
    groups, production, test = groups_of(service)
    walk.shown["lifecycleHookDetails"] = []
    walk.shown["rollback"] = {"reason": reason, "startedAt": utcnow()}
    if source:
        walk.shown["rollback"]["serviceRevisionArn"] = source["serviceRevisionArn"]
    walk.shown.update({"status": "ROLLBACK_IN_PROGRESS", "statusReason": reason, "updatedAt": utcnow()})
    walk.entered = time.monotonic()
    if not walk.rolls():
        serving = getattr(service, "serving_group", None) or groups[0]
        lead(service, production, serving)
        lead(service, test, other(service, serving))
    if at_once:
        walk.shown.update({"status": "STOPPED", "stoppedAt": utcnow()})


def went_back(backend, walk):
    service = walk.service
    for task in tasks_of(backend, service):
        if task.started_by == walk.deployment["id"]:
            end_task(backend, service, task, f"Scaling activity initiated by (deployment {task.started_by})")
    if walk.source:
        service.task_definition = walk.source["taskDefinition"]
    service.deployments = [one for one in service.deployments if one is not walk.deployment] or service.deployments
    service.deployments[0].update({"status": "PRIMARY", "rolloutState": "COMPLETED"})
    walk.shown.update({"status": "ROLLBACK_SUCCESSFUL", "finishedAt": utcnow(), "updatedAt": utcnow()})
    event(service, f"(service {service.name}) rolling back to deployment {service.deployments[0]['id']}.")
    service.running_count = len(tasks_of(backend, service))
    service.changed_at = 0


# --- the API ---------------------------------------------------------------------------------------------------------


def walks_of(backend):
    settle_all(backend)
    return {walk.shown["serviceDeploymentArn"]: walk for one in backend.services.values() for walk in getattr(one, "walks", [])}


def walk_at(backend, arn):
    walk = walks_of(backend).get(arn)
    if walk is None:
        raise ECSException("ServiceDeploymentNotFoundException", "The service deployment could not be found.")
    return walk


@define(EC2ContainerServiceResponse)
def list_service_deployments(self):
    """The deployments of a service, the newest first."""
    backend = self.ecs_backend
    service = find(backend, self._get_param("cluster", "default"), self._get_param("service"))
    own = [walk for walk in walks_of(backend).values() if walk.service is service]
    brief = ["serviceDeploymentArn", "serviceArn", "clusterArn", "startedAt", "createdAt", "finishedAt", "status", "statusReason"]
    wanted = self._get_param("status")
    shown = [
        {key: walk.shown[key] for key in brief if key in walk.shown} | {"targetServiceRevisionArn": walk.target["serviceRevisionArn"]}
        for walk in reversed(own)
        if not wanted or walk.shown["status"] in wanted
    ]
    return ActionResult({"serviceDeployments": shown})


@define(EC2ContainerServiceResponse)
def describe_service_deployments(self):
    """All of these deployments. What is not known is a failure in the answer."""
    known = walks_of(self.ecs_backend)
    arns = self._get_param("serviceDeploymentArns")
    failures = [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in known]
    return ActionResult({"serviceDeployments": [known[arn].shown for arn in arns if arn in known], "failures": failures})


@define(EC2ContainerServiceResponse)
def describe_service_revisions(self):
    """What a revision of a service was made of."""
    services = self.ecs_backend.services.values()
    known = {each["serviceRevisionArn"]: each for service in services for each in getattr(service, "revisions", [])}
    arns = self._get_param("serviceRevisionArns")
    failures = [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in known]
    return ActionResult({"serviceRevisions": [known[arn] for arn in arns if arn in known], "failures": failures})


@define(EC2ContainerServiceResponse)
def continue_service_deployment(self):
    """Answers a pause: the deployment goes on, or back. A hook that waits for nobody is refused."""
    backend = self.ecs_backend
    with LOCK:
        walk = walk_at(backend, self._get_param("serviceDeploymentArn"))
        hook = next((one for one in walk.shown["lifecycleHookDetails"] if one["hookId"] == self._get_param("hookId")), None)
        if hook is None or hook["status"] != "AWAITING_ACTION":
            raise InvalidParameterException("The lifecycle hook is not awaiting action.")
        hook["status"] = "SUCCEEDED"
        if self._get_param("action") == "ROLLBACK":
            go_back(walk, "Rollback requested for a paused lifecycle hook.")
        else:
            walk.passed.add(walk.shown["lifecycleStage"])
    return ActionResult({"serviceDeploymentArn": walk.shown["serviceDeploymentArn"]})


@define(EC2ContainerServiceResponse)
def stop_service_deployment(self):
    """Takes a deployment back that is under way, at whatever stage. One that is over is refused."""
    backend = self.ecs_backend
    with LOCK:
        walk = walk_at(backend, self._get_param("serviceDeploymentArn"))
        if walk.shown["status"] in OVER:
            text = "The service deployment can't be stopped because it has already finished."
            raise ECSException("ConflictException", text)
        if walk.shown["status"] == "IN_PROGRESS":
            go_back(walk, "Service deployment stopped by a user.")
    return ActionResult({"serviceDeploymentArn": walk.shown["serviceDeploymentArn"]})
