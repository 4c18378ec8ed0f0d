"""Tests of fixes/ec2_endpoints.py."""

import json

from . import Case, aws, indexed, specification, unique


class Endpoints(Case):
    def endpoint(self, service, **keywords):
        call = {"VpcId": self.vpc, "ServiceName": f"com.amazonaws.us-east-1.{service}", **keywords}
        return aws("ec2").create_vpc_endpoint(**call)["VpcEndpoint"]["VpcEndpointId"]

    def interface(self, **keywords):
        self.network()
        call = {"VpcEndpointType": "Interface", "SubnetIds": self.subnets[:1], "SecurityGroupIds": [self.group], **keywords}
        return self.endpoint("ssm", **call)

    def described(self, endpoint):
        return aws("ec2").describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"][0]

    def destinations(self, table):
        routes = aws("ec2").describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        return [route["DestinationPrefixListId"] for route in routes if route.get("DestinationPrefixListId")]

    def test_gateway_unless_said_otherwise(self):
        self.network()
        endpoint = self.described(self.endpoint("s3"))
        self.assertEqual((endpoint.get("VpcEndpointType"), endpoint["PrivateDnsEnabled"]), ("Gateway", False))

    def test_routes_follow_the_tables(self):
        self.network()
        first, second = [aws("ec2").create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"] for _ in range(2)]
        endpoint = self.endpoint("s3", VpcEndpointType="Gateway", RouteTableIds=[first])
        aws("ec2").modify_vpc_endpoint(VpcEndpointId=endpoint, AddRouteTableIds=[second], RemoveRouteTableIds=[first])
        self.assertEqual((len(self.destinations(first)), len(self.destinations(second))), (0, 1))

    def test_interfaces_follow_the_subnets_and_carry_the_groups(self):
        endpoint = self.interface()
        aws("ec2").modify_vpc_endpoint(
            VpcEndpointId=endpoint, AddSubnetIds=self.subnets[1:], RemoveSubnetIds=self.subnets[:1]
        )
        ids = self.described(endpoint)["NetworkInterfaceIds"]
        enis = aws("ec2").describe_network_interfaces(NetworkInterfaceIds=ids)["NetworkInterfaces"]
        self.assertEqual([eni["SubnetId"] for eni in enis], self.subnets[1:])
        self.assertEqual([group["GroupId"] for eni in enis for group in eni["Groups"]], [self.group])

    def test_name_of_an_interface(self):
        entries = self.described(self.interface())["DnsEntries"]
        self.assertTrue(entries[0]["DnsName"].endswith(".ssm.us-east-1.vpce.amazonaws.com"), entries)

    def test_dns_and_policy_change(self):
        policy = json.dumps({"Version": "2012-10-17", "Statement": []})
        endpoint = self.interface(PolicyDocument=policy)
        aws("ec2").modify_vpc_endpoint(VpcEndpointId=endpoint, PrivateDnsEnabled=False, ResetPolicy=True)
        found = self.described(endpoint)
        statements = json.loads(found["PolicyDocument"])["Statement"]
        self.assertEqual((found["PrivateDnsEnabled"], len(statements)), (False, 1))

    def test_index_knows_flow_logs(self):
        self.network()
        log = aws("ec2").create_flow_logs(
            ResourceType="VPC", ResourceIds=[self.vpc], TrafficType="ALL", LogGroupName=unique("flow"),
            DeliverLogsPermissionArn="arn:aws:iam::123456789012:role/flow", TagSpecifications=specification("vpc-flow-log"),
        )["FlowLogIds"][0]
        self.assertTrue(any(arn.endswith(f":vpc-flow-log/{log}") for arn in indexed()))
