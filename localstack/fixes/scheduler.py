"""EventBridge Scheduler: groups are unique and known to the tagging API; defaults of schedules."""

from moto.core.exceptions import JsonRESTError
from moto.scheduler.exceptions import ScheduleGroupNotFound
from moto.scheduler.models import EventBridgeSchedulerBackend, Schedule

from .patch import around
from .taggable import pairs, taggable


@around(EventBridgeSchedulerBackend, "create_schedule_group")
def unique_group(original, self, name, tags):
    """A second group of one name is refused."""
    if name in self.schedule_groups:
        raise JsonRESTError("ConflictException", f"Schedule group {name} already exists.")
    return original(self, name, tags or [])


@around(EventBridgeSchedulerBackend, "create_schedule")
def known_group(original, self, *args, **kwargs):
    """A schedule needs a group that exists."""
    self.get_schedule_group(kwargs.get("group_name"))
    return original(self, *args, **kwargs)


@around(EventBridgeSchedulerBackend, "delete_schedule_group")
def delete_group(original, self, name):
    """A group that is not there has an error of its own; tags go with the group."""
    group = self.schedule_groups.get(name or "default")
    if group is None:
        raise ScheduleGroupNotFound(name)
    original(self, name)
    self.tagger.delete_all_tags_for_resource(group.arn)


@around(Schedule, "update")
def replaced(original, self, **given):
    """An update replaces all: what it leaves out is the default again."""
    original(self, **given | {"state": given.get("state") or "ENABLED"})


@around(Schedule, "to_dict")
def defaults(original, self, short=False):
    """A schedule does nothing after its completion unless told so, and what a retry policy leaves out is the default."""
    shown = original(self, short)
    shown["ActionAfterCompletion"] = shown["ActionAfterCompletion"] or "NONE"
    if not short:
        retry = {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185} | shown["Target"].get("RetryPolicy", {})
        shown["Target"] = {**shown["Target"], "RetryPolicy": retry}
        network = shown["Target"].get("EcsParameters", {}).get("NetworkConfiguration", {})
        for configuration in network.values():
            configuration.setdefault("AssignPublicIp", "DISABLED")
    return shown


def tagged(backend):
    for group in backend.schedule_groups.values():
        yield group.arn, "schedule-group", pairs(backend.tagger.list_tags_for_resource(group.arn)["Tags"])


taggable(EventBridgeSchedulerBackend, "scheduler", tagged)
