"""ECS: a cluster that was deleted is only shown."""

from moto.core.responses import ActionResult
from moto.ecs.exceptions import ClusterNotFoundException
from moto.ecs.models import EC2ContainerServiceBackend
from moto.ecs.responses import EC2ContainerServiceResponse

from fixes.patch import around


@around(EC2ContainerServiceResponse, "call_action")
def inactive(original, self):
    """What refers to an INACTIVE cluster is refused as if it were gone."""
    name = (self._get_param("cluster") or "").split("/")[-1]
    cluster = self.ecs_backend.clusters.get(name)
    if cluster and cluster.status == "INACTIVE":
        return self.serialized(ActionResult(ClusterNotFoundException()))
    return original(self)


@around(EC2ContainerServiceBackend, "list_clusters")
def listed(original, self):
    """ListClusters leaves it out; DescribeClusters shows it."""
    return [arn for arn in original(self) if self.clusters[arn.rpartition("/")[2]].status != "INACTIVE"]
