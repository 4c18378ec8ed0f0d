"""The health of targets, as probes find it, and how many requests are on their way to each."""

import asyncio
import threading
import time
from typing import Any, Iterator

import aiohttp
from fixes.elbv2_target_groups import matches, unhealthy
from fixes.patch import around
from moto.elbv2.models import ELBv2Backend, FakeTargetGroup, elbv2_backends

from . import metrics
from .settings import settings

TICK = 0.05


class Target:
    """What the balancers know of an address in a target group."""

    def __init__(self, group_arn: str, listed: dict[str, Any]):
        self.group_arn = group_arn
        self.listed = listed
        self.in_flight = 0  # changed under LOCK
        self.probing = False
        self.begin()

    def begin(self) -> None:
        """A target that is registered, or whose group comes into use, is `initial` until it has passed or failed enough."""
        self.say("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
        self.passed = self.failed = 0
        self.left: float | None = None  # when it was deregistered
        self.next_probe = 0.0

    def say(self, state: str, reason: str | None = None, description: str | None = None) -> None:
        self.state, self.reason, self.description = state, reason, description

    def draining(self, delay: float) -> bool:
        """A deregistered target drains until its requests are done, for as long as the deregistration delay at most."""
        return self.left is not None and self.in_flight > 0 and time.monotonic() - self.left < delay


TARGETS: dict[tuple[str, str], Target] = {}  # by ARN of the group and "ip:port"
LOCK = threading.Lock()  # whoever has deregistered a target sees every request that was given to it


def target(group: FakeTargetGroup, key: str) -> Target | None:
    """What is known of a registered target; nothing yet of one that nobody has looked at."""
    known, listed = TARGETS.get((group.arn, key)), group.targets.get(key)
    if known is None and listed:
        known = TARGETS.setdefault((group.arn, key), Target(group.arn, dict(listed)))
    return known


def delay_of(group: FakeTargetGroup) -> float:
    return float(group.attributes.get("deregistration_delay.timeout_seconds", 300))


def backends() -> list[ELBv2Backend]:
    return [backend for regions in list(elbv2_backends.values()) for backend in list(dict.values(regions))]


def users(backend: ELBv2Backend) -> dict[str, list]:
    """The load balancers of each target group, by its ARN: those with a rule that names it, also at weight 0."""
    found: dict[str, list] = {}
    for balancer in list(backend.load_balancers.values()):
        for listener in list(balancer.listeners.values()):
            for rule in [*list(listener._non_default_rules.values()), listener._default_rule[0]]:
                for action in rule.actions:
                    for arn in backend._get_target_group_arns_from(action.data):
                        known = found.setdefault(arn, [])
                        if balancer not in known:
                            known.append(balancer)
    return found


# --- probes ----------------------------------------------------------------------------------------------------------


async def watch() -> None:
    """Probes for ever: every target of each group that a rule names, when its time has come."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    agent = {"User-Agent": "ELB-HealthChecker/2.0"}
    counted = 0
    async with aiohttp.ClientSession(connector=connector, headers=agent, cookie_jar=aiohttp.DummyCookieJar()) as session:
        running: set[asyncio.Task] = set()
        while True:
            second = int(time.time())
            for group, balancers in groups():
                for known in probed(group, bool(balancers)):
                    known.probing = True
                    task = asyncio.create_task(probe(session, group, known))
                    running.add(task)
                    task.add_done_callback(running.discard)
                if second != counted:
                    count_hosts(group, balancers)
            counted = second
            await asyncio.sleep(TICK)


def groups() -> Iterator[tuple[FakeTargetGroup, list]]:
    """Every target group of IP addresses with the load balancers that use it. What is gone is forgotten."""
    arns = set()
    for backend in backends():
        if not backend.target_groups:
            continue
        used = users(backend)
        for group in list(backend.target_groups.values()):
            arns.add(group.arn)
            if group.target_type == "ip":
                yield group, used.get(group.arn, [])
    for arn, key in list(TARGETS):
        if arn not in arns:
            TARGETS.pop((arn, key), None)


def probed(group: FakeTargetGroup, used: bool) -> Iterator[Target]:
    """The targets whose turn it is."""
    now = time.monotonic()
    for key in list(group.targets):
        known = target(group, key)
        if known is None:  # deregistered just now
            continue
        if known.left is not None:  # registered again by who went past RegisterTargets
            known.begin()
        if not used:
            if known.state != "initial":
                known.begin()
        elif not known.probing and now >= known.next_probe:
            known.next_probe = now + interval_of(group)
            yield known
    for (arn, key), known in list(TARGETS.items()):
        if arn == group.arn and key not in group.targets:
            known.left = known.left or now
            if not known.in_flight:
                TARGETS.pop((arn, key), None)


def interval_of(group: FakeTargetGroup) -> float:
    return float(settings["health_interval"] or group.health_check_interval_seconds)


def timeout_of(group: FakeTargetGroup) -> float:
    """The group's own; where the setting makes probes more frequent, they are also given up sooner."""
    own = float(group.health_check_timeout_seconds)
    return min(own, max(1.0, interval_of(group))) if settings["health_interval"] else own


async def probe(session: aiohttp.ClientSession, group: FakeTargetGroup, known: Target) -> None:
    """One health check. Each takes a connection of its own; redirects are not followed."""
    port = group.health_check_port
    port = known.listed["Port"] if port in (None, "traffic-port") else port
    scheme = (group.health_check_protocol or "HTTP").lower()
    url = f"{scheme}://{known.listed['Id']}:{port}{group.health_check_path or '/'}"
    timeout = aiohttp.ClientTimeout(total=timeout_of(group))
    problem = None
    try:
        async with session.get(url, allow_redirects=False, ssl=False, timeout=timeout) as answer:
            await answer.read()
        if not accepted(group.matcher, answer.status):
            problem = ("Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{answer.status}]")
    except asyncio.TimeoutError:
        problem = ("Target.Timeout", "Request timed out")
    except (aiohttp.ClientError, OSError, ValueError):
        problem = ("Target.FailedHealthChecks", "Health checks failed")
    finally:
        known.probing = False
    if known.left is None:
        judge(group, known, problem)


def accepted(matcher: dict[str, str] | None, status: int) -> bool:
    """Codes and ranges of codes, such as 200,204 or 200-299."""
    for codes in ((matcher or {}).get("HttpCode") or "200").split(","):
        first, _, last = codes.strip().partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False


def judge(group: FakeTargetGroup, known: Target, problem: tuple[str, str] | None) -> None:
    """Consecutive successes or failures, as many as the group's thresholds, change the state."""
    known.passed, known.failed = (0, known.failed + 1) if problem else (known.passed + 1, 0)
    if not problem and known.passed >= int(group.healthy_threshold_count):
        known.say("healthy")
    elif problem and (known.state == "unhealthy" or known.failed >= int(group.unhealthy_threshold_count)):
        known.say("unhealthy", *problem)
    elif known.state == "initial":
        known.say("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")


def count_hosts(group: FakeTargetGroup, balancers: list) -> None:
    states = [known.state for key in list(group.targets) if (known := TARGETS.get((group.arn, key)))]
    for balancer in balancers:
        metrics.hosts(balancer.arn, group.arn, states.count("healthy"), states.count("unhealthy"))


# --- what the API tells ----------------------------------------------------------------------------------------------


@around(FakeTargetGroup, "register")
def register(original, self, targets):
    """A new target, or one that comes back, begins as `initial`; one that is registered stays as it is."""
    before = set(self.targets)
    original(self, targets)
    for key in set(self.targets) - before:
        known = target(self, key)
        if known and known.left is not None:
            known.begin()


@around(FakeTargetGroup, "deregister")
def deregister(original, self, targets):
    """From now on it gets no new request; what is on its way to it goes on."""
    with LOCK:
        known = {key: target(self, key) for key in list(self.targets)}
        original(self, targets)
        for key in known.keys() - self.targets.keys():
            known[key].left = time.monotonic()


@around(FakeTargetGroup, "health_for")
def health_for(original, self, asked, ec2_backend):
    """As the probes found it. Instances have no address that could be probed, and stay as moto has them."""
    told = original(self, asked, ec2_backend)
    if self.target_type != "ip":
        return told
    if told.reason == "Target.NotRegistered":
        for known in draining(self):
            if matches(known.listed, asked):
                text = "Target deregistration is in progress"
                return unhealthy(self, known.listed, "draining", "Target.DeregistrationInProgress", text)
    if told.status != "healthy":
        return told
    known = target(self, f"{told.instance_id}:{told.port}")
    if known is None:
        return told
    return unhealthy(self, known.listed, known.state, known.reason, known.description)


def draining(group: FakeTargetGroup) -> list[Target]:
    delay = delay_of(group)
    return [known for (arn, _), known in list(TARGETS.items()) if arn == group.arn and known.draining(delay)]


@around(ELBv2Backend, "describe_target_health")
def describe_target_health(original, self, target_group_arn, targets):
    """Targets that drain are listed too."""
    told = original(self, target_group_arn, targets)
    if targets:
        return told
    group = self.target_groups[target_group_arn]
    return told + [group.health_for(known.listed, self.ec2_backend) for known in draining(group)]
