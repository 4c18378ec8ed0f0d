"""Networks."""

from checks import OURS, TAGS, aws, indexed, specification, unique
from checks_strict import Strict, strict


class Networks(Strict):
    def test_reads_lag(self):
        """What was made a moment ago is neither found, nor listed, nor to be referred to."""
        ec2 = aws("ec2")
        self.long("lag")
        vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=specification("vpc"))["Vpc"]["VpcId"]
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.refused("InvalidVpcID.NotFound", ec2.describe_vpcs, VpcIds=[vpc])
        self.refused("InvalidVpcID.NotFound", ec2.create_subnet, VpcId=vpc, CidrBlock="10.9.0.0/24")
        self.refused("InvalidVpcID.NotFound", ec2.delete_vpc, VpcId=vpc)
        self.refused("InvalidAllocationID.NotFound", ec2.describe_addresses, AllocationIds=[address])
        found = ec2.describe_internet_gateways(InternetGatewayIds=[])["InternetGateways"]
        self.assertNotIn(gateway, [each["InternetGatewayId"] for each in found])
        call = {"InternetGatewayId": gateway, "VpcId": vpc}
        self.refused("InvalidInternetGatewayID.NotFound", ec2.attach_internet_gateway, **call)
        self.assertNotIn(vpc, [each["VpcId"] for each in ec2.describe_vpcs(Filters=OURS)["Vpcs"]])
        self.over("lag")
        self.assertIn(vpc, [each["VpcId"] for each in ec2.describe_vpcs(Filters=OURS)["Vpcs"]])
        ec2.attach_internet_gateway(**call)

    def test_rules_lag(self):
        ec2 = aws("ec2")
        self.network()
        self.long("lag")
        world = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
        call = {"GroupId": self.group, "IpPermissions": [world]}
        rule = ec2.authorize_security_group_ingress(**call)["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        of_group = [{"Name": "group-id", "Values": [self.group]}]

        def listed():
            found = ec2.describe_security_group_rules(Filters=of_group)["SecurityGroupRules"]
            return rule in [each["SecurityGroupRuleId"] for each in found]

        self.assertFalse(listed())
        self.refused("InvalidPermission.Duplicate", ec2.authorize_security_group_ingress, **call)
        self.over("lag")
        self.assertTrue(listed())

    def test_same_request_has_the_same_answer_at_once(self):
        self.network()
        self.long("lag")
        table = aws("ec2").create_route_table(VpcId=self.vpc, ClientToken="lag")["RouteTable"]["RouteTableId"]
        again = aws("ec2").create_route_table(VpcId=self.vpc, ClientToken="lag")["RouteTable"]["RouteTableId"]
        self.assertEqual(table, again)

    def test_index_lags(self):
        """GetResources shows new, changed and deleted things as they were."""
        ec2 = aws("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16", TagSpecifications=specification("vpc"))["Vpc"]["VpcId"]
        arn = f"arn:aws:ec2:us-east-1:123456789012:vpc/{vpc}"
        self.assertEqual(indexed()[arn], TAGS)
        self.long("lag")
        other = ec2.create_internet_gateway(TagSpecifications=specification("internet-gateway"))["InternetGateway"]
        known = indexed()
        self.assertFalse([arn for arn in known if other["InternetGatewayId"] in arn])
        ec2.create_tags(Resources=[vpc], Tags=[{"Key": "new", "Value": "v"}])
        self.assertEqual(indexed()[arn], TAGS)
        ec2.delete_vpc(VpcId=vpc)
        self.assertIn(arn, indexed())
        self.over("lag")
        self.assertNotIn(arn, indexed())
        self.assertTrue([arn for arn in indexed() if other["InternetGatewayId"] in arn])

    def test_index_knows_what_the_corrections_add(self):
        zone = aws("route53").create_hosted_zone(Name="example.net", CallerReference=unique("zone"))["HostedZone"]["Id"]
        id = zone.rpartition("/")[2]
        aws("route53").change_tags_for_resource(ResourceType="hostedzone", ResourceId=id, AddTags=TAGS)
        self.assertIn(f"arn:aws:route53:::hostedzone/{id}", indexed())

    def test_nat_gateway_takes_its_time(self):
        ec2 = aws("ec2")
        self.network()
        self.long("settle")

        def state():
            return ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"]

        nat, address = self.nat()
        self.assertEqual(state(), "pending")
        self.over("settle")
        self.assertEqual(state(), "available")
        self.long("settle")
        ec2.delete_nat_gateway(NatGatewayId=nat)
        self.assertEqual(state(), "deleting")
        self.refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=address)
        self.refused("DependencyViolation", ec2.delete_subnet, SubnetId=self.subnets[0])
        gateway = {"InternetGatewayId": self.gateway, "VpcId": self.vpc}
        self.refused("DependencyViolation", ec2.detach_internet_gateway, **gateway)
        self.over("settle")
        self.assertEqual(state(), "deleted")
        ec2.release_address(AllocationId=address)
        ec2.delete_subnet(SubnetId=self.subnets[0])

    def test_endpoint_takes_its_time(self):
        ec2 = aws("ec2")
        self.network()
        self.long("settle", "linger")
        call = {"VpcId": self.vpc, "ServiceName": "com.amazonaws.us-east-1.logs", "VpcEndpointType": "Interface"}
        call |= {"SubnetIds": self.subnets, "SecurityGroupIds": [self.group]}
        endpoint = ec2.create_vpc_endpoint(**call)["VpcEndpoint"]["VpcEndpointId"]

        def state():
            return ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"][0]["State"]

        self.assertEqual(state(), "pending")
        self.over("settle")
        self.assertEqual(state(), "available")
        self.long("settle")
        ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
        self.assertEqual(state(), "deleting")
        self.over("settle")
        self.refused("DependencyViolation", ec2.delete_security_group, GroupId=self.group)
        self.refused("DependencyViolation", ec2.delete_subnet, SubnetId=self.subnets[0])
        self.over("linger")
        ec2.delete_security_group(GroupId=self.group)
        ec2.delete_subnet(SubnetId=self.subnets[0])


class Names(Strict):
    def test_names_of_groups_ignore_case(self):
        self.network()
        call = {"VpcId": self.vpc, "Description": "d"}
        self.refused("InvalidGroup.Duplicate", aws("ec2").create_security_group, GroupName="A", **call)

    def test_one_endpoint_has_the_name_of_its_service(self):
        self.network()
        call = {"VpcId": self.vpc, "ServiceName": "com.amazonaws.us-east-1.logs", "VpcEndpointType": "Interface"}
        call |= {"SubnetIds": self.subnets, "PrivateDnsEnabled": True}
        aws("ec2").create_vpc_endpoint(**call)
        self.refused("InvalidParameter", aws("ec2").create_vpc_endpoint, **call)


class Quotas(Strict):
    def limit(self, **limits):
        strict(**limits)
        self.addCleanup(strict, **dict.fromkeys(limits))

    def test_quotas_can_be_set(self):
        ec2 = aws("ec2")
        self.network()
        self.limit(max_vpcs=len(ec2.describe_vpcs()["Vpcs"]), max_nat_gateways=0, max_rules=1)
        self.refused("VpcLimitExceeded", ec2.create_vpc, CidrBlock="10.0.0.0/16")
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        self.limit(max_addresses=len(ec2.describe_addresses()["Addresses"]))
        self.refused("AddressLimitExceeded", ec2.allocate_address, Domain="vpc")
        nat = {"SubnetId": self.subnets[0], "AllocationId": address}
        self.refused("NatGatewayLimitExceeded", ec2.create_nat_gateway, **nat)
        two = [{"IpProtocol": "tcp", "FromPort": n, "ToPort": n, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]} for n in (1, 2)]
        call = {"GroupId": self.group}
        self.refused("RulesPerSecurityGroupLimitExceeded", ec2.authorize_security_group_ingress, **call, IpPermissions=two)
        ec2.authorize_security_group_ingress(**call, IpPermissions=two[:1])
