"""Scalers, namespaces, schedules and traces."""

import time

from . import TAGS, Case, aws, unique

DIMENSION = "ecs:service:DesiredCount"


def indexed(arn):
    """The tags that GetResources knows of an ARN."""
    found = aws("resourcegroupstaggingapi").get_resources(ResourceARNList=[arn])["ResourceTagMappingList"]
    return [tag for resource in found for tag in resource["Tags"]]


class ApplicationAutoScaling(Case):
    def setUp(self):
        self.network()
        ecs, name = aws("ecs"), unique("scaled")
        ecs.create_cluster(clusterName=name)
        containers = [{"name": "app", "image": "nginx:1", "memory": 128}]
        roles = {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
        ecs.register_task_definition(family=name, containerDefinitions=containers, **roles)
        awsvpc = {"awsvpcConfiguration": {"subnets": self.subnets}}
        ecs.create_service(cluster=name, serviceName=name, taskDefinition=name, desiredCount=0, launchType="FARGATE", networkConfiguration=awsvpc)
        self.of = {"ServiceNamespace": "ecs", "ResourceId": f"service/{name}/{name}", "ScalableDimension": DIMENSION}

    def register(self, **keywords):
        call = {**self.of, "MinCapacity": 1, "MaxCapacity": 4, "Tags": {"a": "b"}, **keywords}
        return aws("application-autoscaling").register_scalable_target(**call)["ScalableTargetARN"]

    def policy(self, value):
        metric = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
        tracking = {"TargetValue": value, "PredefinedMetricSpecification": metric}
        call = {**self.of, "PolicyName": "cpu", "PolicyType": "TargetTrackingScaling"}
        return aws("application-autoscaling").put_scaling_policy(**call, TargetTrackingScalingPolicyConfiguration=tracking)

    def test_targets_have_tags(self):
        arn = self.register()
        scaling = aws("application-autoscaling")
        scaling.tag_resource(ResourceARN=arn, Tags={"c": "d"})
        scaling.untag_resource(ResourceARN=arn, TagKeys=["a"])
        self.assertEqual(scaling.list_tags_for_resource(ResourceARN=arn)["Tags"], {"c": "d"})
        self.assertEqual(indexed(arn), [{"Key": "c", "Value": "d"}])

    def test_targets_run_until_they_are_suspended(self):
        self.register()
        described = aws("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
        target = next(each for each in described if each["ResourceId"] == self.of["ResourceId"])
        self.assertFalse(target["SuspendedState"]["DynamicScalingOutSuspended"])
        self.assertIn("AWSServiceRoleForApplicationAutoScaling", target["RoleARN"])

    def test_policies_need_a_target_and_go_with_it(self):
        scaling = aws("application-autoscaling")
        self.refused("ObjectNotFoundException", self.policy, 50)
        self.register()
        first = self.policy(50)
        second = self.policy(60)
        self.assertEqual(first["PolicyARN"], second["PolicyARN"])
        prefix = f"TargetTracking-{self.of['ResourceId']}"
        alarms = aws("cloudwatch").describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
        self.assertEqual(len(alarms), 2)
        scaling.deregister_scalable_target(**self.of)
        self.assertEqual(scaling.describe_scaling_policies(**self.of)["ScalingPolicies"], [])
        self.refused("ObjectNotFoundException", scaling.deregister_scalable_target, **self.of)


class ServiceDiscovery(Case):
    def made(self, name, **keywords):
        cloud = aws("servicediscovery")
        operation = cloud.create_http_namespace(Name=name, **keywords)["OperationId"]
        self.assertEqual(cloud.get_operation(OperationId=operation)["Operation"]["Status"], "PENDING")
        while not (found := self.listed(name)):
            time.sleep(0.05)
        return found[0]

    def listed(self, name):
        filters = [{"Name": "TYPE", "Values": ["HTTP"]}, {"Name": "NAME", "Values": [name]}]
        return aws("servicediscovery").list_namespaces(Filters=filters)["Namespaces"]

    def test_a_namespace_is_made_in_its_own_time(self):
        name = unique("ns")
        namespace = self.made(name, Tags=TAGS, CreatorRequestId="one")
        self.assertNotIn("DnsProperties", namespace["Properties"])
        self.assertEqual(indexed(namespace["Arn"]), TAGS)
        create = aws("servicediscovery").create_http_namespace
        self.refused("NamespaceAlreadyExists", create, Name=name, CreatorRequestId="two")
        self.refused("DuplicateRequest", create, Name=name, CreatorRequestId="one")

    def test_a_description_changes(self):
        name = unique("ns")
        namespace = self.made(name)
        aws("servicediscovery").update_http_namespace(Id=namespace["Id"], Namespace={"Description": "new"})
        self.assertEqual(self.listed(name)[0]["Description"], "new")

    def test_services_hold_their_namespace(self):
        namespace = self.made(unique("ns"))
        cloud = aws("servicediscovery")
        service = cloud.create_service(Name="s", NamespaceId=namespace["Id"])["Service"]["Id"]
        self.refused("ResourceInUse", cloud.delete_namespace, Id=namespace["Id"])
        cloud.delete_service(Id=service)
        cloud.delete_namespace(Id=namespace["Id"])
        self.refused("NamespaceNotFound", cloud.get_namespace, Id=namespace["Id"])


class Scheduler(Case):
    def group(self):
        name = unique("group")
        return name, aws("scheduler").create_schedule_group(Name=name, Tags=TAGS)["ScheduleGroupArn"]

    def test_groups_are_unique_and_indexed(self):
        name, arn = self.group()
        self.refused("ConflictException", aws("scheduler").create_schedule_group, Name=name)
        self.assertEqual(indexed(arn), TAGS)
        aws("scheduler").delete_schedule_group(Name=name)
        self.refused("ResourceNotFoundException", aws("scheduler").delete_schedule_group, Name=name)

    def test_an_update_replaces_all(self):
        name, _ = self.group()
        target = {"Arn": "arn:aws:sqs:us-east-1:123456789012:q", "RoleArn": "arn:aws:iam::123456789012:role/r"}
        call = {"GroupName": name, "Name": "s", "ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"}}
        self.refused("ResourceNotFoundException", aws("scheduler").create_schedule, **{**call, "GroupName": "none"}, Target=target)
        aws("scheduler").create_schedule(**call, State="DISABLED", Target={**target, "RetryPolicy": {"MaximumRetryAttempts": 2}})
        schedule = aws("scheduler").get_schedule(GroupName=name, Name="s")
        self.assertEqual(schedule["Target"]["RetryPolicy"], {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 2})
        self.assertEqual(schedule["ActionAfterCompletion"], "NONE")
        aws("scheduler").update_schedule(**call, Target=target)
        self.assertEqual(aws("scheduler").get_schedule(GroupName=name, Name="s")["State"], "ENABLED")


class XRay(Case):
    def test_sampling_rules(self):
        xray, name = aws("xray"), unique("rule")
        rule = {"RuleName": name, "ResourceARN": "*", "Priority": 5, "FixedRate": 0.1, "ReservoirSize": 1, "Version": 1}
        rule |= {"ServiceName": "*", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*"}
        arn = xray.create_sampling_rule(SamplingRule=rule, Tags=TAGS)["SamplingRuleRecord"]["SamplingRule"]["RuleARN"]
        self.refused("InvalidRequestException", xray.create_sampling_rule, SamplingRule=rule)
        self.assertEqual(indexed(arn), TAGS)
        xray.update_sampling_rule(SamplingRuleUpdate={"RuleName": name, "FixedRate": 0.5})
        rules = {each["SamplingRule"]["RuleName"]: each["SamplingRule"] for each in xray.get_sampling_rules()["SamplingRuleRecords"]}
        self.assertEqual((rules[name]["FixedRate"], rules[name]["Priority"]), (0.5, 5))
        self.refused("InvalidRequestException", xray.delete_sampling_rule, RuleName="Default")
        xray.delete_sampling_rule(RuleName=name)
        self.refused("InvalidRequestException", xray.delete_sampling_rule, RuleName=name)

    def test_groups(self):
        xray, name = aws("xray"), unique("group")
        arn = xray.create_group(GroupName=name, FilterExpression="fault", Tags=TAGS)["Group"]["GroupARN"]
        self.refused("InvalidRequestException", xray.create_group, GroupName=name)
        xray.tag_resource(ResourceARN=arn, Tags=[{"Key": "a", "Value": "b"}])
        xray.untag_resource(ResourceARN=arn, TagKeys=[tag["Key"] for tag in TAGS])
        self.assertEqual(xray.list_tags_for_resource(ResourceARN=arn)["Tags"], [{"Key": "a", "Value": "b"}])
        xray.update_group(GroupName=name, FilterExpression="error")
        group = next(each for each in xray.get_groups()["Groups"] if each["GroupName"] == name)
        self.assertEqual((group["FilterExpression"], group["InsightsConfiguration"]["InsightsEnabled"]), ("error", False))
        xray.delete_group(GroupARN=arn)
        self.refused("InvalidRequestException", xray.get_group, GroupName=name)
