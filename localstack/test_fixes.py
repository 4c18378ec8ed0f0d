#!/usr/bin/env python3
"""Shows each correction of localstack/fixes: what a client sees is what AWS answers.

    localstack/test_fixes.py                   every test passes
    localstack/test_fixes.py --without-fixes   on plain moto: every test must fail, else its correction is not needed
    localstack/test_fixes.py Ecs.test_name     one test
"""

import importlib
import json
import os
import pathlib
import pkgutil
import re
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent

try:
    import boto3
    import cbor2
except ImportError:  # not in the emulator's virtual environment yet
    found = subprocess.run([HERE / "up", "--requirements-only"], check=True, stdout=subprocess.PIPE, text=True)
    python = found.stdout.strip()
    os.execv(python, [python, *sys.argv])

from checks import ECS_TAGS, OURS, TAGS, TRUST, Case, aws, specification, unique


class Ec2(Case):
    def test_dry_run_does_nothing(self):
        self.refused("DryRunOperation", aws("ec2").create_vpc, CidrBlock="10.0.0.0/16", DryRun=True)

    def test_max_results_bounds_a_page(self):
        self.assertEqual(len(aws("ec2").describe_subnets(MaxResults=5)["Subnets"]), 5)

    def test_zones_say_that_they_need_no_opt_in(self):
        zones = aws("ec2").describe_availability_zones()["AvailabilityZones"]
        self.assertEqual({zone.get("OptInStatus") for zone in zones}, {"opt-in-not-required"})

    def test_client_token_makes_creation_idempotent(self):
        self.network()
        token = unique("token")
        tables = [aws("ec2").create_route_table(VpcId=self.vpc, ClientToken=token)["RouteTable"] for _ in range(2)]
        self.assertEqual(tables[0]["RouteTableId"], tables[1]["RouteTableId"])

    def test_a_launched_interface_goes_with_its_instance(self):
        self.network()
        launch = {"ImageId": "ami-12c6146b", "MinCount": 1, "MaxCount": 1, "SubnetId": self.subnets[0]}
        instance = aws("ec2").run_instances(**launch)["Instances"][0]["InstanceId"]
        self.refused("DependencyViolation", aws("ec2").delete_subnet, SubnetId=self.subnets[0])
        aws("ec2").terminate_instances(InstanceIds=[instance])
        aws("ec2").delete_subnet(SubnetId=self.subnets[0])

    def test_subnet_in_use_is_not_deleted(self):
        self.network()
        self.nat()
        self.refused("DependencyViolation", aws("ec2").delete_subnet, SubnetId=self.subnets[0])

    def test_deleted_subnet_takes_its_association_along(self):
        self.network()
        table = aws("ec2").create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        aws("ec2").associate_route_table(RouteTableId=table, SubnetId=self.subnets[0])
        aws("ec2").delete_subnet(SubnetId=self.subnets[0])
        left = aws("ec2").describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Associations"]
        self.assertEqual(left, [])

    def test_vpc_with_a_gateway_is_not_deleted(self):
        self.network()
        aws("ec2").delete_security_group(GroupId=self.group)
        for subnet in self.subnets:
            aws("ec2").delete_subnet(SubnetId=subnet)
        self.refused("DependencyViolation", aws("ec2").delete_vpc, VpcId=self.vpc)

    def test_one_gateway_a_vpc(self):
        self.network()
        other = aws("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        attach = aws("ec2").attach_internet_gateway
        self.refused("InvalidParameterValue", attach, InternetGatewayId=other, VpcId=self.vpc)

    def test_gateway_stays_while_addresses_are_mapped(self):
        self.network()
        self.nat()
        detach = aws("ec2").detach_internet_gateway
        self.refused("DependencyViolation", detach, InternetGatewayId=self.gateway, VpcId=self.vpc)

    def test_allocated_address_says_its_border_group(self):
        self.assertEqual(aws("ec2").allocate_address(Domain="vpc").get("NetworkBorderGroup"), "us-east-1")

    def test_address_in_use_is_not_released(self):
        self.network()
        _, address = self.nat()
        self.refused("InvalidIPAddress.InUse", aws("ec2").release_address, AllocationId=address)

    def test_nat_gateway_is_described_in_full(self):
        self.network()
        gateway, address = self.nat()
        described = aws("ec2").describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"][0]
        self.assertEqual(described.get("ConnectivityType"), "public")
        of_address = described["NatGatewayAddresses"][0]
        self.assertEqual((of_address["AllocationId"], of_address.get("IsPrimary")), (address, True))

    def test_nat_gateway_without_internet_gateway_fails(self):
        self.network(gateway=False)
        gateway, _ = self.nat()
        described = aws("ec2").describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"][0]
        self.assertEqual((described["State"], described.get("FailureCode")), ("failed", "Gateway.NotAttached"))

    def test_nat_gateways_filter_by_tag(self):
        self.network()
        self.nat()
        named = self.nat(SubnetId=self.subnets[1], TagSpecifications=specification("natgateway"))[0]
        filters = [*OURS, {"Name": "vpc-id", "Values": [self.vpc]}]
        found = aws("ec2").describe_nat_gateways(Filter=filters)["NatGateways"]
        self.assertEqual([gateway["NatGatewayId"] for gateway in found], [named])

    def test_deleted_nat_gateway_frees_its_address(self):
        self.network()
        gateway, address = self.nat()
        aws("ec2").delete_nat_gateway(NatGatewayId=gateway)
        freed = aws("ec2").describe_addresses(AllocationIds=[address])["Addresses"][0]
        self.assertNotIn("AssociationId", freed)

    def test_route_to_a_deleted_gateway_is_a_black_hole(self):
        self.network()
        gateway, _ = self.nat()
        table = aws("ec2").create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        aws("ec2").create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway)
        aws("ec2").delete_nat_gateway(NatGatewayId=gateway)
        routes = aws("ec2").describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        self.assertEqual([r["State"] for r in routes if r["DestinationCidrBlock"] == "0.0.0.0/0"], ["blackhole"])

    def test_route_to_an_unattached_gateway_is_refused(self):
        self.network(gateway=False)
        gateway = aws("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        call = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}
        for verb in ("create_route", "replace_route"):
            table = aws("ec2").create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
            self.refused("InvalidParameterValue", getattr(aws("ec2"), verb), RouteTableId=table, **call)

    def test_subnet_with_a_table_takes_no_other(self):
        self.network()
        tables = [aws("ec2").create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"] for _ in range(2)]
        aws("ec2").associate_route_table(RouteTableId=tables[0], SubnetId=self.subnets[0])
        call = {"RouteTableId": tables[1], "SubnetId": self.subnets[0]}
        self.refused("Resource.AlreadyAssociated", aws("ec2").associate_route_table, **call)


class SecurityGroups(Case):
    def setUp(self):
        self.network(gateway=False)
        self.other = aws("ec2").create_security_group(GroupName="b", Description="b", VpcId=self.vpc)["GroupId"]

    def authorize(self, *permissions, **keywords):
        call = {"GroupId": self.group, "IpPermissions": list(permissions), **keywords}
        return aws("ec2").authorize_security_group_ingress(**call)["SecurityGroupRules"]

    def rules(self):
        filters = [{"Name": "group-id", "Values": [self.group]}]
        return aws("ec2").describe_security_group_rules(Filters=filters)["SecurityGroupRules"]

    def of_group(self, port=80, **more):
        pairs = [{"GroupId": self.other, **more}]
        return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": pairs}

    def test_rule_of_a_group_has_a_description(self):
        made = self.authorize(self.of_group(Description="d"))[0]["SecurityGroupRuleId"]
        self.assertEqual([r.get("Description") for r in self.rules() if r["SecurityGroupRuleId"] == made], ["d"])

    def test_rule_names_its_owner(self):
        self.assertEqual({rule.get("GroupOwnerId") for rule in self.rules()}, {"123456789012"})

    def test_duplicate_is_refused_whatever_its_description(self):
        self.authorize(self.of_group(Description="d"))
        self.refused("InvalidPermission.Duplicate", self.authorize, self.of_group(Description="e"))

    def test_all_rules_of_a_call_are_answered_or_none_made(self):
        self.assertEqual(len(self.authorize(self.of_group(1), self.of_group(2))), 2)
        before = len(self.rules())
        self.refused("InvalidPermission.Duplicate", self.authorize, self.of_group(3), self.of_group(1))
        self.assertEqual(len(self.rules()), before)

    def test_description_changes_by_rule_id(self):
        made = self.authorize(self.of_group(Description="d"))[0]["SecurityGroupRuleId"]
        changes = [{"SecurityGroupRuleId": made, "Description": "new"}]
        update = aws("ec2").update_security_group_rule_descriptions_ingress
        update(GroupId=self.group, SecurityGroupRuleDescriptions=changes)
        self.assertEqual([r.get("Description") for r in self.rules() if r["SecurityGroupRuleId"] == made], ["new"])

    def test_revoking_twice_is_not_found(self):
        call = {"GroupId": self.group, "SecurityGroupRuleIds": [self.authorize(self.of_group())[0]["SecurityGroupRuleId"]]}
        aws("ec2").revoke_security_group_ingress(**call)
        self.refused("InvalidSecurityGroupRuleId.NotFound", aws("ec2").revoke_security_group_ingress, **call)

    def test_referenced_group_is_not_deleted(self):
        self.authorize(self.of_group())
        self.refused("DependencyViolation", aws("ec2").delete_security_group, GroupId=self.other)

    def test_group_of_an_interface_is_not_deleted(self):
        aws("ec2").create_network_interface(SubnetId=self.subnets[0], Groups=[self.group])
        self.refused("DependencyViolation", aws("ec2").delete_security_group, GroupId=self.group)

    def test_default_group_is_not_deleted(self):
        filters = [{"Name": "vpc-id", "Values": [self.vpc]}, {"Name": "group-name", "Values": ["default"]}]
        default = aws("ec2").describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]
        self.refused("CannotDelete", aws("ec2").delete_security_group, GroupId=default)

    def test_reserved_names_are_refused(self):
        call = {"GroupName": "sg-x", "Description": "d", "VpcId": self.vpc}
        self.refused("InvalidParameterValue", aws("ec2").create_security_group, **call)


class Elbv2(Case):
    def setUp(self):
        self.network()
        self.elb = aws("elbv2")

    def certificate(self):
        """An issued one."""
        arn = aws("acm").request_certificate(DomainName="a.example.com", ValidationMethod="DNS")["CertificateArn"]
        deadline = time.monotonic() + 90
        while aws("acm").describe_certificate(CertificateArn=arn)["Certificate"]["Status"] != "ISSUED":
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
        return arn

    def test_same_balancer_again_is_the_same(self):
        first = self.balancer()
        self.assertEqual(self.balancer(Name=first["LoadBalancerName"])["LoadBalancerArn"], first["LoadBalancerArn"])

    def test_other_balancer_of_that_name_is_refused(self):
        name = self.balancer()["LoadBalancerName"]
        self.refused("DuplicateLoadBalancerName", self.balancer, Name=name, Scheme="internal")

    def test_balancer_attributes_have_their_defaults(self):
        arn = self.balancer()["LoadBalancerArn"]
        shown = self.elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        values = {attribute["Key"]: attribute["Value"] for attribute in shown}
        self.assertEqual((values.get("idle_timeout.timeout_seconds"), values.get("routing.http2.enabled")), ("60", "true"))

    def test_deletion_protection(self):
        arn = self.balancer()["LoadBalancerArn"]
        on = [{"Key": "deletion_protection.enabled", "Value": "true"}]
        self.elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=on)
        self.refused("OperationNotPermitted", self.elb.delete_load_balancer, LoadBalancerArn=arn)

    def test_unknown_name_beside_a_known_one(self):
        name = self.balancer()["LoadBalancerName"]
        self.refused("LoadBalancerNotFound", self.elb.describe_load_balancers, Names=[name, "none"])

    def test_same_target_group_again_is_the_same(self):
        name = unique("tg")
        self.assertEqual(self.target_group(Name=name), self.target_group(Name=name))

    def test_target_group_attributes_have_their_defaults(self):
        shown = self.elb.describe_target_group_attributes(TargetGroupArn=self.target_group())["Attributes"]
        values = {attribute["Key"]: attribute["Value"] for attribute in shown}
        self.assertEqual(values.get("stickiness.lb_cookie.duration_seconds"), "86400")

    def test_target_is_an_id_and_a_port(self):
        arn = self.target_group()
        self.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.0.0.5", "Port": p} for p in (80, 81)])
        shown = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        self.assertEqual(sorted(one["Target"]["Port"] for one in shown), [80, 81])

    def test_target_is_unused_until_a_balancer_sends_to_it(self):
        arn = self.target_group()
        self.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.0.0.5"}])
        shown = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        self.assertEqual(shown[0]["TargetHealth"]["State"], "unused")

    def test_target_group_names_its_balancers_of_now(self):
        group, balancer = self.target_group(), self.balancer()["LoadBalancerArn"]
        listener = self.listener(balancer, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
        self.elb.delete_listener(ListenerArn=listener)
        described = self.elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]
        self.assertEqual(described["LoadBalancerArns"], [])

    def test_deleting_a_target_group_twice_succeeds(self):
        arn = self.target_group()
        self.elb.delete_target_group(TargetGroupArn=arn)
        self.elb.delete_target_group(TargetGroupArn=arn)

    def test_port_is_taken_once(self):
        balancer = self.balancer()["LoadBalancerArn"]
        self.listener(balancer)
        self.refused("DuplicateListener", self.listener, balancer)

    def test_forward_reads_back_both_ways(self):
        group = self.target_group()
        arn = self.listener(self.balancer()["LoadBalancerArn"], DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
        action = self.elb.describe_listeners(ListenerArns=[arn])["Listeners"][0]["DefaultActions"][0]
        self.assertEqual(action["TargetGroupArn"], group)
        self.assertEqual(action.get("ForwardConfig", {}).get("TargetGroups"), [{"TargetGroupArn": group, "Weight": 1}])

    def test_redirect_reads_back_in_full(self):
        config = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
        arn = self.listener(
            self.balancer()["LoadBalancerArn"], DefaultActions=[{"Type": "redirect", "RedirectConfig": config}]
        )
        action = self.elb.describe_listeners(ListenerArns=[arn])["Listeners"][0]["DefaultActions"][0]
        full = {**config, "Host": "#{host}", "Path": "/#{path}", "Query": "#{query}"}
        self.assertEqual(action["RedirectConfig"], full)

    def test_conditions_read_back_both_ways(self):
        listener = self.listener(self.balancer()["LoadBalancerArn"])
        actions = [{"Type": "forward", "TargetGroupArn": self.target_group()}]
        conditions = [{"Field": "path-pattern", "Values": ["/a"]}]
        self.elb.create_rule(ListenerArn=listener, Priority=2, Conditions=conditions, Actions=actions)
        shown = self.elb.describe_rules(ListenerArn=listener)["Rules"][0]["Conditions"][0]
        self.assertEqual(shown.get("PathPatternConfig"), {"Values": ["/a"]})

    def test_rules_come_by_priority(self):
        listener = self.listener(self.balancer()["LoadBalancerArn"])
        actions = [{"Type": "forward", "TargetGroupArn": self.target_group()}]
        for priority in (5, 3):
            conditions = [{"Field": "path-pattern", "Values": [f"/{priority}"]}]
            self.elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=conditions, Actions=actions)
        shown = self.elb.describe_rules(ListenerArn=listener)["Rules"]
        self.assertEqual([rule["Priority"] for rule in shown], ["3", "5", "default"])

    def test_default_rule_is_not_deleted(self):
        rules = self.elb.describe_rules(ListenerArn=self.listener(self.balancer()["LoadBalancerArn"]))["Rules"]
        self.refused("OperationNotPermitted", self.elb.delete_rule, RuleArn=rules[-1]["RuleArn"])

    def test_plain_listener_has_no_policy(self):
        arn = self.listener(self.balancer()["LoadBalancerArn"])
        shown = self.elb.describe_listeners(ListenerArns=[arn])["Listeners"][0]
        self.assertNotIn("SslPolicy", shown)
        self.assertNotIn("AlpnPolicy", shown)

    def test_https_listener_needs_a_certificate(self):
        balancer = self.balancer()["LoadBalancerArn"]
        self.refused("ValidationError", self.listener, balancer, Protocol="HTTPS", Port=443)

    def test_https_listener_needs_an_issued_certificate(self):
        arn = aws("acm").request_certificate(DomainName="a.example.com", ValidationMethod="DNS")["CertificateArn"]
        call = {"Protocol": "HTTPS", "Port": 443, "Certificates": [{"CertificateArn": arn}]}
        self.refused("UnsupportedCertificate", self.listener, self.balancer()["LoadBalancerArn"], **call)

    def test_listener_shows_its_default_certificate_only(self):
        first, second = self.certificate(), self.certificate()
        call = {"Protocol": "HTTPS", "Port": 443, "Certificates": [{"CertificateArn": first}]}
        arn = self.listener(self.balancer()["LoadBalancerArn"], **call)
        self.elb.add_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": second}])
        shown = self.elb.describe_listeners(ListenerArns=[arn])["Listeners"][0]
        self.assertEqual(shown["Certificates"], [{"CertificateArn": first}])
        self.assertEqual(shown.get("MutualAuthentication"), {"Mode": "off"})

    def test_listener_attributes_have_their_defaults(self):
        arn = self.listener(self.balancer()["LoadBalancerArn"])
        shown = self.elb.describe_listener_attributes(ListenerArn=arn)["Attributes"]
        self.assertIn({"Key": "routing.http.response.server.enabled", "Value": "true"}, shown)

    def test_more_than_ten_tags(self):
        arn = self.balancer()["LoadBalancerArn"]
        for start in (0, 10):
            tags = [{"Key": f"k{start + n}", "Value": "v"} for n in range(10)]
            self.elb.add_tags(ResourceArns=[arn], Tags=tags)

    def test_tags_of_nothing(self):
        arn = self.balancer()["LoadBalancerArn"]
        self.elb.delete_load_balancer(LoadBalancerArn=arn)
        self.refused("LoadBalancerNotFound", self.elb.describe_tags, ResourceArns=[arn])

    def test_group_of_a_balancer_is_not_deleted(self):
        self.balancer()
        self.refused("DependencyViolation", aws("ec2").delete_security_group, GroupId=self.group)

    def test_certificate_in_use_is_not_deleted(self):
        arn = self.certificate()
        balancer = self.balancer()["LoadBalancerArn"]
        self.listener(balancer, Protocol="HTTPS", Port=443, Certificates=[{"CertificateArn": arn}])
        self.assertEqual(aws("acm").describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"], [balancer])
        self.refused("ResourceInUseException", aws("acm").delete_certificate, CertificateArn=arn)


class Acm(Case):
    def request(self, **keywords):
        call = {"DomainName": "a.example.com", "ValidationMethod": "DNS", **keywords}
        return aws("acm").request_certificate(**call)["CertificateArn"]

    def test_the_account_has_an_issued_certificate(self):
        arn = "arn:aws:acm:us-east-1:123456789012:certificate/11112222-3333-4444-5555-666677778888"
        self.assertEqual(aws("acm").describe_certificate(CertificateArn=arn)["Certificate"]["Status"], "ISSUED")

    def test_algorithm_and_names_are_those_of_the_request(self):
        names = ["a.example.com", "*.a.example.com", "b.example.com"]
        arn = self.request(SubjectAlternativeNames=names, KeyAlgorithm="EC_prime256v1")
        shown = aws("acm").describe_certificate(CertificateArn=arn)["Certificate"]
        self.assertEqual(shown["KeyAlgorithm"], "EC-prime256v1")
        self.assertEqual([option["DomainName"] for option in shown["DomainValidationOptions"]], names)

    def test_issued_once_its_records_exist(self):
        arn = self.request(DomainName=unique("x") + ".example.com")
        option = aws("acm").describe_certificate(CertificateArn=arn)["Certificate"]["DomainValidationOptions"][0]
        zone = aws("route53").create_hosted_zone(Name="example.com", CallerReference=unique("r"))["HostedZone"]["Id"]
        record = option["ResourceRecord"]
        values = [{"Value": record["Value"]}]
        made = {"Name": record["Name"], "Type": "CNAME", "TTL": 60, "ResourceRecords": values}
        batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": made}]}
        aws("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
        self.assertEqual(aws("acm").describe_certificate(CertificateArn=arn)["Certificate"]["Status"], "ISSUED")

    def test_other_algorithms_are_listed_when_asked_for(self):
        arn = self.request(KeyAlgorithm="EC_prime256v1")
        listed = [c["CertificateArn"] for c in aws("acm").list_certificates()["CertificateSummaryList"]]
        self.assertNotIn(arn, listed)

    def test_options_change(self):
        arn, off = self.request(), {"CertificateTransparencyLoggingPreference": "DISABLED"}
        aws("acm").update_certificate_options(CertificateArn=arn, Options=off)


class Iam(Case):
    def test_names_ignore_case(self):
        name = unique("role")
        aws("iam").create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        call = {"RoleName": name.upper(), "AssumeRolePolicyDocument": TRUST}
        self.refused("EntityAlreadyExists", aws("iam").create_role, **call)

    def test_service_linked_role(self):
        aws("iam").create_service_linked_role(AWSServiceName="rds.amazonaws.com")
        self.assertEqual(aws("iam").get_role(RoleName="AWSServiceRoleForRDS")["Role"]["Path"], "/aws-service-role/rds.amazonaws.com/")
        self.refused("InvalidInput", aws("iam").create_service_linked_role, AWSServiceName="rds.amazonaws.com")


class Logs(Case):
    def setUp(self):
        self.name = unique("/acme/group")
        aws("logs").create_log_group(logGroupName=self.name)
        self.arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{self.name}"

    def described(self):
        return aws("logs").describe_log_groups(logGroupNamePrefix=self.name)["logGroups"][0]

    def test_group_has_two_arns_and_a_class(self):
        shown = self.described()
        self.assertEqual((shown["arn"], shown.get("logGroupArn")), (self.arn + ":*", self.arn))
        self.assertEqual(shown.get("logGroupClass"), "STANDARD")

    def test_unknown_retention_is_refused(self):
        call = {"logGroupName": self.name, "retentionInDays": 31}
        self.refused("InvalidParameterException", aws("logs").put_retention_policy, **call)

    def test_key_changes(self):
        key = aws("kms").create_key()["KeyMetadata"]["Arn"]
        aws("logs").associate_kms_key(logGroupName=self.name, kmsKeyId=key)
        self.assertEqual(self.described().get("kmsKeyId"), key)
        aws("logs").disassociate_kms_key(logGroupName=self.name)
        self.assertNotIn("kmsKeyId", self.described())

    def test_list_log_groups(self):
        listed = aws("logs").list_log_groups(logGroupNamePattern=self.name)["logGroups"]
        self.assertEqual([group["logGroupArn"] for group in listed], [self.arn])

    def test_tags_of_nothing(self):
        self.refused("ResourceNotFoundException", aws("logs").list_tags_for_resource, resourceArn=self.arn + "x")


class Ecs(Case):
    def cluster(self, **keywords):
        name = unique("cluster")
        aws("ecs").create_cluster(clusterName=name, tags=ECS_TAGS, **keywords)
        return name

    def definition(self, family=None, **keywords):
        container = {"name": "app", "image": "app", "portMappings": [{"containerPort": 80}]}
        fargate = {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
        call = {"family": family or unique("family"), "containerDefinitions": [container], **fargate, **keywords}
        return aws("ecs").register_task_definition(**call)["taskDefinition"]

    def service(self, count=2, **keywords):
        self.network()
        self.in_cluster = self.cluster()
        awsvpc = {"subnets": self.subnets, "securityGroups": [self.group]}
        call = {"cluster": self.in_cluster, "serviceName": unique("service"), "desiredCount": count, "launchType": "FARGATE"}
        call |= {"networkConfiguration": {"awsvpcConfiguration": awsvpc}, **keywords}
        call.setdefault("taskDefinition", self.definition()["taskDefinitionArn"])
        call = {name: value for name, value in call.items() if value is not None}
        self.asked = call
        return aws("ecs").create_service(**call)["service"]["serviceName"]

    def settled(self, name):
        deadline = time.monotonic() + 3
        while True:
            answer = aws("ecs").describe_services(cluster=self.in_cluster, services=[name], include=["TAGS"])
            service = answer["services"][0]
            done = [d.get("rolloutState") for d in service.get("deployments", [])] in (["COMPLETED"], [])
            if (done and service["status"] != "DRAINING") or time.monotonic() > deadline:
                return service
            time.sleep(0.1)

    def test_existing_cluster_stays_as_it_is(self):
        name = self.cluster()
        aws("ecs").create_cluster(clusterName=name)
        shown = aws("ecs").describe_clusters(clusters=[name], include=["TAGS"])["clusters"][0]
        self.assertEqual(shown.get("tags"), ECS_TAGS)

    def test_settings_are_shown_when_asked_for(self):
        self.assertFalse(aws("ecs").describe_clusters(clusters=[self.cluster()])["clusters"][0].get("settings"))

    def test_cluster_settings_change(self):
        name, wanted = self.cluster(), [{"name": "containerInsights", "value": "enhanced"}]
        aws("ecs").update_cluster_settings(cluster=name, settings=wanted)
        shown = aws("ecs").describe_clusters(clusters=[name], include=["SETTINGS"])["clusters"][0]
        self.assertEqual(shown["settings"], wanted)

    def test_containers_read_back_with_defaults(self):
        shown = self.definition()["containerDefinitions"][0]
        self.assertEqual(shown["portMappings"], [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}])
        self.assertEqual(shown.get("systemControls"), [])

    def test_sizes_read_back_in_plain_units(self):
        shown = self.definition(cpu="1 vCPU", memory="2GB")
        self.assertEqual((shown["cpu"], shown["memory"]), ("1024", "2048"))

    def test_family_means_its_latest_active_revision(self):
        family = self.definition()["family"]
        aws("ecs").deregister_task_definition(taskDefinition=self.definition(family)["taskDefinitionArn"])
        self.assertEqual(aws("ecs").describe_task_definition(taskDefinition=family)["taskDefinition"]["revision"], 1)

    def test_revisions_come_newest_first_when_asked_for(self):
        family = self.definition()["family"]
        self.definition(family)
        arns = aws("ecs").list_task_definitions(familyPrefix=family, sort="DESC")["taskDefinitionArns"]
        self.assertEqual([arn.rpartition(":")[2] for arn in arns], ["2", "1"])

    def test_list_is_paged(self):
        family = self.definition()["family"]
        self.definition(family)
        page = aws("ecs").list_task_definitions(familyPrefix=family, maxResults=1)
        self.assertEqual((len(page["taskDefinitionArns"]), bool(page.get("nextToken"))), (1, True))

    def test_service_settings_read_back(self):
        asked = {
            "healthCheckGracePeriodSeconds": 60,
            "enableECSManagedTags": True,
            "enableExecuteCommand": True,
            "availabilityZoneRebalancing": "DISABLED",
            "launchType": None,
            "capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1, "base": 0}],
        }
        shown = self.settled(self.service(**asked))
        asked.pop("launchType")
        self.assertEqual({name: shown.get(name) for name in asked}, asked)
        self.assertNotIn("launchType", shown)

    def test_deployment_configuration_reads_back(self):
        breaker = {"enable": True, "rollback": True}
        alarms = {"alarmNames": ["a"], "enable": True, "rollback": True}
        asked = {"deploymentCircuitBreaker": breaker, "alarms": alarms}
        shown = self.settled(self.service(deploymentConfiguration=asked)).get("deploymentConfiguration", {})
        expected = {**asked, "maximumPercent": 200, "minimumHealthyPercent": 100}
        self.assertEqual({name: shown.get(name) for name in expected}, expected)

    def test_service_reaches_its_count(self):
        shown = self.settled(self.service())
        self.assertEqual((shown["runningCount"], shown["deployments"][0]["rolloutState"]), (2, "COMPLETED"))

    def test_service_has_tasks(self):
        name = self.service()
        self.settled(name)
        arns = aws("ecs").list_tasks(cluster=self.in_cluster, serviceName=name)["taskArns"]
        self.assertEqual(len(arns), 2)
        tasks = aws("ecs").describe_tasks(cluster=self.in_cluster, tasks=arns)["tasks"]
        self.assertEqual({(t["lastStatus"], t["group"]) for t in tasks}, {("RUNNING", f"service:{name}")})

    def test_tasks_are_targets(self):
        self.network()
        group = self.target_group()
        self.listener(self.balancer()["LoadBalancerArn"], DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
        self.network = lambda: None
        self.settled(self.service(loadBalancers=[{"targetGroupArn": group, "containerName": "app", "containerPort": 80}]))
        shown = aws("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        self.assertEqual([one["TargetHealth"]["State"] for one in shown], ["healthy", "healthy"])

    def test_target_group_needs_a_balancer(self):
        self.network()
        bound = [{"targetGroupArn": self.target_group(), "containerName": "app", "containerPort": 80}]
        self.network = lambda: None
        self.refused("InvalidParameterException", self.service, loadBalancers=bound)

    def test_client_token_makes_creation_idempotent(self):
        self.service(clientToken="once")
        aws("ecs").create_service(**self.asked)
        self.refused("InvalidParameterException", aws("ecs").create_service, **{**self.asked, "clientToken": "twice"})

    def test_update_is_a_new_deployment(self):
        name = self.service()
        before = self.settled(name)["deployments"][0]["id"]
        arn = self.definition()["taskDefinitionArn"]
        aws("ecs").update_service(cluster=self.in_cluster, service=name, taskDefinition=arn)
        shown = self.settled(name)["deployments"]
        self.assertEqual([(d["taskDefinition"], d["rolloutState"], d["id"] != before) for d in shown], [(arn, "COMPLETED", True)])

    def test_service_without_groups(self):
        self.network()
        self.network = lambda: None
        awsvpc = {"awsvpcConfiguration": {"subnets": self.subnets}}
        shown = self.settled(self.service(networkConfiguration=awsvpc))
        self.assertEqual(shown["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"], "DISABLED")

    def test_deleted_service_drains(self):
        name = self.service()
        deleted = aws("ecs").delete_service(cluster=self.in_cluster, service=name, force=True)["service"]
        self.assertEqual(deleted["status"], "DRAINING")
        self.assertEqual(self.settled(name)["status"], "INACTIVE")
        self.assertEqual(aws("ecs").list_services(cluster=self.in_cluster)["serviceArns"], [])

    def test_cluster_with_a_service_is_not_deleted(self):
        self.service()
        self.refused("ClusterContainsServicesException", aws("ecs").delete_cluster, cluster=self.in_cluster)


class Rds(Case):
    def setUp(self):
        self.network(gateway=False)
        self.rds = aws("rds")

    def subnet_group(self, name=None):
        name = name or unique("subnets")
        call = {"DBSubnetGroupName": name, "DBSubnetGroupDescription": "d", "SubnetIds": self.subnets, "Tags": TAGS}
        return self.rds.create_db_subnet_group(**call)["DBSubnetGroup"]

    def parameter_group(self):
        call = {"DBParameterGroupName": unique("parameters"), "DBParameterGroupFamily": "postgres15", "Description": "d"}
        return self.rds.create_db_parameter_group(**call, Tags=TAGS)["DBParameterGroup"]

    def instance(self, **keywords):
        call = {"DBInstanceIdentifier": unique("db"), "DBInstanceClass": "db.t4g.medium", "Engine": "postgres"}
        call |= {"EngineVersion": "15", "AllocatedStorage": 100, "StorageType": "gp3", "MasterUsername": "root1"}
        call |= {"ManageMasterUserPassword": True, "VpcSecurityGroupIds": [self.group], **keywords}
        return self.rds.create_db_instance(**call)["DBInstance"]["DBInstanceIdentifier"]

    def shown(self, name):
        return self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    def test_subnet_group_names_are_unique(self):
        name = self.subnet_group()["DBSubnetGroupName"]
        self.refused("DBSubnetGroupAlreadyExists", self.subnet_group, name)

    def test_subnet_group_covers_two_zones(self):
        self.subnets = self.subnets[:1]
        self.refused("DBSubnetGroupDoesNotCoverEnoughAZs", self.subnet_group)

    def test_modified_subnet_group_is_still_there(self):
        name = self.subnet_group()["DBSubnetGroupName"]
        self.rds.modify_db_subnet_group(DBSubnetGroupName=name, SubnetIds=self.subnets)
        self.rds.describe_db_subnet_groups(DBSubnetGroupName=name)

    def test_subnet_group_in_use_is_not_deleted(self):
        name = self.subnet_group()["DBSubnetGroupName"]
        self.instance(DBSubnetGroupName=name)
        self.refused("InvalidDBSubnetGroupStateFault", self.rds.delete_db_subnet_group, DBSubnetGroupName=name)

    def test_subnet_with_an_instance_is_not_deleted_and_others_are(self):
        self.instance(DBSubnetGroupName=self.subnet_group()["DBSubnetGroupName"])
        subnet = self.subnets[0]
        self.network(gateway=False)
        aws("ec2").delete_subnet(SubnetId=self.subnets[0])
        self.refused("DependencyViolation", aws("ec2").delete_subnet, SubnetId=subnet)

    def test_modified_parameters_have_the_source_user(self):
        name = self.parameter_group()["DBParameterGroupName"]
        change = [{"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}]
        self.rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=change)
        shown = self.rds.describe_db_parameters(DBParameterGroupName=name, Source="user")["Parameters"]
        self.assertEqual([(p["ParameterName"], p.get("Source")) for p in shown], [("rds.force_ssl", "user")])

    def test_parameters_are_reset(self):
        name = self.parameter_group()["DBParameterGroupName"]
        change = [{"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}]
        self.rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=change)
        self.rds.reset_db_parameter_group(DBParameterGroupName=name, Parameters=change)
        self.assertEqual(self.rds.describe_db_parameters(DBParameterGroupName=name)["Parameters"], [])

    def test_unknown_parameter_group(self):
        self.refused("DBParameterGroupNotFound", self.rds.describe_db_parameter_groups, DBParameterGroupName="none")

    def test_parameter_group_in_use_is_not_deleted(self):
        name = self.parameter_group()["DBParameterGroupName"]
        self.instance(DBParameterGroupName=name)
        self.refused("InvalidDBParameterGroupState", self.rds.delete_db_parameter_group, DBParameterGroupName=name)

    def test_version_track_reads_back_in_full(self):
        self.assertRegex(self.shown(self.instance())["EngineVersion"], r"^15\.\d+$")

    def test_engine_versions(self):
        versions = self.rds.describe_db_engine_versions(Engine="postgres", EngineVersion="15")["DBEngineVersions"]
        self.assertEqual([v["DBParameterGroupFamily"] for v in versions], ["postgres15"])

    def test_instance_reads_back_in_full(self):
        shown = self.shown(self.instance(MultiAZ=True, EnablePerformanceInsights=True))
        self.assertEqual((shown.get("Iops"), shown.get("StorageThroughput")), (3000, 125))
        self.assertEqual((shown.get("PerformanceInsightsEnabled"), shown["CACertificateIdentifier"]), (True, "rds-ca-rsa2048-g1"))
        self.assertEqual((shown.get("SecondaryAvailabilityZone"), shown["LicenseModel"]), ("us-east-1b", "postgresql-license"))

    def test_managed_secret(self):
        arn = self.shown(self.instance())["MasterUserSecret"]["SecretArn"]
        value = json.loads(aws("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])
        self.assertEqual(value["username"], "root1")
        self.assertIs(aws("secretsmanager").describe_secret(SecretId=arn).get("RotationEnabled"), True)
        self.refused("InvalidRequestException", aws("secretsmanager").delete_secret, SecretId=arn)

    def test_change_waits_for_the_window(self):
        name = self.instance()
        self.rds.modify_db_instance(DBInstanceIdentifier=name, AllocatedStorage=150, ApplyImmediately=False)
        self.assertEqual(self.shown(name).get("PendingModifiedValues"), {"AllocatedStorage": 150})
        self.assertEqual(self.shown(name)["AllocatedStorage"], 100)
        self.rds.modify_db_instance(DBInstanceIdentifier=name, ApplyImmediately=True)
        self.assertEqual(self.shown(name)["AllocatedStorage"], 150)

    def test_new_parameter_group_waits_for_a_reboot(self):
        name, group = self.instance(), self.parameter_group()["DBParameterGroupName"]
        self.rds.modify_db_instance(DBInstanceIdentifier=name, DBParameterGroupName=group, ApplyImmediately=True)
        self.assertEqual(self.shown(name)["DBParameterGroups"][0]["ParameterApplyStatus"], "pending-reboot")

    def test_storage_does_not_shrink(self):
        call = {"DBInstanceIdentifier": self.instance(), "AllocatedStorage": 20, "ApplyImmediately": True}
        self.refused("InvalidParameterCombination", self.rds.modify_db_instance, **call)

    def test_deletion_needs_a_word_about_the_snapshot(self):
        name = self.instance()
        self.refused("InvalidParameterCombination", self.rds.delete_db_instance, DBInstanceIdentifier=name)

    def test_restored_instance_has_its_own_tags(self):
        name, snapshot = self.instance(Tags=TAGS, MultiAZ=True), unique("final")
        self.rds.delete_db_instance(DBInstanceIdentifier=name, FinalDBSnapshotIdentifier=snapshot)
        self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier=snapshot)
        self.assertEqual((self.shown(name)["TagList"], self.shown(name)["MultiAZ"]), ([], False))

    def test_groups_are_found_by_tag(self):
        arns = {self.subnet_group()["DBSubnetGroupArn"], self.parameter_group()["DBParameterGroupArn"]}
        self.assertLessEqual(arns, found_by_tag("rds:subgrp", "rds:pg"))


def found_by_tag(*types):
    filters = [{"Key": "infra:project", "Values": ["acme"]}]
    pages = aws("resourcegroupstaggingapi").get_paginator("get_resources")
    found = pages.paginate(TagFilters=filters, ResourceTypeFilters=list(types))
    return {resource["ResourceARN"] for page in found for resource in page["ResourceTagMappingList"]}


class Tagging(Case):
    def test_addresses(self):
        made = aws("ec2").allocate_address(Domain="vpc", TagSpecifications=specification("elastic-ip"))["AllocationId"]
        self.assertIn(f"arn:aws:ec2:us-east-1:123456789012:elastic-ip/{made}", found_by_tag("ec2:elastic-ip"))

    def test_listeners(self):
        self.network()
        arn = self.listener(self.balancer()["LoadBalancerArn"], Tags=TAGS)
        self.assertIn(arn, found_by_tag("elasticloadbalancing:listener"))

    def test_log_groups(self):
        name = unique("/acme/tagged")
        aws("logs").create_log_group(logGroupName=name, tags={"infra:project": "acme"})
        self.assertIn(f"arn:aws:logs:us-east-1:123456789012:log-group:{name}", found_by_tag("logs:log-group"))

    def test_last_page_has_an_empty_token(self):
        self.assertEqual(aws("resourcegroupstaggingapi").get_resources(ResourceTypeFilters=["kms:key"]).get("PaginationToken"), "")


class Secrets(Case):
    def setUp(self):
        self.secrets, self.name = aws("secretsmanager"), unique("secret")
        self.secrets.create_secret(Name=self.name, SecretString="x")

    def test_rotation_is_said(self):
        self.assertIs(self.secrets.describe_secret(SecretId=self.name).get("RotationEnabled"), False)

    def test_name_is_taken_until_deleted(self):
        self.secrets.delete_secret(SecretId=self.name, RecoveryWindowInDays=7)
        self.refused("InvalidRequestException", self.secrets.create_secret, Name=self.name, SecretString="y")

    def test_deleted_secret_takes_nothing(self):
        self.secrets.delete_secret(SecretId=self.name, RecoveryWindowInDays=7)
        self.refused("InvalidRequestException", self.secrets.put_secret_value, SecretId=self.name, SecretString="y")
        self.refused("InvalidRequestException", self.secrets.tag_resource, SecretId=self.name, Tags=TAGS)


class Kms(Case):
    def setUp(self):
        self.kms = aws("kms")
        self.shown = self.kms.create_key()["KeyMetadata"]
        self.key = self.shown["KeyId"]

    def test_key_has_a_usage(self):
        self.assertEqual((self.shown.get("KeyUsage"), self.shown.get("MultiRegion")), ("ENCRYPT_DECRYPT", False))

    def test_rotation_period(self):
        self.kms.enable_key_rotation(KeyId=self.key, RotationPeriodInDays=180)
        self.assertEqual(self.kms.get_key_rotation_status(KeyId=self.key).get("RotationPeriodInDays"), 180)

    def test_disabled_key_does_not_rotate(self):
        self.kms.disable_key(KeyId=self.key)
        self.refused("DisabledException", self.kms.enable_key_rotation, KeyId=self.key)

    def test_pending_key_takes_nothing(self):
        answer = self.kms.schedule_key_deletion(KeyId=self.key, PendingWindowInDays=7)
        self.assertEqual(answer.get("KeyState"), "PendingDeletion")
        self.refused("KMSInvalidStateException", self.kms.enable_key, KeyId=self.key)
        self.refused("KMSInvalidStateException", self.kms.schedule_key_deletion, KeyId=self.key)

    def test_only_pending_keys_are_restored(self):
        self.refused("KMSInvalidStateException", self.kms.cancel_key_deletion, KeyId=self.key)

    def test_window_has_bounds(self):
        call = {"KeyId": self.key, "PendingWindowInDays": 3}
        self.refused("ValidationException", self.kms.schedule_key_deletion, **call)

    def test_malformed_policy(self):
        self.refused("MalformedPolicyDocumentException", self.kms.create_key, Policy="{")


class CloudWatch(Case):
    """In rpc-v2-cbor, which boto3 does not choose here."""

    def call(self, operation, **parameters):
        url = f"{os.environ['AWS_ENDPOINT_URL']}/service/GraniteServiceVersion20100801/operation/{operation}"
        signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=x"
        headers = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor", "Authorization": signed}
        try:
            answer = urllib.request.urlopen(urllib.request.Request(url, data=cbor2.dumps(parameters), headers=headers))
        except urllib.error.HTTPError as failed:
            answer = failed
        self.assertEqual(answer.headers.get("content-type"), "application/cbor")
        return answer.status, cbor2.loads(answer.read())

    def alarm(self, **keywords):
        name = keywords.pop("AlarmName", None) or unique("alarm")
        call = {"AlarmName": name, "MetricName": "CPU", "Namespace": "acme", "Period": 60, "EvaluationPeriods": 1}
        call |= {"Threshold": 80, "ComparisonOperator": "GreaterThanThreshold", "Statistic": "Average", **keywords}
        self.assertEqual(self.call("PutMetricAlarm", **call), (200, {}))
        return self.call("DescribeAlarms", AlarmNames=[name])[1]["MetricAlarms"][0]

    def test_alarm_reads_back(self):
        alarm = self.alarm(Tags=TAGS)
        self.assertEqual((alarm["Threshold"], type(alarm["Threshold"])), (80.0, float))
        self.assertEqual(alarm["StateValue"], "INSUFFICIENT_DATA")
        self.assertNotIn("Metrics", alarm)
        self.assertEqual(self.call("ListTagsForResource", ResourceARN=alarm["AlarmArn"]), (200, {"Tags": TAGS}))

    def test_metrics(self):
        now = time.time()
        data = [{"MetricName": "m", "Value": 3, "Timestamp": cbor2.CBORTag(1, now - 60)}]
        self.assertEqual(self.call("PutMetricData", Namespace="acme", MetricData=data)[0], 200)
        metric = {"Namespace": "acme", "MetricName": "m"}
        queries = [{"Id": s.lower(), "MetricStat": {"Metric": metric, "Period": 60, "Stat": s}} for s in ("Sum", "p99")]
        times = {"StartTime": cbor2.CBORTag(1, now - 600), "EndTime": cbor2.CBORTag(1, now + 60)}
        results = self.call("GetMetricData", MetricDataQueries=queries, **times)[1]["MetricDataResults"]
        self.assertEqual([result["Values"] for result in results], [[3.0], [3.0]])

    def test_errors_have_a_code(self):
        status, answer = self.call("ListTagsForResource", ResourceARN="arn:aws:cloudwatch:us-east-1:123456789012:alarm:none")
        self.assertTrue(status >= 400 and answer["__type"].startswith("ResourceNotFound"), (status, answer))

    def test_put_again_leaves_tags_alone(self):
        alarm = self.alarm(Tags=TAGS)
        self.alarm(AlarmName=alarm["AlarmName"], Tags=[{"Key": "other", "Value": "v"}])
        self.assertEqual(self.call("ListTagsForResource", ResourceARN=alarm["AlarmArn"])[1], {"Tags": TAGS})


class Failures(Case):
    def test_missing_operation_is_told_in_the_protocol_of_the_call(self):
        self.refused("NotImplemented", aws("ecs").list_services_by_namespace, namespace="none")


def emulator(arguments):
    """Starts one for the tests alone, and returns what stops it."""
    alone = {**os.environ, "INFRA_EMULATOR_PARENT": str(os.getpid())}
    shown = subprocess.run([HERE / "up", *arguments], check=True, stdout=subprocess.PIPE, text=True, env=alone).stdout
    os.environ.update(re.findall(r"^export (\w+)=(.*)$", shown, flags=re.M))
    return lambda: subprocess.run([HERE / "down"], check=True, stderr=subprocess.DEVNULL)


# unittest looks for tests among the names of this module.
for checks in pkgutil.iter_modules([str(HERE / "checks")]):
    module = importlib.import_module(f"checks.{checks.name}")
    tests = {name: each for name, each in vars(module).items() if isinstance(each, type) and issubclass(each, Case)}
    globals().update(tests)


def main():
    plain = "--without-fixes" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--without-fixes"]
    stop = emulator(["--without-fixes"] if plain else [])
    try:
        program = unittest.main(argv=[sys.argv[0], *arguments], exit=False, buffer=plain)
    finally:
        stop()
    result = program.result
    if plain:
        needless = result.testsRun - len(result.failures) - len(result.errors)
        print(f"{needless} of {result.testsRun} tests pass without the corrections (0 expected)", file=sys.stderr)
        sys.exit(needless != 0)
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
