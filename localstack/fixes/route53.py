"""Route 53."""

import copy
import threading

from moto.core.exceptions import ServiceException
from moto.core.resource_tagging import TaggedResource
from moto.resourcegroupstaggingapi import models as tagging
from moto.route53.models import FakeZone, HostedZoneIdentifier, RecordSet, Route53Backend, route53_backends

from .patch import around, define


CHANGING = threading.Lock()


class InvalidChangeBatch(ServiceException):
    code = "InvalidChangeBatch"

    def __init__(self, messages):
        super().__init__("InvalidChangeBatch", "[" + ", ".join(messages) + "]")


class HostedZoneAlreadyExists(ServiceException):
    def __init__(self, reference):
        message = f"A hosted zone has already been created with the specified caller reference {reference}."
        super().__init__("HostedZoneAlreadyExists", message)


def normal(name):
    """Names are kept in lower case with a dot at the end, and a wildcard as its octal code."""
    name = name.lower().replace("\\052", "*")
    return (name if name.endswith(".") else name + ".").replace("*", "\\052")


def key(record_set):
    return record_set.name, record_set.type, record_set.set_identifier


def made(change):
    """The record set of a change as Route 53 keeps it."""
    wanted = copy.deepcopy(change["ResourceRecordSet"])
    wanted["Name"] = normal(wanted["Name"])
    if "ResourceRecords" in wanted:
        wanted["ResourceRecords"] = [record["Value"] for record in wanted["ResourceRecords"]]
    alias = wanted.get("AliasTarget")
    if alias:
        alias["DNSName"] = normal(alias["DNSName"])
    return RecordSet(wanted)


def content(record_set):
    """What a delete must name, all of it."""
    alias = record_set.alias_target or {}
    target = (alias.get("HostedZoneId"), alias.get("DNSName"), str(alias.get("EvaluateTargetHealth", "")).lower())
    return str(record_set.ttl or ""), sorted(record_set.records or []), target


@define(Route53Backend)
def change_resource_record_sets(self, zoneid, change_list):
    """All changes or none. CREATE refuses what exists, DELETE takes exactly what exists, and a CNAME stands alone."""
    zone = self.get_hosted_zone(zoneid)
    kept = {key(record_set): record_set for record_set in zone.rrsets}
    messages = []
    for change in change_list:
        wanted = made(change)
        action, there = change["Action"], kept.get(key(wanted))
        told = f"[name='{wanted.name}', type='{wanted.type}']"
        others = {record_set.type for record_set in kept.values() if record_set.name == wanted.name} - {wanted.type}
        if wanted.name != normal(zone.name) and not wanted.name.endswith("." + normal(zone.name)):
            messages.append(f"RRSet with DNS name {wanted.name} is not permitted in zone {zone.name}")
        elif action == "DELETE":
            if there is None:
                messages.append(f"Tried to delete resource record set {told} but it was not found")
            elif content(there) != content(wanted):
                messages.append(
                    f"Tried to delete resource record set {told} but the values provided do not match the current values"
                )
            else:
                del kept[key(wanted)]
        elif action == "CREATE" and there is not None:
            messages.append(f"Tried to create resource record set {told} but it already exists")
        elif others and (wanted.type == "CNAME" or "CNAME" in others):
            messages.append(
                f"RRSet of type {wanted.type} with DNS name {wanted.name} is not permitted because a conflicting RRSet "
                f"of type {others.pop()} with the same DNS name already exists in zone {zone.name}"
            )
        else:
            kept[key(wanted)] = wanted
    if messages:
        raise InvalidChangeBatch(messages)
    zone.rrsets = list(kept.values())


@around(Route53Backend, "change_resource_record_sets")
def one_after_the_other(original, self, zoneid, change_list):
    """Changes of a zone at the same time do not undo each other."""
    with CHANGING:
        return original(self, zoneid, change_list)


@around(FakeZone, "get_record_sets")
def start_at_wildcard(original, self, start_type, start_name):
    """A list may start at `*.example.com`, however it is written."""
    return original(self, start_type, normal(start_name) if start_name else start_name)


@around(HostedZoneIdentifier, "generate")
def ids_begin_with_z(original, self, *args, **keywords):
    """The id of a zone is a Z and letters and digits."""
    return "Z" + original(self, *args, **keywords)[1:]


@around(Route53Backend, "create_hosted_zone")
def reference_once(original, self, name, *args, **keywords):
    """A caller's reference makes one zone only; names are in lower case."""
    reference = keywords.get("caller_reference")
    if reference and any(zone.caller_reference == reference for zone in self.zones.values()):
        raise HostedZoneAlreadyExists(reference)
    zone = original(self, name.lower(), *args, **keywords)
    for record_set in zone.rrsets:
        record_set.name = normal(record_set.name)
    return zone


@around(Route53Backend, "delete_hosted_zone")
def own_records_only(original, self, id_):
    """Only the zone's own NS and SOA records do not keep it: those of a delegated name below it do."""
    zone = self.get_hosted_zone(id_)
    if any(record_set.name != normal(zone.name) for record_set in zone.rrsets):
        from moto.route53.exceptions import HostedZoneNotEmpty

        raise HostedZoneNotEmpty()
    self.resource_tags.pop(id_.replace("/hostedzone/", ""), None)
    return original(self, id_)


@define(Route53Backend)
def iter_tagged_resources(self):
    """GetResources in us-east-1 knows zones."""
    for zone_id in self.zones:
        tags = self.resource_tags.get(zone_id)
        if tags:
            arn = f"arn:aws:route53:::hostedzone/{zone_id}"
            yield TaggedResource(arn=arn, tags=dict(tags), resource_type="route53:hostedzone")


@around(tagging, "iter_taggable_backends")
def zones_at_home(original, account, region):
    """What is global is known in us-east-1 only."""
    yield from original(account, region)
    if region == "us-east-1":
        yield route53_backends[account]["aws"]
