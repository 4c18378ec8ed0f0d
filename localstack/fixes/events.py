"""EventBridge."""

from moto.core.exceptions import JsonRESTError
from moto.core.resource_tagging import TaggedResource
from moto.events.models import EventsBackend

from .patch import around

TARGETS = 5


@around(EventsBackend, "iter_tagged_resources")
def rules(original, self):
    """Rules are tagged resources too."""
    yield from original(self)
    for bus in self.event_buses.values():
        for rule in bus.rules.values():
            tags = self.tagger.get_tag_dict_for_resource(rule.arn)
            yield TaggedResource(arn=rule.arn, tags=tags, resource_type="events:rule")


@around(EventsBackend, "put_rule")
def tags_at_birth(original, self, name, *arguments, **keywords):
    """A rule that exists keeps its tags, whatever PutRule says of them."""
    bus = self._get_event_bus(self._normalize_event_bus_arn(keywords.get("event_bus_arn")))
    if name in bus.rules:
        keywords["tags"] = None
    return original(self, name, *arguments, **keywords)


@around(EventsBackend, "put_targets")
def five(original, self, name, event_bus_arn, targets):
    """A rule has five targets at most."""
    bus = self._get_event_bus(self._normalize_event_bus_arn(event_bus_arn))
    there = {target["Id"] for target in bus.rules[name].targets} if name in bus.rules else set()
    if len(there | {target["Id"] for target in targets}) > TARGETS:
        raise JsonRESTError("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
    return original(self, name, event_bus_arn, targets)
