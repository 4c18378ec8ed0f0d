"""Application load balancers that forward.

All of them are reached through one HTTP forward proxy on a free loopback port: host and port of the requested URL say
which load balancer (by its DNS name) and which of its listeners is meant, the Host header is what rules see. TLS is left
out: a listener for HTTPS answers plain requests to its port, as though TLS had ended there.
"""

import asyncio
import collections
import random
import re
import secrets
import threading
import time
from typing import Any

import aiohttp
from aiohttp import web
from moto.elbv2.models import ELBv2Backend, FakeLoadBalancer, FakeTargetGroup
from multidict import CIMultiDict
from yarl import URL

from . import health as probes
from . import metrics
from .health import TARGETS, Target
from .rules import Call, action_for, location

IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"}
OF_A_CONNECTION = {
    *("Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization"),
    *("TE", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"),
}
ADDED_BY_CLIENT = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")  # unless told otherwise
CONNECT_TIMEOUT = 10.0
POOLED = 60.0  # seconds that an unused connection to a target is kept
KEPT_BODY = 64 * 1024  # a request with a body up to this size can be sent again
TITLES = {502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}
ABSOLUTE = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.I | re.S)

REQUESTS: collections.Counter[str] = collections.Counter()  # since the start, by ARN of the target group
FAILURES: collections.Counter[str] = collections.Counter()  # of these, no answer from a target or one of 5xx
TURNS: collections.Counter[str] = collections.Counter()
ADDRESS: list[str] = []  # of the proxy, once it listens


class OwnAnswer(Exception):
    """The load balancer answers by itself. `reason` says why to whoever looks for it: AWS does not tell."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status
        self.reason = reason

    def response(self) -> web.Response:
        title = f"{self.status} {TITLES[self.status]}"
        body = f"<body>\r\n<center><h1>{title}</h1></center>\r\n</body>"
        text = f"<html>\r\n<head><title>{title}</title></head>\r\n{body}\r\n</html>\r\n"
        headers = {"Server": "awselb/2.0", "X-Emulator-Reason": self.reason}
        return web.Response(status=self.status, text=text, content_type="text/html", headers=headers)


# --- what the other parts of the data plane ask ----------------------------------------------------------------------


def in_flight(group_arn: str, key: str) -> int:
    """How many requests are on their way to the target `ip:port`; after it was deregistered, they only become fewer."""
    known = TARGETS.get((group_arn, key))
    return known.in_flight if known else 0


def health(group_arn: str, key: str) -> str:
    """initial, healthy, unhealthy or draining; `unused` of a target that is not registered (any more)."""
    for backend in probes.backends():
        if group := backend.target_groups.get(group_arn):
            known = TARGETS.get((group_arn, key))
            if key in group.targets:
                return known.state if known and known.left is None else "initial"
            return "draining" if known and known.draining(probes.delay_of(group)) else "unused"
    return "unused"


def proxy() -> str:
    """The address of the proxy, for HTTP_PROXY."""
    return ADDRESS[0]


def counters() -> dict[str, Any]:
    groups = {arn: {"requests": count, "failures": FAILURES[arn]} for arn, count in list(REQUESTS.items())}
    return {"proxy": proxy(), "target_groups": groups}


# --- from the request to the target group ----------------------------------------------------------------------------


def refusal(status: int, text: str) -> web.Response:
    """An answer of the proxy, which AWS does not have."""
    return web.Response(status=status, text=f"infra's emulator: {text}\n", headers={"Connection": "close"})


async def serve(request: web.BaseRequest) -> web.StreamResponse:
    if request.method == "CONNECT":
        return refusal(501, "TLS to load balancers is not emulated: ask for http://NAME:PORT instead of https://")
    host_header = request.headers.get("Host", "")
    absolute = ABSOLUTE.fullmatch(request.message.path)
    authority = absolute["authority"].rpartition("@")[2] if absolute else host_header
    target = (absolute["rest"] if absolute else request.message.path).partition("#")[0]
    name, port = split(authority, 443 if absolute and absolute["scheme"].lower() == "https" else 80)
    backend, balancer = find(name)
    if backend is None or balancer is None:
        return refusal(502, f"no application load balancer has the name {name!r}; this proxy reaches nothing else")
    listener = next((each for each in list(balancer.listeners.values()) if int(each.port) == port), None)
    if listener is None:
        ports = ", ".join(str(each.port) for each in list(balancer.listeners.values())) or "no port"
        return refusal(502, f"{name} does not listen on port {port}, but on {ports}")
    path, _, query = target.partition("?")
    call = Call(
        scheme=listener.protocol.lower(),
        host=split(host_header or authority, 80)[0],
        port=port,
        method=request.method,
        path=path if path.startswith("/") else f"/{path}",
        query=query,
        headers=request.headers,
        source=request.remote or "127.0.0.1",
    )
    try:
        answer = await perform(request, call, backend, balancer, action_for(listener, call))
    except OwnAnswer as own:
        metrics.own_answer(balancer.arn, own.status)
        answer = own.response()
    return answer


def split(authority: str, port: int) -> tuple[str, int]:
    name, colon, digits = authority.rpartition(":")
    return (name.lower(), int(digits)) if colon and digits.isdigit() else (authority.lower().rstrip(":"), port)


def find(name: str) -> tuple[ELBv2Backend | None, FakeLoadBalancer | None]:
    for backend in probes.backends():
        for balancer in list(backend.load_balancers.values()):
            if balancer.dns_name.lower() == name and balancer.type == "application":
                return backend, balancer
    return None, None


async def perform(request, call: Call, backend, balancer, action) -> web.StreamResponse:
    """What the rule's action says."""
    own = {"Server": "awselb/2.0"}
    if action["Type"] == "redirect":
        config = action["RedirectConfig"]
        status = int(config["StatusCode"].removeprefix("HTTP_"))
        return web.Response(status=status, headers={**own, "Location": location(config, call)}, content_type="text/html")
    if action["Type"] == "fixed-response":
        config = action["FixedResponseConfig"]
        status = int(config["StatusCode"])
        metrics.own_answer(balancer.arn, status)
        content_type = config.get("ContentType") or "text/plain"
        headers = {**own, "Content-Type": f"{content_type}; charset=utf-8"}
        return web.Response(status=status, body=(config.get("MessageBody") or "").encode(), headers=headers)
    if action["Type"] != "forward":
        raise OwnAnswer(502, f"actions of type {action['Type']} are not emulated")
    group = choose_group(backend, action)
    REQUESTS[group.arn] += 1
    try:
        return await Forward(request, call, balancer, group, take_target(group)).run()
    except OwnAnswer:
        FAILURES[group.arn] += 1
        raise


def choose_group(backend, action) -> FakeTargetGroup:
    """By weight, at random for each request. There is no failover from one group to another."""
    groups = action["ForwardConfig"]["TargetGroups"]
    weights = [int(each["Weight"]) for each in groups]
    if not sum(weights):
        raise OwnAnswer(503, "every target group of the rule has the weight 0")
    arn = random.choices(groups, weights)[0]["TargetGroupArn"]
    group = backend.target_groups.get(arn)
    if group is None:
        raise OwnAnswer(503, f"the target group {arn} is gone")
    return group


def take_target(group: FakeTargetGroup) -> Target:
    """The healthy targets in turn; without a healthy one every target (fail open). From now on the request is in flight."""
    if group.target_type != "ip":
        raise OwnAnswer(502, f"targets of type {group.target_type} are not emulated")
    with probes.LOCK:
        targets = [known for key in list(group.targets) if (known := probes.target(group, key))]
        targets = [known for known in targets if known.state == "healthy"] or targets
        if not targets:
            raise OwnAnswer(503, f"the target group {group.name} has no targets")
        TURNS[group.arn] += 1
        known = targets[TURNS[group.arn] % len(targets)]
        known.in_flight += 1
    return known


# --- to the target and back ------------------------------------------------------------------------------------------


class Sessions:
    """Connections to targets: kept for the next request, or new each time for requests that could not be sent again."""

    pooled: aiohttp.ClientSession
    fresh: aiohttp.ClientSession


async def reused(session, attempt, _) -> None:
    attempt.trace_request_ctx["reused"] = True


def session(**connector: Any) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    made = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=False, **connector),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=ADDED_BY_CLIENT,
        trace_configs=[trace],
        max_line_size=65536,
        max_field_size=65536,
    )
    made._retry_connection = False  # aiohttp repeats requests also where a load balancer must not
    return made


class Forward:
    """One request on its way to the target that was chosen for it."""

    def __init__(self, request, call: Call, balancer: FakeLoadBalancer, group: FakeTargetGroup, known: Target):
        self.request, self.call, self.balancer, self.group, self.known = request, call, balancer, group, known
        self.status: int | None = None  # of the target's answer
        self.seconds = 0.0
        self.connected = True

    async def run(self) -> web.StreamResponse:
        try:
            answer = await self.exchange()
            try:
                return await self.hand_back(answer)
            finally:
                answer.close()  # which keeps the connection if the answer is complete
        finally:
            with probes.LOCK:
                self.known.in_flight -= 1
            metrics.request(self.balancer.arn, self.group.arn, self.status, self.seconds, self.connected)
            if self.status and self.status >= 500:
                FAILURES[self.group.arn] += 1

    async def exchange(self) -> aiohttp.ClientResponse:
        """Sends the request until the headers of the answer are there.

        A target may close a kept connection at the moment at which the next request is sent on it. Then a request that
        can be repeated goes to the same target again, on another connection; any other failure is the client's to see."""
        request = self.request
        body, again = await self.body()
        idle = float(self.balancer.attrs.get("idle_timeout.timeout_seconds", 60))
        while True:
            attempt = {"reused": False}
            started = time.perf_counter()
            try:
                answer = await (Sessions.pooled if again else Sessions.fresh).request(
                    request.method,
                    URL(self.url(), encoded=True),
                    headers=self.headers(),
                    data=body,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT, sock_read=idle),
                    trace_request_ctx=attempt,
                )
            except aiohttp.ClientConnectorError as failed:
                self.connected = False
                raise OwnAnswer(502, f"{self.known.listed} cannot be connected to: {failed}") from None
            except aiohttp.ConnectionTimeoutError:
                self.connected = False
                raise OwnAnswer(504, f"{self.known.listed} does not take connections") from None
            except asyncio.TimeoutError:
                raise OwnAnswer(504, f"{self.known.listed} has not answered within {idle:.0f} s") from None
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as failed:
                if not attempt["reused"]:
                    raise OwnAnswer(502, f"{self.known.listed} closed the connection: {failed}") from None
            except (aiohttp.ClientError, ValueError) as failed:
                raise OwnAnswer(502, f"{self.known.listed} does not answer as HTTP: {failed}") from None
            else:
                self.seconds = time.perf_counter() - started
                self.status = answer.status
                return answer

    async def body(self) -> tuple[Any, bool]:
        """The body, and whether the request can be sent again."""
        request = self.request
        if not request.body_exists:
            return None, request.method in IDEMPOTENT
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        if request.content_length is not None and request.content_length <= KEPT_BODY:
            return await request.content.read(), request.method in IDEMPOTENT
        return request.content, False

    def url(self) -> str:
        scheme, listed = (self.group.protocol or "HTTP").lower(), self.known.listed
        query = f"?{self.call.query}" if self.call.query else ""
        return f"{scheme}://{listed['Id']}:{listed['Port']}{self.call.path}{query}"

    def headers(self) -> CIMultiDict:
        """The client's, without those of its connection, with those that tell the target where the request is from."""
        request, call = self.request, self.call
        headers = without_connection(request.headers)
        forwarded = [*headers.getall("X-Forwarded-For", ()), call.source]
        headers["X-Forwarded-For"] = ", ".join(forwarded)
        headers["X-Forwarded-Proto"] = call.scheme
        headers["X-Forwarded-Port"] = str(call.port)
        mark = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
        known = headers.get("X-Amzn-Trace-Id", "")
        headers["X-Amzn-Trace-Id"] = f"Self={mark};{known}" if "Root=" in known else f"Root={mark}"
        return headers

    async def hand_back(self, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        """The target's answer as it comes. One that breaks off breaks off for the client too."""
        headers = without_connection(answer.headers)
        headers.setdefault("Server", "awselb/2.0")
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        response._send_headers_immediately = False  # but with the first part of the body
        await response.prepare(self.request)
        try:
            async for part in answer.content.iter_any():
                await response.write(part)
            await response.write_eof()
        except (aiohttp.ClientPayloadError, aiohttp.ServerConnectionError, asyncio.TimeoutError):
            FAILURES[self.group.arn] += 1
            if self.request.transport:
                self.request.transport.abort()
        return response


def without_connection(headers) -> CIMultiDict:
    left = CIMultiDict(headers)
    for name in [*OF_A_CONNECTION, *(part.strip() for part in headers.get("Connection", "").split(","))]:
        left.popall(name, None)
    return left


# --- the thread ------------------------------------------------------------------------------------------------------


def start() -> None:
    """Begins to listen; returns once it does."""
    listening = threading.Event()
    threading.Thread(target=lambda: asyncio.run(run(listening)), name="balancer", daemon=True).start()
    if not listening.wait(30):
        raise RuntimeError("the load balancers do not listen")


async def run(listening: threading.Event) -> None:
    Sessions.pooled = session(keepalive_timeout=POOLED)
    Sessions.fresh = session(force_close=True)
    keep = {"keepalive_timeout": 3600, "auto_decompress": False, "max_line_size": 65536, "max_field_size": 65536}
    server = web.Server(serve, handler_cancellation=True, access_log=None, **keep)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, backlog=1024)
    ADDRESS.append(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    listening.set()
    while True:  # a world in which something was just half gone must not end the probes
        try:
            await probes.watch()
        except Exception as failed:
            print(f"balancer: probes start again after {failed!r}", flush=True)
            await asyncio.sleep(probes.TICK)
