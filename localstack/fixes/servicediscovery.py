"""Cloud Map: namespaces of HTTP, which are made and deleted in their own time, and which services hold."""

import json
import time

from moto.core.exceptions import JsonRESTError
from moto.ecs.models import ecs_backends
from moto.servicediscovery.models import Namespace, Operation, ServiceDiscoveryBackend
from moto.servicediscovery.responses import ServiceDiscoveryResponse

from .patch import around, define
from .taggable import pairs, taggable

SETTLES_AFTER = 0.3  # seconds in which a namespace is not listed yet


@around(ServiceDiscoveryBackend, "create_http_namespace")
def create(original, self, name, creator_request_id, description, tags):
    """The name of an HTTP namespace is unique, and the same request again is refused. It is made in its own time: the
    operation is PENDING at first."""
    for namespace in self.namespaces.values():
        if namespace.type == "HTTP" and namespace.name == name:
            same = creator_request_id and namespace.creator_request_id == creator_request_id
            code = "DuplicateRequest" if same else "NamespaceAlreadyExists"
            raise JsonRESTError(code, f"The namespace {name} already exists.")
    operation = original(self, name, creator_request_id, description, tags)
    self.namespaces[self.operations[operation].targets["NAMESPACE"]].visible = time.monotonic() + SETTLES_AFTER
    return operation


@around(Operation, "to_json")
def pending(original, self, short=False):
    """An operation is PENDING before it succeeds."""
    settled = time.time() - self.created > SETTLES_AFTER
    return original(self, short) | {"Status": self.status if settled else "PENDING"}


@around(Namespace, "to_json")
def properties(original, self):
    """An HTTP namespace has no DNS properties."""
    shown = original(self)
    if self.type == "HTTP":
        shown["Properties"] = {"HttpProperties": self.http_properties}
    return shown


@around(ServiceDiscoveryResponse, "list_namespaces")
def filtered(original, self):
    """Filters by type and name; a namespace is listed once it is made; the description is part of the list."""
    params = json.loads(self.body)
    shown = [n for n in self.servicediscovery_backend.list_namespaces() if time.monotonic() >= getattr(n, "visible", 0)]
    fields = {"TYPE": lambda n: n.type, "NAME": lambda n: n.name, "HTTP_NAME": lambda n: n.http_properties.get("HttpName")}
    for each in params.get("Filters") or []:
        field = fields.get(each["Name"])
        if field:
            shown = [namespace for namespace in shown if field(namespace) in each["Values"]]
    return 200, {}, json.dumps({"Namespaces": [namespace.to_json() for namespace in shown]})


@define(ServiceDiscoveryResponse)
def update_http_namespace(self):
    """UpdateHttpNamespace changes the description."""
    params = json.loads(self.body)
    backend = self.servicediscovery_backend
    namespace = backend.get_namespace(namespace_id=params["Id"])
    namespace.description = params["Namespace"]["Description"]
    return json.dumps({"OperationId": backend._create_operation("UPDATE_NAMESPACE", {"NAMESPACE": namespace.id})})


@around(ServiceDiscoveryBackend, "delete_namespace")
def delete(original, self, namespace_id):
    """A namespace stays while it has services, among them those that ECS makes for Service Connect and takes out when
    the ECS service has drained."""
    namespace = self.get_namespace(namespace_id)
    own = any(service.namespace_id == namespace_id for service in self.services.values())
    ecs = ecs_backends[self.account_id][self.region_name].services.values()
    connected = [(getattr(s, "service_connect_configuration", None) or {}) for s in ecs if s.status != "INACTIVE"]
    names = [c.get("namespace") for c in connected if c.get("enabled") and c.get("services")]
    if own or namespace.arn in names or namespace.name in names:
        raise JsonRESTError("ResourceInUse", "The namespace cannot be deleted: it contains services.")
    operation = original(self, namespace_id)
    self.tagger.delete_all_tags_for_resource(namespace.arn)
    return operation


def tagged(backend):
    for kind, members in (("namespace", backend.namespaces), ("service", backend.services)):
        for member in members.values():
            yield member.arn, kind, pairs(backend.tagger.list_tags_for_resource(member.arn)["Tags"])


taggable(ServiceDiscoveryBackend, "servicediscovery", tagged)
