"""The metrics of load balancers, in CloudWatch's namespace AWS/ApplicationELB.

What happens is kept by second, and put together into periods when somebody asks.
"""

import collections
import datetime
import threading
import time
from types import SimpleNamespace
from typing import Any

from fixes.patch import around
from moto.cloudwatch.metric_data_expression_parser import parse_expression
from moto.cloudwatch.models import CloudWatchBackend

from .settings import settings

NAMESPACE = "AWS/ApplicationELB"
KEPT = 3 * 3600  # seconds
HOST_COUNTS = ("HealthyHostCount", "UnHealthyHostCount")


class Second:
    """What happened within one second, between one load balancer and one target group."""

    __slots__ = ("counts", "times", "hosts")

    def __init__(self):
        self.counts: collections.Counter[str] = collections.Counter()
        self.times: list[float] = []  # of answers of targets, in seconds
        self.hosts: tuple[int, int] | None = None  # healthy, unhealthy

    def values(self, metric: str) -> list[float]:
        """The values that CloudWatch aggregates: a count has a 1 for each."""
        if metric == "TargetResponseTime":
            return self.times
        if metric in HOST_COUNTS:
            return [float(self.hosts[HOST_COUNTS.index(metric)])] if self.hosts else []
        return [1.0] * self.counts[metric]


Series = collections.OrderedDict  # second since the epoch -> Second, in the order of time
SERIES: dict[tuple[str, str, str, str], Series] = {}  # by account, region, LoadBalancer and TargetGroup ("": none)
LOCK = threading.Lock()


def now_of(balancer_arn: str, group_arn: str) -> Second:
    """The current second's; LOCK is held."""
    *_, region, account, balancer = balancer_arn.split(":", 5)
    group = group_arn.rpartition(":")[2]
    series = SERIES.setdefault((account, region, balancer.removeprefix("loadbalancer/"), group), Series())
    second = int(time.time())
    if second not in series:
        series[second] = Second()
        while next(iter(series)) < second - KEPT:
            series.popitem(last=False)
    return series[second]


def request(balancer_arn: str, group_arn: str, status: int | None, seconds: float, connected: bool) -> None:
    """A request for which a target was chosen; without a status the target gave no answer."""
    with LOCK:
        second = now_of(balancer_arn, group_arn)
        second.counts["RequestCount"] += 1
        if status:
            second.counts[f"HTTPCode_Target_{status // 100}XX_Count"] += 1
            second.times.append(seconds)
        if not connected:
            second.counts["TargetConnectionErrorCount"] += 1


def own_answer(balancer_arn: str, status: int) -> None:
    """An answer of the load balancer itself; CloudWatch has the failures among them."""
    if status >= 500:
        with LOCK:
            now_of(balancer_arn, "").counts["HTTPCode_ELB_5XX_Count"] += 1


def hosts(balancer_arn: str, group_arn: str, healthy: int, unhealthy: int) -> None:
    with LOCK:
        now_of(balancer_arn, group_arn).hosts = (healthy, unhealthy)


# --- reading ---------------------------------------------------------------------------------------------------------


def told(
    backend, metric: str, dimensions: list[dict[str, str]], start: float, end: float, period: int
) -> dict[int, list[float]]:
    """The values of each period that began within the times, by its beginning.

    A datum covers `metric_period` and can be read `metric_lag` after it has ended. Longer periods are put together from
    those that can be read, and begin at multiples of their length; nothing is told of periods in which nothing was."""
    wanted = {dimension["Name"]: dimension.get("Value", "") for dimension in dimensions}
    if not wanted or set(wanted) - {"LoadBalancer", "TargetGroup"}:
        return {}
    if metric in HOST_COUNTS and "TargetGroup" not in wanted:
        return {}  # published by target group only
    finest = int(settings["metric_period"])
    period = max(int(period), finest)
    start -= start % period
    readable = time.time() - settings["metric_lag"] - finest
    found: dict[int, list[float]] = {}
    with LOCK:
        for (account, region, balancer, group), series in SERIES.items():
            if (account, region) != (backend.account_id, backend.region_name):
                continue
            if wanted.get("LoadBalancer", balancer) != balancer or wanted.get("TargetGroup", group) != group:
                continue
            for moment, second in reversed(series.items()):
                if moment < start:
                    break
                datum = moment - moment % finest
                begin = datum - datum % period
                if start <= begin < end and datum <= readable:
                    if values := second.values(metric):
                        found.setdefault(begin, []).extend(values)
    return dict(sorted(found.items()))


def statistic(values: list[float], stat: str) -> float | None:
    """Percentiles are of the nearest rank."""
    if stat.startswith("p") and stat[1:].replace(".", "", 1).isdigit():
        return sorted(values)[min(int(len(values) * float(stat[1:]) / 100), len(values) - 1)]
    known = {
        "Sum": sum(values),
        "Average": sum(values) / len(values),
        "Minimum": min(values),
        "Maximum": max(values),
        "SampleCount": float(len(values)),
    }
    return known.get(stat)


def seconds(moment: datetime.datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()


def moment_of(begin: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(begin, datetime.timezone.utc).replace(tzinfo=None)


def of_balancers(query: dict[str, Any]) -> bool:
    return query.get("MetricStat", {}).get("Metric", {}).get("Namespace") == NAMESPACE


def answer(backend, query: dict[str, Any], start: float, end: float, scan_by: str) -> dict[str, Any]:
    """The answer to one query of GetMetricData."""
    asked = query["MetricStat"]
    metric, stat = asked["Metric"], asked["Stat"]
    data = told(backend, metric["MetricName"], metric.get("Dimensions", []), start, end, asked["Period"])
    points = [(moment_of(begin), statistic(values, stat)) for begin, values in data.items()]
    points = [point for point in points if point[1] is not None]
    if scan_by == "TimestampDescending":
        points.reverse()
    return {
        "id": query["Id"],
        "label": query.get("Label") or f"{metric['MetricName']} {stat}",
        "values": [value for _, value in points],
        "timestamps": [moment for moment, _ in points],
        "status_code": "Complete",
    }


@around(CloudWatchBackend, "get_metric_data")
def get_metric_data(original, self, queries, start_time, end_time, scan_by="TimestampAscending"):
    """Queries of AWS/ApplicationELB are answered from what the load balancers did; expressions see their results."""
    if not any(map(of_balancers, queries)):
        return original(self, queries, start_time, end_time, scan_by)
    expressions = {query["Id"]: query for query in queries if "Expression" in query}
    plain = {name: query for name, query in expressions.items() if not query["Expression"].startswith("SELECT")}
    others = [{**query, "ReturnData": True} for query in queries if query["Id"] not in plain and not of_balancers(query)]
    results = {each["id"]: each for each in original(self, others, start_time, end_time, scan_by)}
    for query in filter(of_balancers, queries):
        results[query["Id"]] = answer(self, query, seconds(start_time), seconds(end_time), scan_by)
    for name, query in plain.items():
        values, timestamps = parse_expression(query["Expression"], list(results.values()))
        results[name] = {"id": name, "label": query.get("Label") or name, "status_code": "Complete"}
        results[name] |= {"values": values, "timestamps": timestamps}
    return [results[query["Id"]] for query in queries if query.get("ReturnData", True)]


@around(CloudWatchBackend, "get_metric_statistics")
def get_metric_statistics(original, self, namespace, metric_name, start_time, end_time, period, stats, dimensions, unit=None):
    """As get_metric_data, of one metric."""
    if namespace != NAMESPACE:
        return original(self, namespace, metric_name, start_time, end_time, period, stats, dimensions, unit=unit)
    data = told(self, metric_name, dimensions, seconds(start_time), seconds(end_time), period)
    kind = "Seconds" if metric_name == "TargetResponseTime" else "Count"
    members = {"Sum": "sum", "Average": "average", "Minimum": "minimum", "Maximum": "maximum", "SampleCount": "sample_count"}
    known = [stat for stat in stats if stat in members]
    return [
        SimpleNamespace(timestamp=moment_of(begin), unit=kind, **{members[stat]: statistic(values, stat) for stat in known})
        for begin, values in data.items()
    ]
