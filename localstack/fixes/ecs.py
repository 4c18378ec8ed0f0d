"""ECS: clusters and task definitions. Services are in ecs_services."""

import copy

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ecs.exceptions import ECSException, TaskDefinitionNotFoundException
from moto.ecs.models import Cluster, EC2ContainerServiceBackend, TaskDefinition, ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse

from .patch import around, define, paged

paged(EC2ContainerServiceResponse, "List", "maxResults", "nextToken", "nextToken")

# --- clusters --------------------------------------------------------------------------------------------------------


@around(EC2ContainerServiceBackend, "create_cluster")
def existing_cluster(original, self, cluster_name, tags=None, *args, **kwargs):
    """CreateCluster with the name of an active cluster answers with that one and changes nothing."""
    existing = self.clusters.get(cluster_name)
    if existing and existing.status == "ACTIVE":
        return existing
    return original(self, cluster_name, tags, *args, **kwargs)


@around(EC2ContainerServiceResponse, "describe_clusters")
def only_what_is_included(original, self):
    """Settings and configuration are in the answer only when asked for, as tags are."""
    include = self._get_param("include", [])
    for word, member in (("SETTINGS", "settings"), ("CONFIGURATIONS", "configuration")):
        path = f"DescribeClustersResponse.clusters.Cluster.{member}"
        (self._include_in_response if word in include else self._exclude_from_response)(path)
    return original(self)


@define(EC2ContainerServiceResponse)
def update_cluster_settings(self):
    """UpdateClusterSettings changes the named settings."""
    cluster = self.ecs_backend._get_cluster(self._get_param("cluster"))
    changed = {setting["name"]: setting["value"] for setting in self._get_param("settings", [])}
    settings = {setting["name"]: setting["value"] for setting in cluster.settings} | changed
    cluster.settings = [{"name": name, "value": value} for name, value in settings.items()]
    return ActionResult({"cluster": cluster})


def contents(cluster):
    """Services and tasks of a cluster."""
    region, account = cluster.arn.split(":")[3:5]
    backend = ecs_backends[account][region]
    services = [service for service in list(backend.services.values()) if service.cluster_name == cluster.name]
    tasks = [task for task in list(backend.tasks.get(cluster.name, {}).values()) if task.desired_status == "RUNNING"]
    return services, tasks


def counted(name, count):
    """A counter of the cluster that follows from what is in it; moto's own changes of it say nothing new."""
    setattr(Cluster, name, property(lambda self: count(*contents(self)), lambda self, value: None))


counted("active_services_count", lambda services, tasks: sum(service.status == "ACTIVE" for service in services))
counted("running_tasks_count", lambda services, tasks: sum(task._status == "RUNNING" for task in tasks))
counted("pending_tasks_count", lambda services, tasks: sum(s.pending_count for s in services if s.status == "ACTIVE"))


@around(EC2ContainerServiceBackend, "delete_cluster")
def cluster_in_use(original, self, cluster_str):
    """DeleteCluster is refused while services are active or draining, or tasks run."""
    from .ecs_services import settle_all

    settle_all(self)
    services, tasks = contents(self._get_cluster(cluster_str))
    if any(service.status != "INACTIVE" for service in services):
        text = "The Cluster cannot be deleted while Services are active."
        raise ECSException("ClusterContainsServicesException", text)
    if any(task._status != "STOPPED" for task in tasks):
        raise ECSException("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
    return original(self, cluster_str)


# --- task definitions ------------------------------------------------------------------------------------------------

UNITS = {"cpu": ("vcpu", 1024), "memory": ("gb", 1024)}


def plain_units(name, value):
    """`1 vCPU` reads back as 1024, `2GB` as 2048."""
    word, factor = UNITS[name]
    text = str(value).strip().lower().replace(" ", "")
    return str(int(float(text.removesuffix(word)) * factor)) if text.endswith(word) else value


@around(TaskDefinition, "__init__")
def complete_task_definition(original, self, family, revision, container_definitions, *args, **kwargs):
    """Containers read back with their defaults; sizes read back in plain units."""
    awsvpc = kwargs.get("network_mode") == "awsvpc" or "FARGATE" in (kwargs.get("requires_compatibilities") or [])
    containers = copy.deepcopy(container_definitions)
    for container in containers:
        container.setdefault("systemControls", [])
        for mapping in container.get("portMappings", []):
            mapping.setdefault("protocol", "tcp")
            if awsvpc and "containerPort" in mapping:
                mapping.setdefault("hostPort", mapping["containerPort"])
            elif "containerPort" in mapping:
                mapping.setdefault("hostPort", 0)
        if container.get("healthCheck"):
            container["healthCheck"] = {"interval": 30, "timeout": 5, "retries": 3} | container["healthCheck"]
    for name in UNITS:
        if kwargs.get(name):
            kwargs[name] = plain_units(name, kwargs[name])
    original(self, family, revision, containers, *args, **kwargs)
    self.registered_at = utcnow()
    self.registered_by = "arn:aws:iam::123456789012:root"


@around(EC2ContainerServiceBackend, "describe_task_definition")
def latest_active(original, self, task_definition_str):
    """A family without a revision means its latest ACTIVE revision."""
    name = task_definition_str.split("/")[-1]
    if ":" in name:
        return original(self, task_definition_str)
    active = [r for r, definition in self.task_definitions.get(name, {}).items() if definition.status == "ACTIVE"]
    if not active:
        raise TaskDefinitionNotFoundException()
    return self.task_definitions[name][max(active)]


@around(EC2ContainerServiceResponse, "list_task_definitions")
def sorted_revisions(original, self):
    """`sort` DESC lists the newest revision first."""
    arns = original(self).result["taskDefinitionArns"]
    arns.sort(key=lambda arn: (arn.rpartition(":")[0], int(arn.rpartition(":")[2])))
    return ActionResult({"taskDefinitionArns": arns[::-1] if self._get_param("sort") == "DESC" else arns})
