"""CloudWatch Logs: saved queries, which moto lacks, and metric filters."""

import json
import time
import uuid

from moto.logs.exceptions import ResourceNotFoundException
from moto.logs.metric_filters import MetricFilters
from moto.logs.models import LogsBackend
from moto.logs.responses import LogsResponse

from . import logs  # its corrections of the same methods come first
from .patch import around, define


def queries(backend):
    """The saved queries of a region by id."""
    return backend.__dict__.setdefault("query_definitions", {})


@define(LogsResponse)
def put_query_definition(self):
    """PutQueryDefinition: without an id it makes one, whatever other queries are called; the same token is one request."""
    backend, id, token = self.logs_backend, self._get_param("queryDefinitionId"), self._get_param("clientToken")
    tokens = backend.__dict__.setdefault("query_tokens", {})
    if id and id not in queries(backend):
        raise ResourceNotFoundException("The specified query definition does not exist.")
    id = id or tokens.get(token) or str(uuid.uuid4())
    if token:
        tokens[token] = id
    queries(backend)[id] = {
        "queryDefinitionId": id,
        "name": self._get_param("name"),
        "queryString": self._get_param("queryString"),
        "logGroupNames": self._get_param("logGroupNames") or [],
        "lastModified": int(time.time() * 1000),
    }
    return json.dumps({"queryDefinitionId": id})


@define(LogsResponse)
def describe_query_definitions(self):
    """DescribeQueryDefinitions: those whose names start so, in pages."""
    prefix = self._get_param("queryDefinitionNamePrefix") or ""
    every = sorted((q for q in queries(self.logs_backend).values() if q["name"].startswith(prefix)), key=lambda q: q["name"])
    start, size = int(self._get_param("nextToken") or 0), int(self._get_param("maxResults") or 1000)
    following = {"nextToken": str(start + size)} if len(every) > start + size else {}
    return json.dumps({"queryDefinitions": every[start : start + size], **following})


@define(LogsResponse)
def delete_query_definition(self):
    """DeleteQueryDefinition."""
    if queries(self.logs_backend).pop(self._get_param("queryDefinitionId"), None) is None:
        raise ResourceNotFoundException("The specified query definition does not exist.")
    return json.dumps({"success": True})


@around(MetricFilters, "add_filter")
def one_filter_a_name(original, self, filter_name, filter_pattern, log_group_name, metric_transformations):
    """PutMetricFilter overwrites the filter of that name."""
    self.delete_filter(filter_name, log_group_name)
    return original(self, filter_name, filter_pattern, log_group_name, metric_transformations)


@around(LogsBackend, "put_metric_filter")
def filters_of_groups(original, self, filter_name, filter_pattern, log_group_name, metric_transformations):
    """A filter belongs to a group that exists."""
    if log_group_name not in self.groups:
        raise ResourceNotFoundException()
    return original(self, filter_name, filter_pattern, log_group_name, metric_transformations)


@around(LogsBackend, "delete_metric_filter")
def no_such_filter(original, self, filter_name=None, log_group_name=None):
    """Deleting a filter that is not there is an error."""
    known = self.filters.metric_filters
    if not any(f["filterName"] == filter_name and f["logGroupName"] == log_group_name for f in known):
        raise ResourceNotFoundException("The specified metric filter does not exist.")
    return original(self, filter_name, log_group_name)


@around(LogsBackend, "delete_log_group")
def filters_go_with_their_group(original, self, log_group_name):
    """A deleted group takes its filters along."""
    answer = original(self, log_group_name)
    self.filters.metric_filters = [f for f in self.filters.metric_filters if f["logGroupName"] != log_group_name]
    return answer


@around(LogsResponse, "describe_metric_filters")
def pages_of_filters(original, self):
    """DescribeMetricFilters has 50 on a page."""
    every = json.loads(original(self))["metricFilters"]
    start, size = int(self._get_param("nextToken") or 0), int(self._get_param("limit") or 50)
    following = {"nextToken": str(start + size)} if len(every) > start + size else {}
    return json.dumps({"metricFilters": every[start : start + size], **following})
