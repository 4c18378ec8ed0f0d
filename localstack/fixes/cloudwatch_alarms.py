"""CloudWatch: composite alarms, deleting alarms, tags of dashboards."""

import re

from moto.cloudwatch.exceptions import ResourceNotFound, ResourceNotFoundException, ValidationError
from moto.cloudwatch.models import CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.resource_tagging import TaggedResource
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow

from . import cloudwatch  # its corrections of the same methods come first
from .patch import around, define

NAMED = re.compile(r"""(?:ALARM|OK|INSUFFICIENT_DATA)\(\s*["']?([^"')]+)["']?\s*\)""")
COMPOSITE = (
    "ActionsEnabled AlarmActions AlarmDescription AlarmName AlarmRule InsufficientDataActions OKActions "
    "ActionsSuppressor ActionsSuppressorWaitPeriod ActionsSuppressorExtensionPeriod"
).split()


def composites(backend):
    """The composite alarms of a region by name, as they are described."""
    return backend.__dict__.setdefault("composite_alarms", {})


def names_of(rule):
    """The alarms that a rule names, by name or ARN."""
    return {found.rpartition(":alarm:")[2] for found in NAMED.findall(rule)}


def arn_of(backend, name):
    return f"arn:{backend.partition}:cloudwatch:{backend.region_name}:{backend.account_id}:alarm:{name}"


@define(CloudWatchResponse)
def put_composite_alarm(self):
    """PutCompositeAlarm: makes or overwrites. The alarms that its rule names must exist. Tags are those of a new one."""
    backend, name, rule = self.cloudwatch_backend, self._get_param("AlarmName"), self._get_param("AlarmRule")
    missing = sorted(n for n in names_of(rule) if n not in backend.alarms and n not in composites(backend))
    if missing:
        raise ValidationError(
            f"Could not save the composite alarm as alarms [{', '.join(missing)}] in the alarm rule do not exist"
        )
    there = composites(backend).get(name)
    said = {key: self._get_param(key) for key in COMPOSITE if self._get_param(key) is not None}
    fresh = {"AlarmArn": arn_of(backend, name), "StateValue": "INSUFFICIENT_DATA", "StateUpdatedTimestamp": utcnow()}
    kept = {key: there[key] for key in fresh} if there else fresh
    usual = {"ActionsEnabled": True, "AlarmActions": [], "OKActions": [], "InsufficientDataActions": []}
    composites(backend)[name] = {**usual, **said, **kept, "AlarmConfigurationUpdatedTimestamp": utcnow()}
    if not there and self._get_param("Tags"):
        backend.tagger.tag_resource(kept["AlarmArn"], self._get_param("Tags"))
    return EmptyResult()


@around(CloudWatchResponse, "describe_alarms")
def both_types(original, self):
    """DescribeAlarms shows composite alarms only where AlarmTypes asks for them; StateValue narrows what names choose."""
    result = original(self).result
    if state := self._get_param("StateValue"):
        result = {**result, "MetricAlarms": [alarm for alarm in result["MetricAlarms"] if alarm.state_value == state]}
    types = self._get_param("AlarmTypes", []) or ["MetricAlarm"]
    names, prefix = self._get_param("AlarmNames", []), self._get_param("AlarmNamePrefix") or ""
    found = [a for n, a in composites(self.cloudwatch_backend).items() if n.startswith(prefix) and (not names or n in names)]
    # Composite alarms come after all others.
    shown = found if "CompositeAlarm" in types and not result.get("NextToken") else []
    metric = result["MetricAlarms"] if "MetricAlarm" in types else []
    return ActionResult({**result, "MetricAlarms": metric, "CompositeAlarms": shown})


@around(CloudWatchResponse, "delete_alarms")
def delete_in_order(original, self):
    """DeleteAlarms deletes none where one does not exist, where a composite alarm depends on one, or where two of them
    are composite. Tags go with the alarm."""
    backend, names = self.cloudwatch_backend, self._get_param("AlarmNames", [])
    both = composites(backend)
    if any(name not in backend.alarms and name not in both for name in names):
        raise ResourceNotFound("Alarm not found")
    if sum(name in both for name in names) > 1:
        raise ValidationError("You can delete only one composite alarm per operation")
    held = sorted(n for n in names if any(n in names_of(a["AlarmRule"]) for p, a in both.items() if p not in names))
    if held:
        raise ValidationError(f"Cannot delete {','.join(held)} as there are composite alarm(s) depending on them.")
    for name in names:
        both.pop(name, None)
        backend.tagger.delete_all_tags_for_resource(arn_of(backend, name))
    return original(self)


@around(CloudWatchResponse, "put_dashboard")
def tags_of_a_new_dashboard(original, self):
    """PutDashboard tags a new dashboard; on one that exists it leaves tags alone."""
    backend, name = self.cloudwatch_backend, self._get_param("DashboardName")
    new = name not in backend.dashboards
    answer = original(self)
    if new and self._get_param("Tags"):
        backend.tagger.tag_resource(backend.dashboards[name].arn, self._get_param("Tags"))
    return answer


@around(CloudWatchBackend, "delete_dashboards")
def tags_go_with_a_dashboard(original, self, dashboards):
    """The tags of a deleted dashboard are gone."""
    arns = [self.dashboards[name].arn for name in dashboards if name in self.dashboards]
    answer = original(self, dashboards)
    if answer is None:
        for arn in arns:
            self.tagger.delete_all_tags_for_resource(arn)
    return answer


def others(backend):
    """What can be tagged beside metric alarms and insight rules, as pairs of type and ARN."""
    yield from (("dashboard", each.arn) for each in backend.dashboards.values())
    yield from (("alarm", each["AlarmArn"]) for each in composites(backend).values())


@around(CloudWatchBackend, "tag_resource")
def tag_others(original, self, arn, tags):
    """Dashboards and composite alarms have tags too."""
    if arn not in dict(map(reversed, others(self))):
        return original(self, arn, tags)
    return self.tagger.tag_resource(arn, self.tagger.convert_dict_to_tags_input(tags))


@around(CloudWatchBackend, "list_tags_for_resource")
def tags_of_others(original, self, arn):
    """Tags of what does not exist are an error."""
    if arn in dict(map(reversed, others(self))):
        return self.tagger.get_tag_dict_for_resource(arn)
    if ":dashboard/" in arn:
        raise ResourceNotFoundException()
    return original(self, arn)


@around(CloudWatchBackend, "iter_tagged_resources")
def dashboards_and_composites(original, self):
    """GetResources knows dashboards and composite alarms."""
    yield from original(self)
    for kind, arn in others(self):
        yield TaggedResource(arn=arn, tags=self.tagger.get_tag_dict_for_resource(arn), resource_type=f"cloudwatch:{kind}")
