"""WAF."""

from . import TAGS, Case, aws, unique


def seen(name):
    return {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": name}


class Wafv2(Case):
    def acl(self, name=None, rules=()):
        name = name or unique("acl")
        call = {"Name": name, "Scope": "REGIONAL", "DefaultAction": {"Allow": {}}, "VisibilityConfig": seen(name)}
        return aws("wafv2").create_web_acl(**call, Rules=list(rules), Tags=TAGS)["Summary"]

    def ip_set(self, name=None):
        call = {"Name": name or unique("set"), "Scope": "REGIONAL", "IPAddressVersion": "IPV4", "Tags": TAGS}
        return aws("wafv2").create_ip_set(**call, Addresses=["203.0.113.0/24"])["Summary"]

    def key(self, summary):
        return {"Name": summary["Name"], "Id": summary["Id"], "Scope": "REGIONAL", "LockToken": summary["LockToken"]}

    def rule(self, ip_set):
        statement = {"IPSetReferenceStatement": {"ARN": ip_set}}
        return {"Name": "a", "Priority": 0, "Statement": statement, "Action": {"Block": {}}, "VisibilityConfig": seen("a")}

    def test_names_are_unique(self):
        name = unique("name")
        self.acl(name)
        self.ip_set(name)
        self.refused("WAFDuplicateItemException", self.acl, name)
        self.refused("WAFDuplicateItemException", self.ip_set, name)

    def test_a_resource_has_one_web_acl(self):
        self.network()
        balancer = self.balancer()["LoadBalancerArn"]
        acls = [self.acl()["ARN"] for _ in range(2)]
        for acl in acls:
            aws("wafv2").associate_web_acl(WebACLArn=acl, ResourceArn=balancer)
        listed = [aws("wafv2").list_resources_for_web_acl(WebACLArn=acl)["ResourceArns"] for acl in acls]
        self.assertEqual(listed, [[], [balancer]])
        gone = balancer.replace("/lb-", "/no-")
        associate = aws("wafv2").associate_web_acl
        self.refused("WAFNonexistentItemException", associate, WebACLArn=acls[0], ResourceArn=gone)

    def test_what_is_used_is_kept(self):
        self.network()
        balancer, ip_set = self.balancer()["LoadBalancerArn"], self.ip_set()
        acl = self.acl(rules=[self.rule(ip_set["ARN"])])
        aws("wafv2").associate_web_acl(WebACLArn=acl["ARN"], ResourceArn=balancer)
        self.refused("WAFAssociatedItemException", aws("wafv2").delete_web_acl, **self.key(acl))
        self.refused("WAFAssociatedItemException", aws("wafv2").delete_ip_set, **self.key(ip_set))
        aws("elbv2").delete_load_balancer(LoadBalancerArn=balancer)
        aws("wafv2").delete_web_acl(**self.key(acl))
        aws("wafv2").delete_ip_set(**self.key(ip_set))

    def test_an_update_says_all(self):
        acl = self.acl(rules=[self.rule(self.ip_set()["ARN"])])
        call = {**self.key(acl), "DefaultAction": {"Block": {}}, "VisibilityConfig": seen("a")}
        aws("wafv2").update_web_acl(**call, Rules=[])
        self.assertEqual(aws("wafv2").get_web_acl(ARN=acl["ARN"])["WebACL"]["Rules"], [])

    def test_tagged_ones_are_known(self):
        wanted = [self.acl()["ARN"], self.ip_set()["ARN"]]
        found = aws("resourcegroupstaggingapi").get_resources(ResourceTypeFilters=["wafv2"])
        arns = [resource["ResourceARN"] for resource in found["ResourceTagMappingList"]]
        self.assertLessEqual(set(wanted), set(arns))
