"""What the tests of the corrections share. Each module beside this one tests those of one service."""

import itertools
import json
import os
import time
import unittest
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

TAGS = [{"Key": "infra:project", "Value": "acme"}, {"Key": "Name", "Value": "n"}]
ECS_TAGS = [{"key": tag["Key"], "value": tag["Value"]} for tag in TAGS]
OURS = [{"Name": "tag:infra:project", "Values": ["acme"]}]
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
NUMBERS = itertools.count(int(time.time()) % 100_000)
CLIENTS = {}


def aws(service):
    if service not in CLIENTS:
        CLIENTS[service] = boto3.client(service, config=Config(retries={"total_max_attempts": 1}))
    return CLIENTS[service]


def indexed(**keywords):
    """What GetResources knows of the project, by ARN."""
    client = boto3.client("resourcegroupstaggingapi", **keywords)
    pages = client.get_paginator("get_resources").paginate(TagFilters=[{"Key": "infra:project", "Values": ["acme"]}])
    return {each["ResourceARN"]: each["Tags"] for page in pages for each in page["ResourceTagMappingList"]}


def settings(part, **changes):
    """The settings of a part of the emulator and what it tells beside, after the changes."""
    data = json.dumps(changes).encode() if changes else None
    request = urllib.request.Request(f"{os.environ['AWS_ENDPOINT_URL']}/_emulator/{part}", data=data)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return json.load(answer)


def unique(prefix):
    return f"{prefix}-{next(NUMBERS)}"


def specification(kind):
    return [{"ResourceType": kind, "Tags": TAGS}]


class Case(unittest.TestCase):
    maxDiff = None

    def refused(self, code, call, *arguments, **keywords):
        with self.assertRaises(ClientError) as raised:
            call(*arguments, **keywords)
        self.assertEqual(raised.exception.response["Error"]["Code"], code)

    def network(self, gateway=True):
        """A VPC with two subnets, a group and, if wanted, an attached gateway."""
        ec2 = aws("ec2")
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        zones = [("10.0.0.0/24", "us-east-1a"), ("10.0.1.0/24", "us-east-1b")]
        made = [ec2.create_subnet(VpcId=self.vpc, CidrBlock=c, AvailabilityZone=z)["Subnet"] for c, z in zones]
        self.subnets = [subnet["SubnetId"] for subnet in made]
        self.group = ec2.create_security_group(GroupName="a", Description="a", VpcId=self.vpc)["GroupId"]
        if gateway:
            self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
            ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)

    def nat(self, **keywords):
        address = aws("ec2").allocate_address(Domain="vpc")["AllocationId"]
        call = {"SubnetId": self.subnets[0], "AllocationId": address, **keywords}
        return aws("ec2").create_nat_gateway(**call)["NatGateway"]["NatGatewayId"], address

    def balancer(self, **keywords):
        call = {"Name": unique("lb"), "Subnets": self.subnets, "SecurityGroups": [self.group], **keywords}
        return aws("elbv2").create_load_balancer(**call)["LoadBalancers"][0]

    def target_group(self, **keywords):
        call = {"Name": unique("tg"), "Protocol": "HTTP", "Port": 80, "VpcId": self.vpc, "TargetType": "ip", **keywords}
        return aws("elbv2").create_target_group(**call)["TargetGroups"][0]["TargetGroupArn"]

    def listener(self, balancer, **keywords):
        nothing = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
        call = {"LoadBalancerArn": balancer, "Port": 80, "Protocol": "HTTP", "DefaultActions": nothing, **keywords}
        return aws("elbv2").create_listener(**call)["Listeners"][0]["ListenerArn"]
