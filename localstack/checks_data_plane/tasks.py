"""ECS services and jobs whose tasks are processes."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.request

import boto3
from checks import Case, aws, unique

from . import ask, data_plane, proxy

HERE = pathlib.Path(__file__).resolve().parent.parent
PORT = 18080
DEADLINE = 20.0
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
ROLLBACK = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


def until(read, holds, deadline=DEADLINE):
    """Reads until it holds; the last reading, whether it holds or not."""
    end = time.monotonic() + deadline
    while True:
        value = read()
        if holds(value) or time.monotonic() > end:
            return value
        time.sleep(0.05)


def fetch(address, path="/"):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{address}:{PORT}{path}", timeout=5) as answer:
        return json.load(answer)


class Tasks(Case):
    cluster = None

    @classmethod
    def setUpClass(cls):
        data_plane(health_interval=0.1, tick=0.03)
        cls.cluster = unique("cluster")
        aws("ecs").create_cluster(clusterName=cls.cluster)
        cls.logs = unique("logs")
        aws("logs").create_log_group(logGroupName=cls.logs)
        cls.network(cls)
        balancer = cls.balancer(cls)
        cls.balanced, cls.name_of_balancer = balancer["LoadBalancerArn"], balancer["DNSName"]

    @classmethod
    def tearDownClass(cls):
        data_plane(health_interval=None, tick=0.1)
        for name in aws("ecs").list_services(cluster=cls.cluster)["serviceArns"]:
            aws("ecs").delete_service(cluster=cls.cluster, service=name, force=True)

    # --- what there is ---

    def definition(self, tag, beside=(), **container):
        options = {"awslogs-group": self.logs, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "app"}
        text = {"name": "app", "image": f"shop:{tag}", "portMappings": [{"containerPort": PORT}], **container}
        text.setdefault("logConfiguration", {"logDriver": "awslogs", "options": options})
        fargate = {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
        made = aws("ecs").register_task_definition(family=unique("shop"), containerDefinitions=[text, *beside], **fargate)
        return made["taskDefinition"]["taskDefinitionArn"]

    def awsvpc(self):
        return {"awsvpcConfiguration": {"subnets": self.subnets, "securityGroups": [self.group]}}

    def target_group_in_use(self):
        fast = {"HealthyThresholdCount": 2, "UnhealthyThresholdCount": 2, "HealthCheckPath": "/health"}
        group = self.target_group(Port=PORT, **fast)
        self.port = next(PORTS)
        self.listener(self.balanced, Port=self.port, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
        draining = [{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}]
        aws("elbv2").modify_target_group_attributes(TargetGroupArn=group, Attributes=draining)
        return group

    def service(self, tag="v1", count=2, balanced=True, container=None, **keywords):
        bound = []
        if balanced:
            self.targets = self.target_group_in_use()
            bound = [{"targetGroupArn": self.targets, "containerName": "app", "containerPort": PORT}]
        self.name = unique("service")
        aws("ecs").create_service(
            cluster=self.cluster,
            serviceName=self.name,
            taskDefinition=self.definition(tag, **(container or {})),
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration=self.awsvpc(),
            loadBalancers=bound,
            **keywords,
        )

    def update(self, **keywords):
        aws("ecs").update_service(cluster=self.cluster, service=self.name, **keywords)

    def shown(self):
        return aws("ecs").describe_services(cluster=self.cluster, services=[self.name])["services"][0]

    def rolled(self, state="COMPLETED", definition=None):
        """The service once its primary deployment is in that state."""

        def holds(service):
            primary = service["deployments"][0]
            return primary["rolloutState"] == state and definition in (None, primary["taskDefinition"])

        service = until(self.shown, holds)
        self.assertTrue(holds(service), service)
        return service

    def tasks(self, status="RUNNING"):
        arns = aws("ecs").list_tasks(cluster=self.cluster, serviceName=self.name, desiredStatus=status)["taskArns"]
        return aws("ecs").describe_tasks(cluster=self.cluster, tasks=arns)["tasks"] if arns else []

    def stopped(self):
        """Those tasks that have stopped, at least one."""
        return until(lambda: [task for task in self.tasks("STOPPED") if task["lastStatus"] == "STOPPED"], bool)

    def events(self):
        return "\n".join(event["message"] for event in self.shown()["events"])

    def log(self, task):
        stream = f"app/app/{task['taskArn'].split('/')[-1]}"
        found = aws("logs").get_log_events(logGroupName=self.logs, logStreamName=stream, startFromHead=True)["events"]
        return [event["message"] for event in found]

    def registered(self):
        found = aws("elbv2").describe_target_health(TargetGroupArn=self.targets)["TargetHealthDescriptions"]
        states = {each["Target"]["Id"]: each["TargetHealth"]["State"] for each in found}
        return {address: state for address, state in states.items() if state != "draining"}

    def job(self, tag="v1", command=("migrate", "--all"), container=None, **keywords):
        arn = self.definition(tag, **(container or {}))
        override = {"name": "app", "command": list(command), "environment": [{"name": "MODE", "value": "job"}]}
        started = aws("ecs").run_task(
            cluster=self.cluster,
            taskDefinition=arn,
            launchType="FARGATE",
            networkConfiguration=self.awsvpc(),
            overrides={"containerOverrides": [override]},
            startedBy="test",
            **keywords,
        )["tasks"][0]
        return self.job_once(started["taskArn"], "STOPPED")

    def job_once(self, arn, status):
        read = lambda: aws("ecs").describe_tasks(cluster=self.cluster, tasks=[arn])["tasks"][0]  # noqa: E731
        return until(read, lambda task: task["lastStatus"] == status)

    # --- services ---

    def test_service_starts_and_is_healthy(self):
        self.service()
        service = self.rolled()
        self.assertEqual((service["runningCount"], service["pendingCount"], len(service["deployments"])), (2, 0, 1))
        tasks = self.tasks()
        self.assertEqual({task["lastStatus"] for task in tasks}, {"RUNNING"})
        addresses = {address_of(task) for task in tasks}
        self.assertEqual(self.registered(), dict.fromkeys(addresses, "healthy"))
        self.assertEqual({fetch(address, "/x")["version"] for address in addresses}, {"v1"})
        for text in ("has started 2 tasks: (task ", "deployment completed.", "has reached a steady state."):
            self.assertIn(text, self.events())

    def test_service_scales(self):
        self.service(count=1)
        self.rolled()
        first = self.tasks()[0]["taskArn"]
        self.update(desiredCount=3)
        self.assertEqual(until(self.shown, lambda s: s["runningCount"] == 3)["runningCount"], 3)
        self.update(desiredCount=1)
        self.assertEqual(until(self.shown, lambda s: s["runningCount"] == 1)["runningCount"], 1)
        self.assertEqual([task["taskArn"] for task in self.tasks()], [first], "the oldest stays")
        task = self.stopped()[0]
        self.assertEqual((task["stopCode"], task["containers"][0]["exitCode"]), ("ServiceSchedulerInitiated", 0))
        self.assertIn("Scaling activity initiated by (deployment ecs-svc/", task["stoppedReason"])
        self.update(desiredCount=0)
        self.assertEqual(until(self.shown, lambda s: s["runningCount"] == 0)["deployments"][0]["rolloutState"], "COMPLETED")
        self.assertEqual(until(self.registered, lambda targets: not targets), {})

    def test_update_rolls(self):
        self.service()
        self.rolled()
        arn = self.definition("v2")
        self.update(taskDefinition=arn)
        fewest, end = 2, time.monotonic() + DEADLINE
        while time.monotonic() < end:
            service = self.shown()
            fewest = min(fewest, list(self.registered().values()).count("healthy"))
            if service["deployments"][0]["rolloutState"] == "COMPLETED":
                break
            self.assertLessEqual(service["runningCount"], 4 + 2, "200 % and what drains")
        self.assertEqual([d["taskDefinition"] for d in service["deployments"]], [arn])
        self.assertGreaterEqual(fewest, 2, "never less than 100 %")
        self.assertEqual({fetch(address)["version"] for address in self.registered()}, {"v2"})

    def test_update_under_load_loses_no_request(self):
        self.service()
        self.rolled()
        answers, done = [], threading.Event()
        url = f"http://{self.name_of_balancer}:{self.port}"

        def visit(path):
            connection = proxy()
            while not done.is_set():
                answer = ask(url + path, connection=connection)
                answers.append((answer.status, json.loads(answer.text)["version"]))
            connection.close()

        visitors = [threading.Thread(target=visit, args=(path,)) for path in ("/", "/", "/slow/900")]
        for visitor in visitors:
            visitor.start()
        arn = self.definition("v2")
        self.update(taskDefinition=arn)
        self.rolled(definition=arn)
        until(lambda: answers[-1], lambda answer: answer[1] == "v2")
        done.set()
        for visitor in visitors:
            visitor.join()
        self.assertGreater(len(answers), 100)
        self.assertEqual(set(answers), {(200, "v1"), (200, "v2")})

    def test_idle_service_takes_a_version_and_a_count(self):
        self.service(count=0)
        self.rolled()
        arn = self.definition("v2")
        self.update(taskDefinition=arn, desiredCount=2)
        self.assertEqual(self.rolled(definition=arn)["runningCount"], 2)

    def test_request_on_its_way_is_finished(self):
        self.service(count=1, balanced=False)
        self.rolled()
        connection = open_request(address_of(self.tasks()[0]), "/slow/1500")
        self.update(desiredCount=0)
        self.assertEqual(connection.getresponse().status, 200)
        self.assertEqual(self.stopped()[0]["containers"][0]["exitCode"], 0)

    def test_crash_trips_the_breaker(self):
        self.service("v1-crash", deploymentConfiguration=BREAKER)
        service = self.rolled("FAILED")
        primary = service["deployments"][0]
        self.assertEqual(primary["rolloutStateReason"], "ECS deployment circuit breaker: tasks failed to start.")
        self.assertGreaterEqual(primary["failedTasks"], 3)
        task = self.stopped()[0]
        self.assertEqual(task["stopCode"], "EssentialContainerExited")
        self.assertEqual(task["stoppedReason"], "Essential container in task exited")
        self.assertEqual(task["containers"][0]["exitCode"], 1)
        self.assertIn("RuntimeError: cannot start: v1-crash is broken", self.log(task))
        until(lambda: self.tasks() + self.tasks("STOPPED"), lambda every: {task["lastStatus"] for task in every} == {"STOPPED"})
        until(self.shown, lambda s: s["deployments"][0]["failedTasks"] == len(self.tasks("STOPPED")))
        failed = self.shown()["deployments"][0]["failedTasks"]
        time.sleep(1)  # nothing happens, which no event tells
        self.assertEqual((self.shown()["deployments"][0]["failedTasks"], self.shown()["runningCount"]), (failed, 0))

    def test_breaker_rolls_back(self):
        self.service()
        before = self.rolled()["deployments"][0]
        self.update(taskDefinition=self.definition("v2-crash"), deploymentConfiguration=ROLLBACK)
        self.rolled("IN_PROGRESS", before["taskDefinition"])
        states = [(d["id"] == before["id"], d["status"], d["rolloutState"]) for d in self.shown()["deployments"]]
        self.assertEqual(states, [(True, "PRIMARY", "IN_PROGRESS"), (False, "ACTIVE", "FAILED")])
        service = self.rolled(definition=before["taskDefinition"])
        self.assertEqual((service["taskDefinition"], service["runningCount"]), (before["taskDefinition"], 2))
        self.assertIn(f"rolling back to deployment {before['id']}.", self.events())
        self.assertIn("deployment failed: tasks failed to start.", self.events())

    def test_unhealthy_tasks_are_replaced_and_fail_the_deployment(self):
        self.service("v1-unhealthy", count=1, deploymentConfiguration=BREAKER)
        self.rolled("FAILED")
        reasons = {task["stoppedReason"] for task in self.stopped()}
        self.assertEqual(reasons, {f"Task failed ELB health checks in (target-group {self.targets})"})

    def test_grace_period_waits_for_a_late_start(self):
        self.service("v1-late1", count=1, deploymentConfiguration=BREAKER, healthCheckGracePeriodSeconds=30)
        self.assertEqual(self.rolled()["deployments"][0]["failedTasks"], 0)

    def test_failed_update_leaves_the_tasks_before_it(self):
        self.service(count=1)
        self.rolled()
        before = self.registered()
        arn = self.definition("v2-crash")
        self.update(taskDefinition=arn, deploymentConfiguration=BREAKER)
        service = self.rolled("FAILED", arn)
        states = [(d["status"], d["rolloutState"]) for d in service["deployments"]]
        self.assertEqual(states, [("PRIMARY", "FAILED"), ("ACTIVE", "COMPLETED")])
        self.assertEqual(until(self.registered, lambda found: len(found) == 1), before)
        self.update(desiredCount=0)
        self.assertEqual(until(self.shown, lambda s: not s["runningCount"])["runningCount"], 0)

    def test_container_waits_for_the_one_it_depends_on(self):
        for tag, count, code in (("v1", 1, 0), ("v1-badjob", 0, 1)):
            first = {"name": "init", "image": f"shop:{tag}", "command": ["migrate"], "essential": False}
            needs = [{"containerName": "init", "condition": "SUCCESS"}]
            container = {"beside": [first], "dependsOn": needs}
            self.service(balanced=False, count=1, container=container, deploymentConfiguration=BREAKER)
            service = self.rolled("COMPLETED" if count else "FAILED")
            task = self.tasks()[0] if count else self.stopped()[0]
            codes = {container["name"]: container.get("exitCode") for container in task["containers"]}
            self.assertEqual((service["runningCount"], codes), (count, {"app": None, "init": code}))

    def test_missing_image(self):
        self.service("missing", count=1, balanced=False, deploymentConfiguration=BREAKER)
        self.rolled("FAILED")
        task = self.stopped()[0]
        self.assertEqual(task["stopCode"], "TaskFailedToStart")
        self.assertIn("CannotPullContainerError: ", task["stoppedReason"])
        self.assertIn("shop:missing: not found", task["containers"][0]["reason"])
        self.assertIn("was unable to place a task. Reason: CannotPullContainerError", self.events())

    def test_image_by_digest_has_the_tag_of_the_registry(self):
        repository = aws("ecr").create_repository(repositoryName=unique("repository"))["repository"]
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "layers": [{"digest": f"sha256:{'1' * 64}"}]})
        pushed = aws("ecr").put_image(repositoryName=repository["repositoryName"], imageManifest=manifest, imageTag="v7-errors50")
        digest = pushed["image"]["imageId"]["imageDigest"]
        self.service(count=1, balanced=False, container={"image": f"{repository['repositoryUri']}@{digest}"})
        self.rolled()
        self.assertEqual(fetch(address_of(self.tasks()[0]))["version"], "v7-errors50")

    def test_stopped_task_is_replaced(self):
        self.service(count=1)
        self.rolled()
        arn = self.tasks()[0]["taskArn"]
        aws("ecs").stop_task(cluster=self.cluster, task=arn, reason="a test")
        task = self.job_once(arn, "STOPPED")
        self.assertEqual((task["stopCode"], task["stoppedReason"]), ("UserInitiated", "a test"))
        replaced = until(self.tasks, lambda tasks: tasks and tasks[0]["lastStatus"] == "RUNNING")
        self.assertNotEqual(replaced[0]["taskArn"], arn)

    def test_deleted_service_ends_its_tasks(self):
        self.service(count=1)
        self.rolled()
        pid = fetch(address_of(self.tasks()[0]))["pid"]
        aws("ecs").delete_service(cluster=self.cluster, service=self.name, force=True)
        self.assertEqual(until(self.shown, lambda s: s["status"] == "INACTIVE")["status"], "INACTIVE")
        self.assertFalse(pathlib.Path(f"/proc/{pid}").exists())

    def test_no_process_outlives_the_emulator(self):
        shown = subprocess.run([HERE / "up", "--data-plane"], check=True, capture_output=True, text=True).stdout
        found = dict(re.findall(r"^export (\w+)=(.*)$", shown, flags=re.M))
        emulator, endpoint = int(found["INFRA_EMULATOR_PID"]), found["AWS_ENDPOINT_URL"]
        reset = urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")
        ends = lambda: urllib.request.build_opener(urllib.request.ProxyHandler({})).open(reset).close()  # noqa: E731
        for end in (ends, lambda: os.kill(emulator, signal.SIGKILL)):
            pids = processes(emulator, boto3.client("ecs", endpoint_url=endpoint))
            self.assertEqual(len(pids), 2)
            end()
            alive = lambda: [pid for pid in pids if running(pid)]  # noqa: E731
            self.assertEqual(until(alive, lambda left: not left), [])

    # --- jobs ---

    def test_job_ends_well(self):
        task = self.job(container={"environment": [{"name": "MODE", "value": "serve"}, {"name": "LEVEL", "value": "info"}]})
        self.assertEqual((task["lastStatus"], task["containers"][0]["exitCode"]), ("STOPPED", 0))
        self.assertEqual((task["stopCode"], task["startedBy"]), ("EssentialContainerExited", "test"))
        self.assertEqual(self.log(task), ["job migrate --all of v1", "environment: LEVEL MODE"])
        details = {detail["name"]: detail.get("value") for detail in task["attachments"][0]["details"]}
        self.assertIn(details["subnetId"], self.subnets)

    def test_job_with_a_token_runs_once(self):
        call = {"cluster": self.cluster, "taskDefinition": self.definition("v1"), "networkConfiguration": self.awsvpc()}
        call |= {"launchType": "FARGATE", "clientToken": unique("token")}
        first, again = (aws("ecs").run_task(**call)["tasks"][0]["taskArn"] for _ in range(2))
        self.assertEqual(first, again)
        self.refused("ConflictException", aws("ecs").run_task, **{**call, "count": 2})
        aws("ecs").stop_task(cluster=self.cluster, task=first)

    def test_job_fails(self):
        task = self.job("v1-badjob")
        self.assertEqual(task["containers"][0]["exitCode"], 1)
        self.assertIn("error: migrate --all failed", self.log(task)[-1])

    def test_job_is_stopped(self):
        arn = self.definition("v1")
        call = {"cluster": self.cluster, "taskDefinition": arn, "launchType": "FARGATE"}
        started = aws("ecs").run_task(**call, networkConfiguration=self.awsvpc())["tasks"][0]["taskArn"]
        self.job_once(started, "RUNNING")
        aws("ecs").stop_task(cluster=self.cluster, task=started)
        task = self.job_once(started, "STOPPED")
        self.assertEqual((task["lastStatus"], task["stopCode"]), ("STOPPED", "UserInitiated"))

    def test_secrets(self):
        value = json.dumps({"password": "p"})
        secret = aws("secretsmanager").create_secret(Name=unique("secret"), SecretString=value)["ARN"]
        parameter = unique("/parameter")
        aws("ssm").put_parameter(Name=parameter, Value="x", Type="SecureString")
        found = [{"name": "PASSWORD", "valueFrom": f"{secret}:password::"}, {"name": "WHOLE", "valueFrom": secret}]
        found += [{"name": "PARAMETER", "valueFrom": parameter}]
        task = self.job(container={"secrets": found})
        self.assertIn("environment: MODE PARAMETER PASSWORD WHOLE", self.log(task))
        for source, said in (
            (f"{secret}:user::", "retrieved secret from Secrets Manager did not contain json key user"),
            (f"{secret[:-6]}abcdef", "ResourceNotFoundException: Secrets Manager can't find the specified secret."),
            (f"{secret}::AWSPENDING:", "ResourceNotFoundException: Secrets Manager can't find the specified secret."),
            (f"{parameter}-not", f"invalid parameters: {parameter}-not"),
        ):
            task = self.job(container={"secrets": [{"name": "A", "valueFrom": source}]})
            with self.subTest(source):
                self.assertEqual((task["lastStatus"], task.get("stopCode")), ("STOPPED", "TaskFailedToStart"))
                self.assertIn("ResourceInitializationError: unable to pull secrets or registry auth: ", task["stoppedReason"])
                self.assertIn(said, task["stoppedReason"])

    def test_log_group_that_is_not_there(self):
        options = {"awslogs-group": "none", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "app"}
        task = self.job(container={"logConfiguration": {"logDriver": "awslogs", "options": options}})
        self.assertIn("The specified log group does not exist", task["stoppedReason"])


PORTS = iter(range(8000, 9000))


def running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes(emulator, ecs):
    """The processes of two new tasks."""
    ecs.create_cluster(clusterName="default")
    text = {"name": "app", "image": "shop:v1", "portMappings": [{"containerPort": PORT}], "memory": 128}
    ecs.register_task_definition(family="shop", containerDefinitions=[text])
    ecs.run_task(taskDefinition="shop", count=2)
    threads = pathlib.Path(f"/proc/{emulator}/task")
    return until(lambda: children(threads), lambda pids: len(pids) == 2)


def children(threads):
    try:
        return [pid for each in threads.iterdir() for pid in (each / "children").read_text().split()]
    except OSError:  # a thread has ended in between
        return []


def address_of(task):
    return next(detail["value"] for detail in task["attachments"][0]["details"] if detail["name"] == "privateIPv4Address")


def open_request(address, path):
    """A request that has been sent and whose answer nobody has read."""
    import http.client

    connection = http.client.HTTPConnection(address, PORT, timeout=10)
    connection.request("GET", path)
    return connection
