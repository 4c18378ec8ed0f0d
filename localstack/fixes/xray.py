"""X-Ray: sampling rules, groups and their tags, which moto lacks."""

import json
import time

from moto.moto_api._internal import mock_random
from moto.xray import urls
from moto.xray.models import XRayBackend
from moto.xray.responses import XRayResponse

from .patch import around, define
from .taggable import pairs, taggable

ACTIONS = ["CreateSamplingRule", "GetSamplingRules", "UpdateSamplingRule", "DeleteSamplingRule", "CreateGroup", "Groups"]
ACTIONS += ["GetGroup", "UpdateGroup", "DeleteGroup", "TagResource", "UntagResource", "ListTagsForResource"]
urls.url_paths.update({"{0}/" + action + "$": XRayResponse.dispatch for action in ACTIONS})

DEFAULT = {"RuleName": "Default", "ResourceARN": "*", "Priority": 10000, "FixedRate": 0.05, "ReservoirSize": 1}
DEFAULT |= {"ServiceName": "*", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1}


@around(XRayBackend, "__init__")
def new_backend(original, self, region_name, account_id):
    """Each account has a rule and a group `Default`."""
    original(self, region_name, account_id)
    self.rules, self.groups, self.tags = {}, {}, {}
    self.rules["Default"] = {"CreatedAt": 0, "ModifiedAt": 0, "SamplingRule": DEFAULT | {"RuleARN": arn(self, "sampling-rule", "Default"), "Attributes": {}}}
    self.groups["Default"] = {"GroupName": "Default", "GroupARN": arn(self, "group", "Default")}


def arn(backend, kind, name):
    path = name if kind == "sampling-rule" else f"{name}/{str(mock_random.uuid4()).replace('-', '').upper()}"
    return f"arn:aws:xray:{backend.region_name}:{backend.account_id}:{kind}/{path}"


def refused(code, message):
    return json.dumps({"__type": code, "message": message}), {"status": 400}


def find(members, name, key, identity, of=lambda member: member):
    """The member with this name or ARN."""
    for member in members.values():
        if name is not None and of(member)[key] == name or identity is not None and of(member)[f"{key.removesuffix('Name')}ARN"] == identity:
            return member
    return None


def rule_of(self, params):
    rules = self.xray_backend.rules
    return find(rules, params.get("RuleName"), "RuleName", params.get("RuleARN"), lambda record: record["SamplingRule"])


def group_of(self, params):
    return find(self.xray_backend.groups, params.get("GroupName"), "GroupName", params.get("GroupARN"))


@define(XRayResponse)
def create_sampling_rule(self):
    """CreateSamplingRule: names are unique, and the format is version 1."""
    backend, params = self.xray_backend, self.request_params
    rule = {"Attributes": {}} | params["SamplingRule"]
    if rule["RuleName"] in backend.rules or rule.get("Version") != 1:
        return refused("InvalidRequestException", "Rule with name already exists, or another version than 1.")
    if not 1 <= rule["Priority"] <= 9999 or not 0 <= rule["FixedRate"] <= 1:
        return refused("InvalidRequestException", "Priority must be 1 to 9999, and the fixed rate 0 to 1.")
    rule["RuleARN"] = arn(backend, "sampling-rule", rule["RuleName"])
    record = {"SamplingRule": rule, "CreatedAt": time.time(), "ModifiedAt": time.time()}
    backend.rules[rule["RuleName"]] = record
    backend.tags[rule["RuleARN"]] = pairs(params.get("Tags"))
    return json.dumps({"SamplingRuleRecord": record})


@define(XRayResponse)
def get_sampling_rules(self):
    """GetSamplingRules."""
    return json.dumps({"SamplingRuleRecords": list(self.xray_backend.rules.values())})


@define(XRayResponse)
def update_sampling_rule(self):
    """UpdateSamplingRule: what it leaves out stays."""
    change = self.request_params["SamplingRuleUpdate"]
    record = rule_of(self, change)
    if record is None:
        return refused("InvalidRequestException", "Sampling rule does not exist.")
    record["SamplingRule"] |= {key: value for key, value in change.items() if key not in ("RuleName", "RuleARN")}
    record["ModifiedAt"] = time.time()
    return json.dumps({"SamplingRuleRecord": record})


@define(XRayResponse)
def delete_sampling_rule(self):
    """DeleteSamplingRule: the default rule stays."""
    record = rule_of(self, self.request_params)
    if record is None or record["SamplingRule"]["RuleName"] == "Default":
        return refused("InvalidRequestException", "Sampling rule does not exist, or is the default rule.")
    del self.xray_backend.rules[record["SamplingRule"]["RuleName"]]
    self.xray_backend.tags.pop(record["SamplingRule"]["RuleARN"], None)
    return json.dumps({"SamplingRuleRecord": record})


def insights(given):
    return {"InsightsEnabled": False, "NotificationsEnabled": False} | (given or {})


@define(XRayResponse)
def create_group(self):
    """CreateGroup: names are unique."""
    backend, params = self.xray_backend, self.request_params
    name = params["GroupName"]
    if name in backend.groups:
        return refused("InvalidRequestException", "Group already exists with this name.")
    group = {"GroupName": name, "GroupARN": arn(backend, "group", name), "FilterExpression": params.get("FilterExpression", "")}
    backend.groups[name] = group | {"InsightsConfiguration": insights(params.get("InsightsConfiguration"))}
    backend.tags[group["GroupARN"]] = pairs(params.get("Tags"))
    return json.dumps({"Group": backend.groups[name]})


@define(XRayResponse)
def groups(self):
    """GetGroups."""
    return json.dumps({"Groups": list(self.xray_backend.groups.values())})


@define(XRayResponse)
def get_group(self):
    """GetGroup."""
    group = group_of(self, self.request_params)
    return json.dumps({"Group": group}) if group else refused("InvalidRequestException", "Group not found.")


@define(XRayResponse)
def update_group(self):
    """UpdateGroup: what it leaves out stays."""
    group, params = group_of(self, self.request_params), self.request_params
    if group is None:
        return refused("InvalidRequestException", "Group not found.")
    group |= {key: params[key] for key in ("FilterExpression",) if key in params}
    if "InsightsConfiguration" in params:
        group["InsightsConfiguration"] = insights(params["InsightsConfiguration"])
    return json.dumps({"Group": group})


@define(XRayResponse)
def delete_group(self):
    """DeleteGroup: the default group stays."""
    group = group_of(self, self.request_params)
    if group is None or group["GroupName"] == "Default":
        return refused("InvalidRequestException", "Group not found, or the default group.")
    del self.xray_backend.groups[group["GroupName"]]
    self.xray_backend.tags.pop(group["GroupARN"], None)
    return "{}"


def changing_tags(change):
    def action(self):
        tags = self.xray_backend.tags.get(self.request_params["ResourceARN"])
        if tags is None:
            return refused("ResourceNotFoundException", "The resource was not found.")
        return change(tags, self.request_params)

    return action


def tag(tags, params):
    tags.update(pairs(params["Tags"]))
    return "{}"


def untag(tags, params):
    for key in params["TagKeys"]:
        tags.pop(key, None)
    return "{}"


def listed(tags, _):
    return json.dumps({"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]})


define(XRayResponse, "tag_resource")(changing_tags(tag))
define(XRayResponse, "untag_resource")(changing_tags(untag))
define(XRayResponse, "list_tags_for_resource")(changing_tags(listed))


def tagged(backend):
    return [(of, of.split(":")[5].split("/")[0], tags) for of, tags in backend.tags.items()]


taggable(XRayBackend, "xray", tagged)
