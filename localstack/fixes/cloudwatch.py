"""CloudWatch. Its current protocol is in `cbor`."""

from moto.cloudwatch.exceptions import ResourceNotFoundException
from moto.cloudwatch.models import Alarm, CloudWatchBackend, Statistics
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from .patch import around


@around(Alarm, "__init__")
def new_alarm(original, self, *args, **kwargs):
    """An alarm has not enough data before it is evaluated; one on a single metric has no list of Metrics."""
    original(self, *args, **kwargs)
    self.state_value = "INSUFFICIENT_DATA"
    if not self.metric_data_queries:
        self.metric_data_queries = None


@around(CloudWatchBackend, "put_metric_alarm")
def tags_of_a_new_alarm(original, self, name, *args, **kwargs):
    """PutMetricAlarm tags a new alarm; on one that exists it leaves tags and state alone."""
    existing = self.alarms.get(name)
    if existing is None:
        return original(self, name, *args, **kwargs)
    kwargs["tags"] = None
    alarm = original(self, name, *args, **kwargs)
    for kept in ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp"):
        if hasattr(existing, kept):
            setattr(alarm, kept, getattr(existing, kept))
    return alarm


@around(CloudWatchBackend, "list_tags_for_resource")
def tags_of_nothing(original, self, arn):
    """Tags of an alarm that does not exist are an error."""
    if ":alarm:" in arn and arn.partition(":alarm:")[2] not in self.alarms:
        raise ResourceNotFoundException()
    return original(self, arn)


@around(CloudWatchResponse, "describe_alarms")
def pages(original, self):
    """MaxRecords bounds a page, and NextToken continues it."""
    result = original(self).result
    start, size = int(self._get_param("NextToken") or 0), int(self._get_param("MaxRecords") or 50)
    every = list(result["MetricAlarms"])
    following = str(start + size) if len(every) > start + size else None
    return ActionResult({**result, "MetricAlarms": every[start : start + size], "NextToken": following})


@around(CloudWatchResponse, "get_metric_data")
def datapoints_of_a_page(original, self):
    """MaxDatapoints bounds the data points of a page, over all queries; NextToken continues, within a query if need be."""
    results = original(self).result["MetricDataResults"]
    start, size = int(self._get_param("NextToken") or 0), int(self._get_param("MaxDatapoints") or 100_800)
    page, passed = [], 0
    for each in results:
        count = len(each["values"])
        first, last = max(start - passed, 0), min(start + size - passed, count)
        passed += count
        if first < last or (count == 0 and start == 0):
            part = {name: each[name][first:last] for name in ("values", "timestamps")}
            page.append({**each, **part, "status_code": "Complete" if last >= count else "PartialData"})
    following = str(start + size) if passed > start + size else None
    return ActionResult({"MetricDataResults": page, "NextToken": following})


@around(Statistics, "get_statistics_for_type")
def percentiles(original, self, stat):
    """Percentiles such as p99 or p99.9, by the nearest rank."""
    if not (stat.startswith("p") and stat[1:].replace(".", "", 1).isdigit()):
        return original(self, stat)
    values = sorted(self.metric_single_values_list)
    return values[min(int(len(values) * float(stat[1:]) / 100), len(values) - 1)] if values else None
