"""Resource Groups Tagging API: its index follows the resources after a while."""

import io
import re
import threading
import time

from moto.core.resource_tagging import TaggedResource, make_tag_matcher, match_resource_type
from moto.resourcegroupstaggingapi import models
from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend

from fixes.account import ACCOUNT
from fixes.patch import define

from .settings import settings

BEHIND = 3  # times `lag`
EVERY = 0.1  # seconds between two pictures of the index

LOCK = threading.RLock()
PICTURES = [(0.0, {})]  # pairs of the time of the last call that a picture shows, and the picture; the first one is what is shown
LAST = {"call": 0.0, "picture": 0.0}
REGIONS = {}  # those that somebody has written to, and whether that was after the last picture
ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
REGION = re.compile(r"Credential=[^/]+/\d+/([\w-]+)/")


def tagged_resources(backend):
    """Those of one service. Other calls may change them meanwhile, at which moto fails."""
    for _ in range(20):
        try:
            found = backend.iter_tagged_resources()
            return [TaggedResource(r.arn, dict(r.tags), r.resource_type, r.extra) for r in found]
        except RuntimeError:
            continue
    raise RuntimeError(f"{backend!r} does not stand still")


def picture():
    """The tagged resources of each region, as they are now. To look takes long, and some commands ask all regions: one to
    which nobody has written is as it was, which is empty at first."""
    regions = dict(PICTURES[-1][1])
    for region in [region for region, touched in REGIONS.items() if touched]:
        REGIONS[region] = False
        backends = models.iter_taggable_backends(ACCOUNT, region)
        regions[region] = [each for backend in list(backends) for each in tagged_resources(backend)]
    return regions


def observe(at_once=False):
    """Keeps a picture if there have been calls since the last one, and it is not too recent."""
    with LOCK:
        now = time.monotonic()
        if LAST["call"] <= LAST["picture"] or not (at_once or now - LAST["picture"] >= EVERY):
            return
        PICTURES.append((LAST["call"], picture()))
        LAST["picture"] = now


def shown():
    """The newest picture that is old enough."""
    with LOCK:
        while len(PICTURES) > 1 and PICTURES[1][0] <= time.monotonic() - BEHIND * settings["lag"]:
            del PICTURES[0]
        return PICTURES[0][1]


def reads(environ):
    """Whether a call only looks."""
    operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2] or environ["PATH_INFO"].rpartition("/operation/")[2]
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        operation = (ACTION.search(body) or [b"", b""])[1].decode()
    return operation.startswith(("Describe", "List", "Get", "Batch")) or environ["REQUEST_METHOD"] in ("GET", "HEAD")


def watched(application):
    """Notes when calls came that may have changed tags."""

    def serve(environ, start_response):
        region = REGION.search(environ.get("HTTP_AUTHORIZATION", ""))
        index = "tagging" in environ.get("HTTP_X_AMZ_TARGET", "").lower()
        looks = reads(environ)
        observe(at_once=index)
        shown()
        try:
            return application(environ, start_response)
        finally:
            if not looks:
                with LOCK:
                    LAST["call"] = time.monotonic()
                    REGIONS.update(dict.fromkeys([region[1]] if region else REGIONS, True))

    return serve


@define(ResourceGroupsTaggingAPIBackend)
def _get_resources_generator(self, tag_filters=None, resource_type_filters=None, resource_arn_list=None):
    """GetResources shows the resources and tags of a while ago: new ones are missing, deleted ones are still there."""
    tagged = make_tag_matcher(tag_filters)
    for resource in shown().get(self.region_name, []):
        if not resource.tags and not resource.extra.get("include_untagged"):
            continue
        if resource_arn_list and resource.arn not in resource_arn_list:
            continue
        if match_resource_type(resource.resource_type, resource_type_filters) and tagged(resource.tags):
            yield resource
