"""Route 53."""

from . import TAGS, Case, aws, unique


class Route53(Case):
    def setUp(self):
        self.domain = f"{unique('zone')}.com"
        made = aws("route53").create_hosted_zone(Name=self.domain.upper(), CallerReference=unique("reference"))
        self.zone = made["HostedZone"]["Id"].split("/")[-1]

    def change(self, *changes):
        changes = [{"Action": action, "ResourceRecordSet": record} for action, record in changes]
        return aws("route53").change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch={"Changes": changes})

    def a(self, name, *values, ttl=60, kind="A"):
        records = [{"Value": value} for value in values]
        return {"Name": f"{name}.{self.domain}", "Type": kind, "TTL": ttl, "ResourceRecords": records}

    def names(self):
        listed = aws("route53").list_resource_record_sets(HostedZoneId=self.zone)["ResourceRecordSets"]
        return [(record["Name"], record["Type"]) for record in listed if record["Type"] not in ("NS", "SOA")]

    def test_ids_of_zones_begin_with_z(self):
        made = [aws("route53").create_hosted_zone(Name=self.domain, CallerReference=unique("reference")) for _ in "abc"]
        self.assertEqual({zone["HostedZone"]["Id"][:13] for zone in made}, {"/hostedzone/Z"})

    def test_names_are_lower_case_and_wildcards_octal(self):
        self.change(("CREATE", self.a("*.API", "10.0.0.1")))
        self.assertEqual(self.names(), [(f"\\052.api.{self.domain}.", "A")])
        start = {"StartRecordName": f"*.api.{self.domain}", "StartRecordType": "A", "MaxItems": "1"}
        listed = aws("route53").list_resource_record_sets(HostedZoneId=self.zone, **start)["ResourceRecordSets"]
        self.assertEqual(listed[0]["Name"], f"\\052.api.{self.domain}.")

    def test_alias_names_end_in_a_dot(self):
        alias = {"HostedZoneId": "Z2", "DNSName": "LB.example.com", "EvaluateTargetHealth": False}
        self.change(("CREATE", {"Name": self.domain, "Type": "A", "AliasTarget": alias}))
        listed = aws("route53").list_resource_record_sets(HostedZoneId=self.zone)["ResourceRecordSets"]
        aliases = [record["AliasTarget"] for record in listed if "AliasTarget" in record]
        self.assertEqual(aliases, [{**alias, "DNSName": "lb.example.com."}])

    def test_what_exists_is_not_created_and_nothing_of_the_batch_is_done(self):
        self.change(("CREATE", self.a("api", "10.0.0.1")))
        batch = [("CREATE", self.a("web", "10.0.0.2")), ("CREATE", self.a("api", "10.0.0.2"))]
        self.refused("InvalidChangeBatch", self.change, *batch)
        self.assertEqual(self.names(), [(f"api.{self.domain}.", "A")])

    def test_a_delete_names_what_is_there(self):
        self.change(("UPSERT", self.a("api", "10.0.0.1", "10.0.0.2")))
        self.refused("InvalidChangeBatch", self.change, ("DELETE", self.a("api", "10.0.0.1")))
        self.refused("InvalidChangeBatch", self.change, ("DELETE", self.a("web", "10.0.0.1")))
        self.change(("DELETE", self.a("api", "10.0.0.2", "10.0.0.1")))
        self.assertEqual(self.names(), [])

    def test_a_cname_stands_alone(self):
        self.change(("CREATE", self.a("api", "10.0.0.1")))
        self.refused("InvalidChangeBatch", self.change, ("CREATE", self.a("api", "x.example.com", kind="CNAME")))

    def test_records_below_keep_the_zone(self):
        self.change(("CREATE", self.a("sub", "ns1.example.com", kind="NS")))
        self.refused("HostedZoneNotEmpty", aws("route53").delete_hosted_zone, Id=self.zone)

    def test_a_reference_makes_one_zone(self):
        reference = unique("reference")
        aws("route53").create_hosted_zone(Name=self.domain, CallerReference=reference)
        create = aws("route53").create_hosted_zone
        self.refused("HostedZoneAlreadyExists", create, Name=self.domain, CallerReference=reference)

    def test_tagged_zones_are_known(self):
        aws("route53").change_tags_for_resource(ResourceType="hostedzone", ResourceId=self.zone, AddTags=TAGS)
        found = aws("resourcegroupstaggingapi").get_resources(ResourceTypeFilters=["route53:hostedzone"])
        arns = [resource["ResourceARN"] for resource in found["ResourceTagMappingList"]]
        self.assertIn(f"arn:aws:route53:::hostedzone/{self.zone}", arns)
