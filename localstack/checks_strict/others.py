"""Load balancers, databases, roles, certificates."""

import email.utils
import io
import json
import time
import zipfile

from checks import TAGS, TRUST, aws, unique
from checks_strict import Strict, strict


class Balancers(Strict):
    def setUp(self):
        super().setUp()
        self.network()

    def test_reads_lag(self):
        elb = aws("elbv2")
        self.long("lag")
        balancer = self.balancer()
        arn, group = balancer["LoadBalancerArn"], self.target_group()
        self.refused("LoadBalancerNotFound", elb.describe_load_balancers, LoadBalancerArns=[arn])
        self.refused("LoadBalancerNotFound", elb.describe_load_balancers, Names=[balancer["LoadBalancerName"]])
        self.refused("LoadBalancerNotFound", elb.describe_tags, ResourceArns=[arn])
        self.refused("TargetGroupNotFound", elb.describe_target_groups, TargetGroupArns=[group])
        self.assertNotIn(arn, [each["LoadBalancerArn"] for each in elb.describe_load_balancers()["LoadBalancers"]])
        listener = self.listener(arn)
        self.refused("ListenerNotFound", elb.describe_listeners, ListenerArns=[listener])
        self.over("lag")
        self.assertEqual(elb.describe_listeners(LoadBalancerArn=arn)["Listeners"][0]["ListenerArn"], listener)

    def test_same_settings_again_are_no_newer(self):
        balancer = self.balancer()
        self.long("lag")
        self.balancer(Name=balancer["LoadBalancerName"])
        aws("elbv2").describe_load_balancers(Names=[balancer["LoadBalancerName"]])

    def test_a_balancer_is_provisioned(self):
        self.long("settle")
        arn = self.balancer()["LoadBalancerArn"]

        def state():
            return aws("elbv2").describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["State"]["Code"]

        self.assertEqual(state(), "provisioning")
        self.over("settle")
        self.assertEqual(state(), "active")

    def test_interfaces_outlive_a_balancer(self):
        ec2 = aws("ec2")
        self.long("linger")
        aws("elbv2").delete_load_balancer(LoadBalancerArn=self.balancer()["LoadBalancerArn"])
        self.refused("DependencyViolation", ec2.delete_security_group, GroupId=self.group)
        self.refused("DependencyViolation", ec2.delete_subnet, SubnetId=self.subnets[0])
        gateway = {"InternetGatewayId": self.gateway, "VpcId": self.vpc}
        self.refused("DependencyViolation", ec2.detach_internet_gateway, **gateway)
        self.over("linger")
        ec2.delete_security_group(GroupId=self.group)
        ec2.delete_subnet(SubnetId=self.subnets[0])
        ec2.detach_internet_gateway(**gateway)


class Databases(Strict):
    def test_an_instance_takes_its_time(self):
        rds, name, groups = aws("rds"), unique("db"), unique("groups")
        self.network()
        rds.create_db_subnet_group(DBSubnetGroupName=groups, DBSubnetGroupDescription="d", SubnetIds=self.subnets)

        def status():
            return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["DBInstanceStatus"]

        self.long("settle")
        call = {"DBInstanceIdentifier": name, "Engine": "postgres", "DBInstanceClass": "db.t4g.micro", "AllocatedStorage": 20}
        call |= {"MasterUsername": "u", "MasterUserPassword": "password", "DBSubnetGroupName": groups}
        rds.create_db_instance(**call, VpcSecurityGroupIds=[self.group])
        self.assertEqual(status(), "creating")
        change = {"DBInstanceIdentifier": name, "BackupRetentionPeriod": 3, "ApplyImmediately": True}
        self.refused("InvalidDBInstanceState", rds.modify_db_instance, **change)
        last = {"DBInstanceIdentifier": name, "FinalDBSnapshotIdentifier": unique("last")}
        self.refused("InvalidDBInstanceState", rds.delete_db_instance, **last)
        self.over("settle")
        self.assertEqual(status(), "available")
        self.long("settle")
        rds.modify_db_instance(**change)
        self.assertEqual(status(), "modifying")
        self.refused("InvalidDBInstanceState", rds.modify_db_instance, **change)
        self.over("settle")
        self.assertEqual(status(), "available")
        self.long("settle")
        rds.delete_db_instance(**last)
        self.assertEqual(status(), "deleting")
        again = {"DBInstanceIdentifier": name, "SkipFinalSnapshot": True}
        self.refused("InvalidDBInstanceState", rds.delete_db_instance, **again)
        self.refused("InvalidDBSubnetGroupStateFault", rds.delete_db_subnet_group, DBSubnetGroupName=groups)
        self.refused("DependencyViolation", aws("ec2").delete_security_group, GroupId=self.group)
        self.refused("DBInstanceAlreadyExists", rds.create_db_instance, **call)
        self.over("settle")
        self.refused("DBInstanceNotFound", rds.describe_db_instances, DBInstanceIdentifier=name)
        rds.delete_db_subnet_group(DBSubnetGroupName=groups)
        aws("ec2").delete_security_group(GroupId=self.group)


class Roles(Strict):
    def test_reads_lag(self):
        iam, name = aws("iam"), unique("role")
        self.long("lag")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        self.refused("NoSuchEntity", iam.get_role, RoleName=name)
        self.refused("NoSuchEntity", iam.put_role_policy, RoleName=name, PolicyName="p", PolicyDocument=TRUST)
        self.refused("EntityAlreadyExists", iam.create_role, RoleName=name, AssumeRolePolicyDocument=TRUST)
        self.assertNotIn(name, [each["RoleName"] for each in iam.list_roles()["Roles"]])
        schedule = {"Name": unique("s"), "ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"}}
        schedule["Target"] = {"Arn": "arn:aws:sqs:us-east-1:123456789012:q", "RoleArn": role}
        self.refused("ValidationException", aws("scheduler").create_schedule, **schedule)
        function = {"FunctionName": unique("f"), "Runtime": "python3.12", "Handler": "a.b", "Role": role}
        function["Code"] = {"S3Bucket": "none", "S3Key": "none"}
        self.refused("InvalidParameterValueException", aws("lambda").create_function, **function)
        self.over("lag")
        self.assertIn(name, [each["RoleName"] for each in iam.list_roles()["Roles"]])
        aws("scheduler").create_schedule(**schedule)

    def test_policies_lag(self):
        iam, name = aws("iam"), unique("policy")
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
        self.long("lag")
        arn = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))["Policy"]["Arn"]
        self.refused("NoSuchEntity", iam.get_policy, PolicyArn=arn)
        self.assertNotIn(name, [each["PolicyName"] for each in iam.list_policies(Scope="Local")["Policies"]])
        self.over("lag")
        self.assertIn(name, [each["PolicyName"] for each in iam.list_policies(Scope="Local")["Policies"]])

    def test_a_role_in_use_is_kept(self):
        iam, name = aws("iam"), unique("role")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
        self.refused("DeleteConflict", iam.delete_role, RoleName=name)


    def test_a_policy_in_use_is_kept(self):
        iam, name = aws("iam"), unique("role")
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        arn = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))["Policy"]["Arn"]
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        self.refused("DeleteConflict", iam.delete_policy, PolicyArn=arn)
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)
        iam.delete_policy(PolicyArn=arn)


class Clusters(Strict):
    def test_an_inactive_cluster_is_only_shown(self):
        ecs, name = aws("ecs"), unique("cluster")
        ecs.create_cluster(clusterName=name)
        ecs.delete_cluster(cluster=name)
        self.assertEqual(ecs.describe_clusters(clusters=[name])["clusters"][0]["status"], "INACTIVE")
        self.refused("ClusterNotFoundException", ecs.list_services, cluster=name)
        self.assertFalse([arn for arn in ecs.list_clusters()["clusterArns"] if arn.endswith("/" + name)])


class Functions(Strict):
    def test_interfaces_outlive_a_function(self):
        ec2, name = aws("ec2"), unique("function")
        self.network()
        self.long("linger")
        who = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [who]})
        role = aws("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("a.py", "")
        network = {"SubnetIds": self.subnets, "SecurityGroupIds": [self.group]}
        call = {"Runtime": "python3.12", "Handler": "a.b", "Code": {"ZipFile": code.getvalue()}, "VpcConfig": network}
        aws("lambda").create_function(FunctionName=name, Role=role, **call)
        for delete in (lambda: None, lambda: aws("lambda").delete_function(FunctionName=name)):
            delete()
            self.refused("DependencyViolation", ec2.delete_security_group, GroupId=self.group)
            self.refused("DependencyViolation", ec2.delete_subnet, SubnetId=self.subnets[0])
        self.over("linger")
        ec2.delete_security_group(GroupId=self.group)
        ec2.delete_subnet(SubnetId=self.subnets[0])


class Certificates(Strict):
    def test_a_certificate_takes_its_time(self):
        acm, name = aws("acm"), unique("a") + ".example.org"
        zone = aws("route53").create_hosted_zone(Name=name, CallerReference=unique("zone"))["HostedZone"]["Id"]
        self.long("lag", "settle")
        arn = acm.request_certificate(DomainName=name, ValidationMethod="DNS", Tags=TAGS)["CertificateArn"]
        self.refused("ResourceNotFoundException", acm.describe_certificate, CertificateArn=arn)
        listed = [each["CertificateArn"] for each in acm.list_certificates()["CertificateSummaryList"]]
        self.assertNotIn(arn, listed)
        self.over("lag")

        def certificate():
            return acm.describe_certificate(CertificateArn=arn)["Certificate"]

        record = certificate()["DomainValidationOptions"][0]["ResourceRecord"]
        made = {"Name": record["Name"], "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": record["Value"]}]}
        change = {"Action": "CREATE", "ResourceRecordSet": made}
        aws("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
        self.assertEqual(certificate()["Status"], "PENDING_VALIDATION")
        self.over("settle")
        self.assertEqual(certificate()["Status"], "ISSUED")


class Dates(Strict):
    def test_dates_can_be_ahead(self):
        strict(ahead=60)
        self.addCleanup(strict, ahead=0)
        date = aws("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]["date"]
        self.assertAlmostEqual(email.utils.parsedate_to_datetime(date).timestamp(), time.time() + 60, delta=20)
