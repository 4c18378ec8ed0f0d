"""Load balancers: rules, weights, health, draining, failures, metrics."""

import collections
import os
import socket
import subprocess
import threading
import time

from checks import aws, unique

from . import Balanced, ask, data_plane, eventually

FIXED = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "ContentType": "text/plain"}}


class Weights(Balanced):
    def test_shares_follow_the_weights(self):
        blue, green = (self.targets(self.server(name)) for name in ("blue", "green"))
        self.forward(blue, green)
        self.healthy(blue, green)
        connection, number = self.connection(), 300
        for weight in (0, 10, 50, 100):
            self.forward((blue, 100 - weight), (green, weight))
            seen = collections.Counter(ask(self.url, connection=connection).text for _ in range(number))
            share = weight / 100
            slack = 6 * (number * share * (1 - share)) ** 0.5  # six standard deviations
            self.assertLessEqual(abs(seen["green"] - number * share), slack, (weight, seen))

    def test_targets_of_a_group_take_turns(self):
        group = self.targets(self.server("a"), self.server("b"))
        self.forward(group)
        self.healthy(group)
        self.assertEqual(collections.Counter(ask(self.url).text for _ in range(10)), {"a": 5, "b": 5})

    def test_switch_under_load_loses_nothing(self):
        blue, green = (self.targets(self.server(name), self.server(name)) for name in ("blue", "green"))
        self.forward((blue, 100), (green, 0))
        self.healthy(blue, green)
        seen, stop = collections.Counter(), threading.Event()

        def load():
            connection = self.connection()
            while not stop.is_set():
                try:
                    answer = ask(self.url, connection=connection)
                    seen[answer.status, answer.text] += 1
                except OSError as failed:
                    seen[repr(failed)] += 1

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for weight in (0, 10, 50, 100, 0, 100):
            self.forward((blue, 100 - weight), (green, weight))
            enough = sum(seen.values()) + 120
            eventually(lambda: sum(seen.values()) >= enough, "load")
        addresses = [{"Id": key.split(":")[0]} for key in self.health(blue)]
        aws("elbv2").deregister_targets(TargetGroupArn=blue, Targets=addresses)
        enough = sum(seen.values()) + 60
        eventually(lambda: sum(seen.values()) >= enough, "load")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(set(seen), {(200, "blue"), (200, "green")}, seen)
        self.assertGreater(sum(seen.values()), 500)


class Rules(Balanced):
    def rule(self, priority, *conditions, action=None):
        """Answers with its priority."""
        says = {**FIXED, "FixedResponseConfig": {**FIXED["FixedResponseConfig"], "MessageBody": str(priority)}}
        call = {"ListenerArn": self.entry, "Priority": priority, "Conditions": list(conditions), "Actions": [action or says]}
        return aws("elbv2").create_rule(**call)["Rules"][0]["RuleArn"]

    def met(self, path="/", **keywords):
        return ask(self.url + path, **keywords).text

    def test_conditions(self):
        self.rule(10, {"Field": "host-header", "Values": ["*.Example.com"]})
        self.rule(20, {"Field": "path-pattern", "Values": ["/img/*.p?g"]})
        header = {"HttpHeaderName": "X-Colour", "Values": ["green*"]}
        self.rule(30, {"Field": "http-header", "HttpHeaderConfig": header})
        self.rule(40, {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2"}]}})
        self.rule(50, {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["DELETE"]}})
        self.rule(60, {"Field": "source-ip", "SourceIpConfig": {"Values": ["127.0.0.0/8"]}})
        self.assertEqual(self.met(headers={"Host": "a.example.COM:8080"}), "10")
        self.assertEqual(self.met("/img/a/b.png?x"), "20")
        self.assertEqual(self.met("/IMG/a.png"), "60")
        self.assertEqual(self.met(headers={"x-colour": "Green-2"}), "30")
        self.assertEqual(self.met("/?u=1&V=2"), "40")
        self.assertEqual(self.met("/?v=21"), "60")
        self.assertEqual(self.met(method="DELETE"), "50")

    def test_first_by_priority_that_meets_all(self):
        path = {"Field": "path-pattern", "Values": ["/a*"]}
        self.rule(200, path)
        self.rule(9, path, {"Field": "host-header", "Values": ["other"]})
        self.rule(30, path)
        self.assertEqual(self.met("/a"), "30")
        self.assertEqual(ask(self.url + "/b").status, 404)

    def test_the_test_rule_reaches_the_new_version_at_weight_0(self):
        blue, green = (self.targets(self.server(name)) for name in ("blue", "green"))
        self.forward((blue, 100), (green, 0))
        header = {"HttpHeaderName": "X-Release", "Values": ["test"]}
        to_green = {"Type": "forward", "TargetGroupArn": green}
        self.rule(1, {"Field": "http-header", "HttpHeaderConfig": header}, action=to_green)
        self.healthy(blue, green)
        self.assertEqual({self.met() for _ in range(20)}, {"blue"})
        self.assertEqual({self.met(headers={"X-Release": "test"}) for _ in range(20)}, {"green"})

    def test_redirect(self):
        config = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
        self.rule(1, {"Field": "path-pattern", "Values": ["*"]}, action={"Type": "redirect", "RedirectConfig": config})
        answer = ask(self.url + "/a/b?c=d")
        self.assertEqual((answer.status, answer.headers["Location"]), (301, f"https://{self.name}:443/a/b?c=d"))


class Proxy(Balanced):
    def test_curl_reaches_a_balancer_by_its_name(self):
        command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", self.url]
        shown = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual((shown.stdout, shown.stderr), ("404", ""))

    def test_origin_form(self):
        self.assertEqual(ask("/", headers={"Host": self.name}).status, 404)

    def test_other_listeners_and_hosts(self):
        self.listener(self.arn, Port=8080, DefaultActions=[FIXED])
        self.assertEqual(ask(self.url + ":8080/").status, 200)
        unknown, no_port = ask("http://example.com/"), ask(self.url + ":81/")
        self.assertEqual((unknown.status, no_port.status), (502, 502))
        self.assertIn("no application load balancer has the name 'example.com'", unknown.text)
        self.assertIn("does not listen on port 81", no_port.text)

    def test_listener_for_https_answers_plain_requests(self):
        issued = aws("acm").list_certificates(CertificateStatuses=["ISSUED"])["CertificateSummaryList"]
        certificates = [{"CertificateArn": issued[0]["CertificateArn"]}]
        self.listener(self.arn, Port=443, Protocol="HTTPS", Certificates=certificates, DefaultActions=[FIXED])
        self.assertEqual([ask(url).status for url in (f"{self.url}:443/", f"https://{self.name}/")], [200, 200])

    def test_no_tls(self):
        connection = self.connection()
        connection.request("CONNECT", f"{self.name}:443")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 501)
        self.assertIn("TLS", answer.read().decode())

    def test_settings(self):
        data_plane(metric_lag=7)
        self.assertEqual(data_plane()["metric_lag"], 7)
        url = os.environ["AWS_ENDPOINT_URL"] + "/_emulator/data-plane"
        for wrong in ({"lag": 1}, {"metric_period": 0.5}, {"tick": "x"}, {"metric_lag": None}):
            with self.subTest(wrong), self.assertRaisesRegex(Exception, "400"):
                data_plane(**wrong)
        self.assertEqual(data_plane()["proxy"], os.environ["HTTP_PROXY"], url)


class Forwarding(Balanced):
    def through(self, behave, name="a", **keywords):
        """Sends everything to one target that behaves so."""
        server = self.server(name, behave)
        group = self.targets(server, **keywords)
        self.forward(group)
        self.healthy(group)
        return server, group

    def test_target_learns_where_the_request_is_from(self):
        self.through(lambda handler: handler.say(200, str(handler.headers)))
        headers = {"X-Forwarded-For": "10.0.0.9", "Host": "shop.example.com", "Connection": "X-Secret", "X-Secret": "1"}
        seen = ask(self.url + "/a%20b?c=%2F", headers=headers).text
        for line in ("X-Forwarded-For: 10.0.0.9, 127.0.0.1", "X-Forwarded-Port: 80", "X-Forwarded-Proto: http"):
            self.assertIn(line, seen)
        self.assertIn("Host: shop.example.com", seen)
        self.assertRegex(seen, r"X-Amzn-Trace-Id: Root=1-[0-9a-f]{8}-[0-9a-f]{24}")
        self.assertNotIn("X-Secret", seen)

    def test_request_and_answer_are_passed_on_as_they_are(self):
        def behave(handler):
            body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode()
            status = int(handler.headers["X-Status"])
            text = "" if status == 304 else f"{handler.command} {handler.path} {body}"
            handler.say(status, text, Set_Cookie="a=b")

        self.through(behave)
        connection = self.connection()
        path = "/a%20b?c=%2F"
        for method, status, body, text in (
            ("PUT", 404, "x", f"PUT {path} x"),
            ("POST", 500, "x", f"POST {path} x"),
            ("GET", 304, None, ""),
            ("HEAD", 200, None, ""),
            ("GET", 200, None, f"GET {path} "),
        ):
            answer = ask(self.url + path, method, {"X-Status": str(status)}, body, connection)
            self.assertEqual((answer.status, answer.text, answer.headers["Set-Cookie"]), (status, text, "a=b"))

    def test_bodies_of_megabytes(self):
        def behave(handler):
            handler.say(200, handler.rfile.read(int(handler.headers["Content-Length"])).decode())

        self.through(behave)
        body = "0123456789abcdef" * 250_000
        self.assertEqual(ask(self.url, "POST", {"Expect": "100-continue"}, body).text == body, True)

    def test_answer_of_unknown_length_streams(self):
        go_on = threading.Event()

        def behave(handler):
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"5\r\nfirst\r\n")
            go_on.wait(10)
            handler.wfile.write(b"4\r\nlast\r\n0\r\n\r\n")

        self.through(behave)
        connection = self.connection()
        connection.request("GET", self.url)
        answer = connection.getresponse()
        self.assertEqual(answer.read(5), b"first")
        go_on.set()
        self.assertEqual(answer.read(), b"last")

    def test_kept_connection_that_the_target_closed(self):
        """It closes them at the moment of the second request, which nobody can tell before."""

        def behave(handler):
            if hasattr(handler, "served"):
                handler.close_connection = True
            else:
                handler.served = True
                handler.say(200, "once")

        self.through(behave)
        connection = self.connection()
        for method in ("GET", "PUT", "POST"):
            answers = collections.Counter(ask(self.url, method, connection=connection).status for _ in range(20))
            self.assertEqual(answers, {200: 20}, method)

    def test_failures_are_not_repeated(self):
        seen = []

        def behave(handler):
            seen.append(handler.path)
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)

        _, group = self.through(behave)
        before = data_plane()["target_groups"].get(group, {"requests": 0, "failures": 0})
        self.assertEqual((ask(self.url + "/x").status, seen), (502, ["/x"]))
        after = data_plane()["target_groups"][group]
        self.assertEqual((after["requests"] - before["requests"], after["failures"] - before["failures"]), (1, 1))

    def test_answer_that_breaks_off(self):
        def behave(handler):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            handler.close_connection = True

        self.through(behave)
        with self.assertRaises(Exception):
            ask(self.url)

    def test_idle_timeout(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        self.through(lambda handler: go_on.wait(20) and None)
        attribute = {"Key": "idle_timeout.timeout_seconds", "Value": "1"}
        aws("elbv2").modify_load_balancer_attributes(LoadBalancerArn=self.arn, Attributes=[attribute])
        self.assertEqual(ask(self.url).status, 504)

    def test_no_targets(self):
        self.forward(self.targets())
        answer = ask(self.url)
        self.assertEqual((answer.status, answer.headers["Server"]), (503, "awselb/2.0"))
        blue, green = self.targets(), self.targets()
        self.forward((blue, 0), (green, 0))
        self.assertEqual(ask(self.url).status, 503)

    def test_refused_connection(self):
        server, group = self.through(None)
        server.stop()
        self.assertEqual(ask(self.url).status, 502)


class Health(Balanced):
    def test_states(self):
        server = self.server("a")
        group = self.targets(server, HealthyThresholdCount=3, UnhealthyThresholdCount=2, Matcher={"HttpCode": "200,250-299"})
        self.assertEqual(self.health(group), {server.key: ("unused", "Target.NotInUse")})
        data_plane(health_interval=0.3)
        self.forward(group)
        self.assertEqual(self.health(group)[server.key][0], "initial")
        eventually(lambda: server.probes, "a probe")
        eventually(lambda: self.health(group)[server.key] == ("initial", "Elb.InitialHealthChecking"), "initial", 1)
        self.healthy(group)
        self.assertGreaterEqual(len(server.probes), 3)
        self.assertEqual(set(server.probes), {"ELB-HealthChecker/2.0"})
        data_plane(health_interval=0.1)
        for status, state in ((500, ("unhealthy", "Target.ResponseCodeMismatch")), (260, ("healthy", None))):
            server.health, probed = status, len(server.probes)
            eventually(lambda: self.health(group)[server.key] == state, state)
            self.assertGreaterEqual(len(server.probes) - probed, 2 if status == 500 else 3)
        server.stop()
        eventually(lambda: self.health(group)[server.key] == ("unhealthy", "Target.FailedHealthChecks"), "unreachable")

    def test_timeout(self):
        listening = socket.create_server(("127.30.250.250", 0))  # never accepts
        self.addCleanup(listening.close)
        group = self.targets(HealthCheckTimeoutSeconds=2)
        target = {"Id": "127.30.250.250", "Port": listening.getsockname()[1]}
        aws("elbv2").register_targets(TargetGroupArn=group, Targets=[target])
        self.forward(group)
        eventually(lambda: list(self.health(group).values()) == [("unhealthy", "Target.Timeout")], "timeout")

    def test_only_healthy_targets_unless_there_is_none(self):
        good, bad = self.server("good"), self.server("bad")
        bad.health = 503
        group = self.targets(good, bad)
        self.forward(group)
        states = {good.key: ("healthy", None), bad.key: ("unhealthy", "Target.ResponseCodeMismatch")}
        eventually(lambda: self.health(group) == states, "one healthy")
        self.assertEqual({ask(self.url).text for _ in range(10)}, {"good"})
        good.health = 503
        eventually(lambda: self.health(group)[good.key][0] == "unhealthy", "none healthy")
        self.assertEqual({ask(self.url).text for _ in range(10)}, {"good", "bad"})

    def test_deregistered_target_finishes_its_requests(self):
        arrived, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)

        def behave(handler):
            arrived.set()
            go_on.wait(10)
            handler.say(200, "old")

        old, new = self.server("old", behave), self.server("new")
        group = self.targets(old)
        self.forward(group)
        self.healthy(group)
        answers = []
        request = threading.Thread(target=lambda: answers.append(ask(self.url)))
        request.start()
        self.assertTrue(arrived.wait(10))
        elb = aws("elbv2")
        elb.register_targets(TargetGroupArn=group, Targets=[new.target])
        elb.deregister_targets(TargetGroupArn=group, Targets=[old.target])
        self.assertEqual(self.health(group)[old.key], ("draining", "Target.DeregistrationInProgress"))
        self.assertEqual(ask(self.url).text, "new")
        go_on.set()
        request.join()
        self.assertEqual([(answer.status, answer.text) for answer in answers], [(200, "old")])
        eventually(lambda: old.key not in self.health(group), "drained")
        shown = elb.describe_target_health(TargetGroupArn=group, Targets=[old.target])["TargetHealthDescriptions"][0]
        self.assertEqual(shown["TargetHealth"]["Reason"], "Target.NotRegistered")
        self.healthy(group)
        elb.register_targets(TargetGroupArn=group, Targets=[old.target])
        self.assertEqual(self.health(group)[old.key][0], "initial")


class Metrics(Balanced):
    def setUp(self):
        super().setUp()
        self.dimensions = {"LoadBalancer": self.arn.partition("loadbalancer/")[2]}
        self.start = int(time.time()) - 60

    def query(self, metric, stat="Sum", period=60, **dimensions):
        named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        asked = {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": named}
        return {"Id": unique("q").replace("-", ""), "MetricStat": {"Metric": asked, "Period": period, "Stat": stat}}

    def data(self, *queries, **keywords):
        call = {"MetricDataQueries": list(queries), "StartTime": self.start, "EndTime": self.start + 600, **keywords}
        results = aws("cloudwatch").get_metric_data(ScanBy="TimestampAscending", **call)["MetricDataResults"]
        return [list(zip((moment.timestamp() for moment in each["Timestamps"]), each["Values"])) for each in results]

    def total(self, metric, stat="Sum", **dimensions):
        """Over periods of an hour, of which there may be two; None without data."""
        data = self.data(self.query(metric, stat, 3600, **dimensions))[0]
        return sum(value for _, value in data) if stat == "Sum" else data[-1][1] if data else None

    def test_requests(self):
        def behave(handler):
            handler.say(int(handler.path[1:]), "", Location="/")

        group = self.targets(self.server("a", behave))
        self.forward(group)
        self.healthy(group)
        for status in [200] * 6 + [301] * 3 + [404] * 2 + [500]:
            ask(f"{self.url}/{status}")
        here = {"TargetGroup": group.rpartition(":")[2]}
        eventually(lambda: self.total("RequestCount", **here) == 12, "data")
        for dimensions in (here, self.dimensions, {**here, **self.dimensions}):
            counts = [self.total(f"HTTPCode_Target_{kind}XX_Count", **dimensions) for kind in (2, 3, 4, 5)]
            self.assertEqual(counts, [6, 3, 2, 1])
        both = {**here, **self.dimensions}
        stats = ("Minimum", "p50", "p90", "p95", "p99", "Maximum")
        times = [self.total("TargetResponseTime", stat, **both) for stat in stats]
        self.assertEqual(times, sorted(times))
        self.assertTrue(0 < times[0] <= self.total("TargetResponseTime", "Average", **both) <= times[-1] < 5, times)
        self.assertEqual(self.total("TargetResponseTime", "SampleCount", **both), 12)
        eventually(lambda: self.total("HealthyHostCount", "Maximum", **both) == 1, "hosts")
        self.assertEqual(self.total("UnHealthyHostCount", "Maximum", **both), 0)

    def test_failures(self):
        server = self.server("a")
        group = self.targets(server)
        self.forward(group)
        self.healthy(group)
        server.stop()
        self.assertEqual(ask(self.url).status, 502)
        both = {"TargetGroup": group.rpartition(":")[2], **self.dimensions}
        eventually(lambda: self.total("UnHealthyHostCount", "Maximum", **both) == 1, "unhealthy")
        self.forward(self.targets())
        self.assertEqual(ask(self.url).status, 503)
        eventually(lambda: self.total("HTTPCode_ELB_5XX_Count", **self.dimensions) == 2, "data")
        self.assertEqual(self.total("TargetConnectionErrorCount", **both), 1)

    def test_nothing_without_requests(self):
        group = self.targets(self.server("a"))
        self.forward(group)
        both = {"TargetGroup": group.rpartition(":")[2], **self.dimensions}
        eventually(lambda: self.data(self.query("HealthyHostCount", "Average", **both))[0], "hosts")
        for metric in ("RequestCount", "HTTPCode_Target_5XX_Count", "TargetResponseTime", "HTTPCode_ELB_5XX_Count"):
            self.assertEqual(self.data(self.query(metric, **both)), [[]])

    def test_periods_and_lag(self):
        group = self.targets(self.server("a"))
        self.forward(group)
        self.healthy(group)
        data_plane(metric_period=2, metric_lag=1)
        here = {"TargetGroup": group.rpartition(":")[2]}
        sent = []
        connection = self.connection()
        for _ in range(3):
            sent.append(time.time())
            ask(self.url, connection=connection)
            while time.time() < sent[-1] + 0.8:
                time.sleep(0.05)
        periods = collections.Counter(int(moment) // 2 * 2 for moment in sent)
        fine, coarse = self.query("RequestCount", period=1, **here), self.query("RequestCount", period=4, **here)
        self.assertFalse(any(begin + 3 > time.time() for begin, _ in self.data(fine)[0]))
        eventually(lambda: sum(value for _, value in self.data(fine)[0]) == 3, "all requests")
        self.assertGreaterEqual(time.time(), max(periods) + 3)
        seen, summed = self.data(fine, coarse)
        self.assertEqual(seen, sorted(periods.items()))
        wider = collections.Counter(int(moment) // 4 * 4 for moment in sent)
        self.assertEqual(summed, sorted(wider.items()))
        self.assertEqual(self.data(fine, EndTime=min(periods))[0], [])
        statistics = aws("cloudwatch").get_metric_statistics(
            Namespace="AWS/ApplicationELB",
            MetricName="RequestCount",
            Dimensions=[{"Name": name, "Value": value} for name, value in here.items()],
            StartTime=self.start,
            EndTime=self.start + 600,
            Period=2,
            Statistics=["Sum"],
        )["Datapoints"]
        self.assertEqual(sorted((each["Timestamp"].timestamp(), each["Sum"]) for each in statistics), seen)
