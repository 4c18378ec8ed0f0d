"""ElastiCache."""

from . import TAGS, Case, aws, unique


class Elasticache(Case):
    def setUp(self):
        self.network(gateway=False)
        self.cache = aws("elasticache")

    def subnet_group(self):
        call = {"CacheSubnetGroupName": unique("subnets"), "CacheSubnetGroupDescription": "d", "SubnetIds": self.subnets}
        return self.cache.create_cache_subnet_group(**call, Tags=TAGS)["CacheSubnetGroup"]["CacheSubnetGroupName"]

    def parameter_group(self, family="valkey8"):
        call = {"CacheParameterGroupName": unique("parameters"), "CacheParameterGroupFamily": family, "Description": "d"}
        return self.cache.create_cache_parameter_group(**call, Tags=TAGS)["CacheParameterGroup"]

    def cache_group(self, wait=True, **keywords):
        call = {"ReplicationGroupId": unique("cache"), "ReplicationGroupDescription": "d", "Engine": "valkey"}
        call |= {"EngineVersion": "8.0", "CacheNodeType": "cache.t4g.micro", "SecurityGroupIds": [self.group_id()], **keywords}
        name = self.cache.create_replication_group(**call)["ReplicationGroup"]["ReplicationGroupId"]
        if wait:
            self.settled(name)
        return name

    def group_id(self):
        call = {"GroupName": unique("cache"), "Description": "d", "VpcId": self.vpc}
        self.carried = aws("ec2").create_security_group(**call)["GroupId"]
        return self.carried

    def shown(self, name):
        return self.cache.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]

    def node(self, name):
        return self.cache.describe_cache_clusters(CacheClusterId=f"{name}-001")["CacheClusters"][0]

    def settled(self, name):
        self.assertIn("available", [self.shown(name)["Status"] for _ in range(3)])

    def test_group_has_its_nodes_and_endpoints(self):
        shown = self.shown(self.cache_group(NumCacheClusters=3, AutomaticFailoverEnabled=True))
        self.assertEqual(len(shown["MemberClusters"]), 3)
        self.assertIn("Address", shown["NodeGroups"][0]["ReaderEndpoint"])

    def test_nodes_are_clusters(self):
        subnets, parameters = self.subnet_group(), self.parameter_group()["CacheParameterGroupName"]
        node = self.node(self.cache_group(CacheSubnetGroupName=subnets, CacheParameterGroupName=parameters))
        self.assertEqual([one["SecurityGroupId"] for one in node["SecurityGroups"]], [self.carried])
        self.assertEqual(node["CacheSubnetGroupName"], subnets)
        self.assertEqual(node["CacheParameterGroup"]["CacheParameterGroupName"], parameters)
        self.assertEqual(node["EngineVersion"], "8.0.1")

    def test_valkey_is_encrypted_and_upgraded_by_default(self):
        shown = self.shown(self.cache_group())
        self.assertEqual((shown["AtRestEncryptionEnabled"], shown["AutoMinorVersionUpgrade"]), (True, True))

    def test_failover_needs_a_replica(self):
        self.refused("InvalidParameterCombination", self.cache_group, AutomaticFailoverEnabled=True)

    def test_group_in_motion_takes_no_change_and_tells_no_tags(self):
        name = self.cache_group(wait=False)
        arn = self.shown(name)["ARN"]
        self.refused("InvalidReplicationGroupState", self.cache.list_tags_for_resource, ResourceName=arn)
        self.refused("InvalidReplicationGroupState", self.cache.add_tags_to_resource, ResourceName=arn, Tags=TAGS)
        modify = self.cache.modify_replication_group
        self.refused("InvalidReplicationGroupState", modify, ReplicationGroupId=name, SnapshotRetentionLimit=1)

    def test_change_changes_all(self):
        name = self.cache_group()
        change = {"SnapshotWindow": "01:00-02:00", "PreferredMaintenanceWindow": "mon:05:00-mon:06:00"}
        self.cache.modify_replication_group(ReplicationGroupId=name, SecurityGroupIds=[self.group_id()], **change)
        node = self.node(name)
        self.assertEqual({key: node[key] for key in change}, change)
        self.assertEqual([one["SecurityGroupId"] for one in node["SecurityGroups"]], [self.carried])

    def test_replicas_come_and_go(self):
        name = self.cache_group()
        self.cache.increase_replica_count(ReplicationGroupId=name, NewReplicaCount=2, ApplyImmediately=True)
        self.settled(name)
        self.assertEqual(len(self.shown(name)["MemberClusters"]), 3)
        self.cache.decrease_replica_count(ReplicationGroupId=name, NewReplicaCount=1, ApplyImmediately=True)
        self.settled(name)
        self.assertEqual(len(self.shown(name)["MemberClusters"]), 2)

    def test_new_version_needs_its_parameter_group(self):
        name = self.cache_group(EngineVersion="7.2", CacheParameterGroupName=self.parameter_group("valkey7")["CacheParameterGroupName"])
        modify = self.cache.modify_replication_group
        self.refused("InvalidParameterCombination", modify, ReplicationGroupId=name, EngineVersion="8.0")

    def test_deleted_group_goes_and_leaves_a_snapshot(self):
        name, snapshot = self.cache_group(), unique("final")
        self.cache.delete_replication_group(ReplicationGroupId=name, FinalSnapshotIdentifier=snapshot)
        self.refused("ReplicationGroupNotFoundFault", lambda: [self.shown(name) for _ in range(3)])
        self.assertEqual(len(self.cache.describe_snapshots(SnapshotName=snapshot)["Snapshots"]), 1)

    def test_groups_in_use_stay(self):
        subnets, parameters = self.subnet_group(), self.parameter_group()["CacheParameterGroupName"]
        self.cache_group(CacheSubnetGroupName=subnets, CacheParameterGroupName=parameters)
        self.refused("CacheSubnetGroupInUse", self.cache.delete_cache_subnet_group, CacheSubnetGroupName=subnets)
        delete = self.cache.delete_cache_parameter_group
        self.refused("InvalidCacheParameterGroupState", delete, CacheParameterGroupName=parameters)
        self.refused("DependencyViolation", aws("ec2").delete_security_group, GroupId=self.carried)
        self.refused("DependencyViolation", aws("ec2").delete_subnet, SubnetId=self.subnets[0])

    def test_subnet_group_changes_and_goes(self):
        name = self.subnet_group()
        self.cache.modify_cache_subnet_group(CacheSubnetGroupName=name, SubnetIds=self.subnets[:1])
        shown = self.cache.describe_cache_subnet_groups(CacheSubnetGroupName=name)["CacheSubnetGroups"][0]
        self.assertEqual([subnet["SubnetIdentifier"] for subnet in shown["Subnets"]], self.subnets[:1])
        self.cache.delete_cache_subnet_group(CacheSubnetGroupName=name)
        describe = self.cache.describe_cache_subnet_groups
        self.refused("CacheSubnetGroupNotFoundFault", describe, CacheSubnetGroupName=name)

    def test_parameters_are_set_and_reset(self):
        name = self.parameter_group()["CacheParameterGroupName"]
        value = {"ParameterName": "maxmemory-policy", "ParameterValue": "noeviction"}
        self.cache.modify_cache_parameter_group(CacheParameterGroupName=name, ParameterNameValues=[value])
        shown = self.cache.describe_cache_parameters(CacheParameterGroupName=name, Source="user")["Parameters"]
        self.assertEqual([(one["ParameterName"], one["ParameterValue"]) for one in shown], [tuple(value.values())])
        reset = {"ParameterNameValues": [{"ParameterName": "maxmemory-policy"}], "ResetAllParameters": False}
        self.cache.reset_cache_parameter_group(CacheParameterGroupName=name, **reset)
        self.assertEqual(self.cache.describe_cache_parameters(CacheParameterGroupName=name, Source="user")["Parameters"], [])

    def test_parameter_groups_are_found_by_tag(self):
        filters = [{"Key": "infra:project", "Values": ["acme"]}]
        arn = self.parameter_group()["ARN"]
        found = aws("resourcegroupstaggingapi").get_resources(TagFilters=filters, ResourceTypeFilters=["elasticache:parametergroup"])
        self.assertIn(arn, [resource["ResourceARN"] for resource in found["ResourceTagMappingList"]])
