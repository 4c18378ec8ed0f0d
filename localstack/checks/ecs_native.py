"""Deployments that ECS itself carries out."""

import time

from . import Case, aws, unique

PAUSE = {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]}
CONFIGURATION = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1, "maximumPercent": 200, "minimumHealthyPercent": 100}


class NativeDeployments(Case):
    def setUp(self):
        self.network()
        ecs, self.name = aws("ecs"), unique("native")
        ecs.create_cluster(clusterName=self.name)
        self.first, self.second = self.revision("app:1"), self.revision("app:2")
        elb, balancer = aws("elbv2"), self.balancer()["LoadBalancerArn"]
        self.blue, self.green = self.target_group(), self.target_group()
        listener = self.listener(balancer)
        self.rules = []
        for priority, weights in [(2, (100, 0)), (1, (0, 100))]:
            tuples = [{"TargetGroupArn": g, "Weight": w} for g, w in zip((self.blue, self.green), weights)]
            action = {"Type": "forward", "ForwardConfig": {"TargetGroups": tuples}}
            condition = {"Field": "path-pattern", "Values": [f"/{priority}/*"]}
            rule = elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=[condition], Actions=[action])
            self.rules.append(rule["Rules"][0]["RuleArn"])
        advanced = {"alternateTargetGroupArn": self.green, "roleArn": "arn:aws:iam::123456789012:role/ecs"}
        advanced |= {"productionListenerRule": self.rules[0], "testListenerRule": self.rules[1]}
        binding = {"targetGroupArn": self.blue, "containerName": "app", "containerPort": 80, "advancedConfiguration": advanced}
        self.service = ecs.create_service(
            cluster=self.name,
            serviceName=self.name,
            taskDefinition=self.first,
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": self.subnets}},
            loadBalancers=[binding],
            deploymentConfiguration=CONFIGURATION | {"bakeTimeInMinutes": 0},
        )["service"]
        self.until("SUCCESSFUL")
        self.update(deploymentConfiguration=CONFIGURATION | {"lifecycleHooks": [PAUSE]})

    def revision(self, image):
        sizes = {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
        container = {"name": "app", "image": image, "portMappings": [{"containerPort": 80}]}
        call = {"family": self.name, "containerDefinitions": [container], **sizes}
        return aws("ecs").register_task_definition(**call)["taskDefinition"]["taskDefinitionArn"]

    def update(self, **keywords):
        return aws("ecs").update_service(cluster=self.name, service=self.name, **keywords)["service"]

    def described(self):
        return aws("ecs").describe_services(cluster=self.name, services=[self.name])["services"][0]

    def newest(self):
        ecs = aws("ecs")
        brief = ecs.list_service_deployments(cluster=self.name, service=self.name)["serviceDeployments"][0]
        arns = [brief["serviceDeploymentArn"]]
        return ecs.describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"][0]

    def until(self, wanted):
        """The newest deployment, once it is at this stage, has this status, or waits for somebody."""
        for _ in range(200):
            newest = self.newest()
            hooks = [hook["status"] for hook in newest.get("lifecycleHookDetails", [])]
            if wanted in [newest["status"], newest.get("lifecycleStage"), *hooks]:
                return newest
            time.sleep(0.05)
        self.fail(f"never {wanted}: {newest}")

    def weights(self, rule):
        actions = aws("elbv2").describe_rules(RuleArns=[rule])["Rules"][0]["Actions"]
        tuples = {each["TargetGroupArn"]: each["Weight"] for each in actions[0]["ForwardConfig"]["TargetGroups"]}
        return tuples[self.blue], tuples[self.green]

    def proceed(self, newest, **keywords):
        hook = newest["lifecycleHookDetails"][0]["hookId"]
        call = {"serviceDeploymentArn": newest["serviceDeploymentArn"], "hookId": hook, **keywords}
        return aws("ecs").continue_service_deployment(**call)

    def test_settings_read_back(self):
        service = self.described()
        self.assertEqual(service["loadBalancers"][0]["advancedConfiguration"]["alternateTargetGroupArn"], self.green)
        configuration = service["deploymentConfiguration"]
        self.assertEqual((configuration["strategy"], configuration["lifecycleHooks"]), ("BLUE_GREEN", [PAUSE]))
        count = len(aws("ecs").list_service_deployments(cluster=self.name, service=self.name)["serviceDeployments"])
        self.assertEqual(count, 1, "a change of the configuration deploys nothing")

    def test_a_deployment_waits_and_goes_on(self):
        self.update(taskDefinition=self.second)
        newest = self.until("AWAITING_ACTION")
        self.assertEqual((newest["status"], newest["lifecycleStage"]), ("IN_PROGRESS", "POST_TEST_TRAFFIC_SHIFT"))
        self.assertEqual((self.weights(self.rules[0]), self.weights(self.rules[1])), ((100, 0), (0, 100)))
        self.assertEqual(len(aws("ecs").list_tasks(cluster=self.name, serviceName=self.name)["taskArns"]), 2)
        target = newest["targetServiceRevision"]
        revision = aws("ecs").describe_service_revisions(serviceRevisionArns=[target["arn"]])["serviceRevisions"][0]
        self.assertEqual((revision["taskDefinition"], target["runningTaskCount"]), (self.second, 1))
        self.proceed(newest)
        self.until("BAKE_TIME")
        self.assertEqual(self.weights(self.rules[0]), (0, 100))
        done = self.until("SUCCESSFUL")
        self.refused("ConflictException", aws("ecs").stop_service_deployment, serviceDeploymentArn=done["serviceDeploymentArn"])
        self.refused("InvalidParameterException", self.proceed, newest)
        self.assertEqual(len(aws("ecs").list_tasks(cluster=self.name, serviceName=self.name)["taskArns"]), 1)
        # The next one goes the other way.
        self.update(taskDefinition=self.first)
        self.proceed(self.until("AWAITING_ACTION"))
        self.until("BAKE_TIME")
        self.assertEqual(self.weights(self.rules[0]), (100, 0))

    def test_a_deployment_is_taken_back(self):
        self.update(taskDefinition=self.second)
        self.proceed(self.until("AWAITING_ACTION"), action="ROLLBACK")
        self.until("ROLLBACK_SUCCESSFUL")
        self.assertEqual(self.described()["taskDefinition"], self.first)
        self.update(taskDefinition=self.second)
        self.proceed(self.until("AWAITING_ACTION"))
        newest = self.until("BAKE_TIME")
        arn = newest["serviceDeploymentArn"]
        aws("ecs").stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
        self.assertEqual(self.weights(self.rules[0]), (100, 0))
        newest = self.until("ROLLBACK_SUCCESSFUL")
        self.assertIn("user", newest["rollback"]["reason"])

    def test_an_alarm_takes_a_deployment_back(self):
        cloudwatch = aws("cloudwatch")
        call = {"Namespace": "a", "MetricName": "a", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1, "Statistic": "Sum"}
        cloudwatch.put_metric_alarm(AlarmName=self.name, ComparisonOperator="GreaterThanThreshold", **call)
        alarms = {"alarmNames": [self.name], "enable": True, "rollback": True}
        self.update(taskDefinition=self.second, deploymentConfiguration={"alarms": alarms})
        self.until("AWAITING_ACTION")
        cloudwatch.set_alarm_state(AlarmName=self.name, StateValue="ALARM", StateReason="test")
        newest = self.until("ROLLBACK_SUCCESSFUL")
        self.assertEqual(newest["alarms"]["triggeredAlarmNames"], [self.name])
