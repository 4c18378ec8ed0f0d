"""Lets backends that moto leaves out take part in GetResources."""

from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource


def taggable(backend, namespace, resources):
    """`resources(backend)` gives triples of an ARN, a resource type and a map of tags."""

    def iter_tagged_resources(self):
        for arn, kind, tags in resources(self):
            yield TaggedResource(arn=arn, tags=dict(tags), resource_type=f"{namespace}:{kind}")

    if not issubclass(backend, TaggableResourcesMixin):
        backend.__bases__ = (*backend.__bases__, TaggableResourcesMixin)
    backend.SERVICE_NAMESPACE = namespace
    backend.iter_tagged_resources = iter_tagged_resources


def pairs(tags):
    """A list of `Key` and `Value` as a map."""
    return {tag["Key"]: tag["Value"] for tag in tags or []}
