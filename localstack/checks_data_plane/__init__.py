"""What the tests of the data plane share. Each module beside this one tests a part of it."""

import collections
import contextlib
import functools
import http.client
import http.server
import os
import threading
import time
import urllib.parse

from checks import Case, aws, settings

Answer = collections.namedtuple("Answer", "status headers text")


data_plane = functools.partial(settings, "data-plane")


def proxy(timeout=20.0):
    """A connection to the load balancers, on which one request follows another."""
    address = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
    return http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)


def ask(url, method="GET", headers=None, body=None, connection=None):
    """One request, on a connection of its own unless one is given."""
    if connection is None:
        with contextlib.closing(proxy()) as connection:
            return ask(url, method, headers, body, connection)
    connection.request(method, url, body=body, headers=headers or {})
    answer = connection.getresponse()
    return Answer(answer.status, answer.headers, answer.read().decode())


def eventually(condition, what, seconds=10.0):
    """The first true value of the condition."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return value


class Server(http.server.ThreadingHTTPServer):
    """A target on an address of its own. It answers with its name; what else it does, `behave` says."""

    daemon_threads = True
    request_queue_size = 128
    addresses = iter(range(1, 250))

    def __init__(self, name, behave=None):
        self.behave = behave or (lambda handler: handler.say(200, name))
        self.health = 200
        self.probes = []
        super().__init__((f"127.30.250.{next(Server.addresses)}", 0), Handler)
        self.ip, self.port = self.server_address
        self.key = f"{self.ip}:{self.port}"
        self.target = {"Id": self.ip, "Port": self.port}
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass  # clients that go away are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        if self.path == "/health":
            self.server.probes.append(self.headers["User-Agent"])
            return self.say(self.server.health, "health")
        return self.server.behave(self)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

    def say(self, status, text, **headers):
        body = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Balanced(Case):
    """A load balancer with one listener; target groups are probed ten times a second."""

    def setUp(self):
        data_plane(health_interval=0.1, metric_lag=0, metric_period=1)
        self.network()
        balancer = self.balancer()
        self.arn, self.name = balancer["LoadBalancerArn"], balancer["DNSName"]
        self.entry = self.listener(self.arn)
        self.url = f"http://{self.name}"

    def connection(self):
        connection = proxy()
        self.addCleanup(connection.close)
        return connection

    def server(self, name, behave=None):
        server = Server(name, behave)
        self.addCleanup(server.stop)
        return server

    def targets(self, *servers, **keywords):
        """A target group with the servers as its targets."""
        call = {"HealthCheckPath": "/health", "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 2, **keywords}
        group = self.target_group(**call)
        if servers:
            aws("elbv2").register_targets(TargetGroupArn=group, Targets=[server.target for server in servers])
        return group

    def forward(self, *weighted):
        """The listener's default: to one group, or to several by weight."""
        groups = [each if isinstance(each, tuple) else (each, 1) for each in weighted]
        config = {"TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in groups]}
        aws("elbv2").modify_listener(ListenerArn=self.entry, DefaultActions=[{"Type": "forward", "ForwardConfig": config}])

    def health(self, group):
        """State and reason of each target, by its address."""
        told = aws("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        health = {f"{each['Target']['Id']}:{each['Target']['Port']}": each["TargetHealth"] for each in told}
        return {key: (each["State"], each.get("Reason")) for key, each in health.items()}

    def healthy(self, *groups):
        for group in groups:
            states = lambda: {state for state, _ in self.health(group).values()}  # noqa: E731
            eventually(lambda: states() == {"healthy"}, f"{group} is healthy")
