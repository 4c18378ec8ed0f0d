"""ECS services: all their settings read back, and they run tasks.

moto stores a service and does nothing more. Here a service settles a moment after each change: it then has as many
running tasks as it should, each with an interface in its subnets and registered in its target groups, its deployment is
COMPLETED, and the deployment before is gone. The tasks run no container; targets are healthy at once. With --data-plane
tasks are processes, and the scheduler of data_plane/tasks.py takes the place of `settle`.
"""

import threading
import time

from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores, utcnow
from moto.ecs.exceptions import InvalidParameterException, ServiceNotFoundException
from moto.ecs.models import Container, EC2ContainerServiceBackend, Service, Task
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.moto_api._internal import mock_random

from .patch import around, define

SETTLES_AFTER = 0.4  # seconds in which clients can see a deployment in progress
LOCK = threading.RLock()

DEPLOYMENT_CONFIGURATION = {
    "strategy": "ROLLING",
    "maximumPercent": 200,
    "minimumHealthyPercent": 100,
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    "bakeTimeInMinutes": 0,
}
DEFAULTS = {
    "healthCheckGracePeriodSeconds": 0,
    "enableECSManagedTags": False,
    "enableExecuteCommand": False,
    "availabilityZoneRebalancing": "ENABLED",
    "propagateTags": "NONE",
    "placementConstraints": [],
    "placementStrategy": [],
    "serviceRegistries": [],
    "loadBalancers": [],
}
STORED = [*DEFAULTS, "capacityProviderStrategy", "platformVersion", "networkConfiguration", "serviceConnectConfiguration"]
NEW_DEPLOYMENT = ["networkConfiguration", "platformVersion", "capacityProviderStrategy", "loadBalancers"]
NEW_DEPLOYMENT += ["serviceConnectConfiguration", "serviceRegistries", "enableECSManagedTags", "propagateTags"]

# --- tasks -----------------------------------------------------------------------------------------------------------


@around(Task, "__init__")
def task_without_groups(original, self, *args, **kwargs):
    """A task without security groups gets the VPC's default group."""
    configuration = kwargs.get("networking_configuration")
    if configuration:
        awsvpc = configuration["awsvpcConfiguration"]
        kwargs["networking_configuration"] = {"awsvpcConfiguration": {"securityGroups": [], **awsvpc}}
    original(self, *args, **kwargs)


class ServiceTask(Task):
    """A task of a service: it runs until it is stopped."""

    status = property(lambda self: self._status, lambda self, value: setattr(self, "_status", value))
    last_status = status

    def advance(self):
        pass


def containers_of(task, definition, status="RUNNING"):
    """Every container of the definition."""
    attachment = task.attachments[0] if task.attachments else None
    address = task_address(task)
    for position, text in enumerate(definition.container_definitions):
        container = Container(definition)
        container.name, container.image = text.get("name"), text.get("image")
        container.cpu, container.memory = str(text.get("cpu", 0)), text.get("memory")
        container.task_arn, container.last_status = task.task_arn, status
        container.runtime_id = f"{task.id.replace('-', '')}-{position:010d}"
        container.exitCode = None
        if attachment:
            container.network_interfaces = [{"attachmentId": attachment["id"], "privateIpv4Address": address}]
        yield container


def task_address(task):
    for attachment in task.attachments:
        for detail in attachment["details"]:
            if detail["name"] == "privateIPv4Address":
                return detail["value"]
    return None


def place_task(backend, service, deployment, definition, kind=ServiceTask):
    """A new task of the service, with its interface."""
    cluster = backend._get_cluster(service.cluster_name)
    tags = {"SERVICE": service.tags, "TASK_DEFINITION": definition.tags}.get(service.propagate_tags, [])
    strategy = getattr(service, "capacity_provider_strategy", None)
    task = kind(
        cluster=cluster,
        task_definition=definition,
        container_instance_arn=None,
        resource_requirements=None,
        backend=backend,
        group=f"service:{service.name}",
        launch_type=service.launch_type or "FARGATE",
        started_by=deployment["id"],
        tags=[dict(tag) for tag in tags],
        networking_configuration=service.network_configuration or None,
        platform_version="1.4.0",
        capacity_provider_name=strategy[0]["capacityProvider"] if strategy else None,
    )
    task.service_arn, task.created_at = service.arn, utcnow()
    task.cpu, task.memory = definition.cpu, definition.memory
    backend.tasks.setdefault(cluster.name, {})[task.task_arn] = task
    return task


def run_task(backend, service, deployment, definition):
    task = place_task(backend, service, deployment, definition)
    task.health_status, task.connectivity = "HEALTHY", "CONNECTED"
    task.started_at = task.created_at
    task.containers = list(containers_of(task, definition))
    registration(backend, service, task, "register")


def release_interfaces(backend, task):
    from moto.ec2.models import ec2_backends

    for attachment in task.attachments:
        for detail in attachment["details"]:
            if detail["name"] == "networkInterfaceId":
                ec2_backends[backend.account_id][backend.region_name].enis.pop(detail["value"], None)


def end_task(backend, service, task, reason):
    registration(backend, service, task, "deregister")
    release_interfaces(backend, task)
    task.status, task.desired_status, task.stopped_reason = "STOPPED", "STOPPED", reason
    task.stop_code, task.stopped_at = "ServiceSchedulerInitiated", utcnow()
    for container in task.containers:
        container.last_status, container.exitCode = "STOPPED", 0


def registration(backend, service, task, verb):
    """Registers the task in the service's target groups, or takes it out."""
    from moto.elbv2.models import elbv2_backends

    groups = elbv2_backends[backend.account_id][backend.region_name].target_groups
    for binding in service.load_balancers:
        group = groups.get(binding.get("targetGroupArn"))
        target = {"Id": task_address(task), "Port": binding["containerPort"]}
        if group and (verb == "register" or f"{target['Id']}:{target['Port']}" in group.targets):
            getattr(group, verb)([target])


def tasks_of(backend, service):
    tasks = backend.tasks.get(service.cluster_name, {}).values()
    return [t for t in tasks if getattr(t, "service_arn", None) == service.arn and t._status == "RUNNING"]


# --- settling --------------------------------------------------------------------------------------------------------


def settle(backend, service):
    """Brings the service's tasks to what its primary deployment says."""
    if time.monotonic() - service.changed_at < SETTLES_AFTER:
        return
    running = tasks_of(backend, service)
    primary = service.deployments[0] if service.deployments and service.status == "ACTIVE" else None
    wanted = service.desired_count if primary else 0
    keep = [task for task in running if primary and task.started_by == primary["id"]][:wanted]
    for task in running:
        if task not in keep:
            end_task(backend, service, task, f"Scaling activity initiated by (deployment {task.started_by})")
    if primary:
        definition = backend.describe_task_definition(service.task_definition)
        for _ in range(wanted - len(keep)):
            run_task(backend, service, primary, definition)
        if primary["rolloutState"] != "COMPLETED":
            text = f"ECS deployment {primary['id']} completed."
            primary.update({"rolloutState": "COMPLETED", "rolloutStateReason": text, "updatedAt": utcnow()})
            event(service, f"(service {service.name}) has reached a steady state.")
        del service.deployments[1:]
        primary.update({"desiredCount": wanted, "runningCount": wanted, "pendingCount": 0})
    elif service.status == "DRAINING":
        service.status, service.deployments = "INACTIVE", []
    service.running_count, service.pending_count = wanted, 0


def settle_all(backend):
    with LOCK:
        for service in list(backend.services.values()):
            if hasattr(service, "changed_at"):
                settle(backend, service)


def event(service, message):
    service.events.insert(0, {"id": str(mock_random.uuid4()), "createdAt": utcnow(), "message": message})
    del service.events[100:]


def deploy(service):
    """Puts a new primary deployment in front of the one that serves."""
    for deployment in service.deployments:
        deployment["status"] = "ACTIVE"
    identity = f"ecs-svc/{mock_random.randint(10**18, 10**19 - 1)}"
    deployment = {
        "id": identity,
        "status": "PRIMARY",
        "taskDefinition": service.task_definition,
        "desiredCount": service.desired_count,
        "runningCount": 0,
        "pendingCount": service.desired_count,
        "failedTasks": 0,
        "createdAt": utcnow(),
        "updatedAt": utcnow(),
        "networkConfiguration": service.network_configuration or None,
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": f"ECS deployment {identity} in progress.",
        "serviceConnectConfiguration": getattr(service, "service_connect_configuration", None),
    }
    chosen = getattr(service, "capacity_provider_strategy", None)
    deployment |= {"capacityProviderStrategy": chosen} if chosen else {"launchType": service.launch_type}
    service.deployments.insert(0, deployment)


# --- create, update, delete ------------------------------------------------------------------------------------------


def store(service, name, value):
    """Sets a member of the service, completed as AWS completes it."""
    if name == "networkConfiguration" and value:
        awsvpc = {"assignPublicIp": "DISABLED", "securityGroups": []} | value["awsvpcConfiguration"]
        value = {"awsvpcConfiguration": awsvpc}
    if name == "capacityProviderStrategy" and value:
        value = [{"weight": 0, "base": 0} | item for item in value]
    setattr(service, camelcase_to_underscores(name) if name != "enableECSManagedTags" else "enable_ecs_managed_tags", value)


@around(Service, "_validate_network")
def network_without_groups(original, self, network_configuration):
    """Security groups may be left out."""
    awsvpc = network_configuration["awsvpcConfiguration"]
    original(self, {"awsvpcConfiguration": {"securityGroups": [], **awsvpc}})
    return network_configuration


def check_load_balancers(self, definition):
    """A target group must be reached by a balancer, and the container must exist."""
    from moto.elbv2.models import elbv2_backends

    groups = elbv2_backends[self.current_account][self.region].target_groups
    for binding in self._get_param("loadBalancers") or []:
        arn = binding.get("targetGroupArn")
        if arn and (arn not in groups or not groups[arn].load_balancer_arns):
            text = f"The target group with targetGroupArn {arn} does not have an associated load balancer."
            raise InvalidParameterException(text)
        names = [container["name"] for container in definition.container_definitions]
        if binding["containerName"] not in names:
            text = f"The container {binding['containerName']} does not exist in the task definition."
            raise InvalidParameterException(text)


@around(EC2ContainerServiceResponse, "create_service")
def create_service(original, self):
    """All settings of CreateService read back. A client token makes it idempotent; without one, a name in use is
    refused, also while the service of that name drains."""
    backend, token = self.ecs_backend, self._get_param("clientToken")
    settle_all(backend)
    cluster = backend._get_cluster(self._get_param("cluster", "default"))
    existing = backend.services.get(f"{cluster.name}:{self._get_param('serviceName')}")
    if existing and existing.status != "INACTIVE":
        if token and existing.client_token == token:
            return ActionResult({"service": existing})
        draining = "Unable to Start a service that is still Draining."
        raise InvalidParameterException(draining if existing.status == "DRAINING" else "Creation of service was not idempotent.")
    definition = backend.describe_task_definition(self._get_param("taskDefinition"))
    check_load_balancers(self, definition)
    if not self._get_param("networkConfiguration") and definition.network_mode == "awsvpc":
        text = "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        raise InvalidParameterException(text)
    with LOCK:
        service = original(self).result["service"]
        complete(self, service, cluster)
        service.client_token = token
        service.running_count, service.pending_count = 0, service.desired_count
        service.deployments = []
        deploy(service)
        service.changed_at = time.monotonic()
    return ActionResult({"service": service})


def complete(self, service, cluster):
    """Everything that moto's CreateService drops, and the defaults."""
    for name in STORED:
        given = self._get_param(name)
        store(service, name, given if given is not None else DEFAULTS.get(name))
    strategy = self._get_param("capacityProviderStrategy")
    if not strategy and not self._get_param("launchType"):
        strategy = cluster.default_capacity_provider_strategy
        store(service, "capacityProviderStrategy", strategy or None)
    if strategy:
        service.launch_type = None
    service.network_configuration = service.network_configuration or {}
    service.platform_version = service.platform_version or "LATEST"
    service.platform_family = "Linux"
    service.deployment_configuration = DEPLOYMENT_CONFIGURATION | (self._get_param("deploymentConfiguration") or {})
    account = self.current_account
    role = f"arn:aws:iam::{account}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
    service.role_arn = service.role_arn or role
    service.created_at, service.created_by = utcnow(), f"arn:aws:iam::{account}:root"


@define(EC2ContainerServiceResponse)
def update_service(self):
    """What UpdateService names changes, the rest stays; a change of what tasks are made of is a new deployment."""
    backend = self.ecs_backend
    settle_all(backend)
    with LOCK:
        service = find(backend, self._get_param("cluster", "default"), self._get_param("service"))
        if service.status != "ACTIVE":
            from moto.ecs.exceptions import ECSException

            raise ECSException("ServiceNotActiveException", "Service was not ACTIVE.")
        redeploy = bool(self._get_param("forceNewDeployment"))
        definition = self._get_param("taskDefinition")
        if definition:
            arn = backend.describe_task_definition(definition).arn
            redeploy |= arn != service.task_definition
            service.task_definition = arn
        check_load_balancers(self, backend.describe_task_definition(service.task_definition))
        for name in STORED:
            value = self._get_param(name)
            if value is not None:
                if name == "networkConfiguration":
                    service._validate_network(value)
                before = dict(service.__dict__)
                store(service, name, value)
                redeploy |= name in NEW_DEPLOYMENT and before != service.__dict__
        if self._get_param("capacityProviderStrategy"):
            service.launch_type = None
        if self._get_param("deploymentConfiguration"):
            service.deployment_configuration = service.deployment_configuration | self._get_param("deploymentConfiguration")
        if self._get_param("desiredCount") is not None:
            service.desired_count = self._get_int_param("desiredCount")
        if redeploy:
            deploy(service)
        service.deployments[0]["desiredCount"] = service.desired_count
        service.pending_count = max(service.desired_count - service.running_count, 0)
        service.changed_at = time.monotonic()
    return ActionResult({"service": service})


def find(backend, cluster_name, name):
    cluster = backend._get_cluster(cluster_name)
    service = backend.services.get(f"{cluster.name}:{name.split('/')[-1]}")
    if service is None:
        raise ServiceNotFoundException()
    return service


@define(EC2ContainerServiceResponse)
def delete_service(self):
    """A deleted service is DRAINING until its tasks have stopped, then INACTIVE."""
    backend = self.ecs_backend
    settle_all(backend)
    with LOCK:
        service = find(backend, self._get_param("cluster", "default"), self._get_param("service"))
        if service.status == "ACTIVE":
            if service.desired_count > 0 and not self._get_param("force", False):
                raise InvalidParameterException("The service cannot be stopped while it is scaled above 0.")
            service.status, service.desired_count, service.changed_at = "DRAINING", 0, time.monotonic()
    return ActionResult({"service": service})


@around(EC2ContainerServiceBackend, "describe_services")
def describe_services(original, self, cluster_str, service_names_or_arns):
    """Reads show settled services."""
    settle_all(self)
    return original(self, cluster_str, service_names_or_arns)


@around(EC2ContainerServiceBackend, "list_services")
def list_services(original, self, cluster_str, *args, **kwargs):
    """ListServices leaves out what is INACTIVE, and knows clusters by their whole name."""
    settle_all(self)
    cluster = self._get_cluster(cluster_str)
    live = {s.arn for s in self.services.values() if s.cluster_name == cluster.name and s.status != "INACTIVE"}
    return [arn for arn in original(self, cluster_str, *args, **kwargs) if arn in live]


@around(EC2ContainerServiceBackend, "list_tasks")
def list_tasks(original, self, cluster_str=None, container_instance=None, family=None, started_by=None, service_name=None, desired_status=None):
    """ListTasks knows the tasks of a service, and lists running ones unless asked for stopped ones."""
    with LOCK:
        settle_all(self)
        found = original(self, cluster_str, container_instance, family, started_by, None, desired_status or "RUNNING")
    if service_name:
        found = [task for task in found if getattr(task, "service_arn", "").split("/")[-1] == service_name.split("/")[-1]]
    return found


@around(EC2ContainerServiceBackend, "describe_tasks")
def describe_tasks(original, self, cluster_str, tasks):
    """Reads show settled services."""
    with LOCK:
        settle_all(self)
        return original(self, cluster_str, tasks)


@around(EC2ContainerServiceBackend, "describe_clusters")
def describe_clusters(original, self, cluster_names):
    """Reads show settled services."""
    settle_all(self)
    return original(self, cluster_names)
