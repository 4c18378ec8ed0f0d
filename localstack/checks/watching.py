"""CloudWatch alarms, dashboards and pages of metrics; saved queries and metric filters of CloudWatch Logs."""

import time

from . import TAGS, Case, aws, unique


def metric_alarm(**keywords):
    name = unique("alarm")
    call = {"AlarmName": name, "MetricName": "CPU", "Namespace": "acme", "Period": 60, "EvaluationPeriods": 1}
    call |= {"Threshold": 80, "ComparisonOperator": "GreaterThanThreshold", "Statistic": "Average", **keywords}
    aws("cloudwatch").put_metric_alarm(**call)
    return name


def described(**keywords):
    answer = aws("cloudwatch").describe_alarms(**keywords)
    return answer["MetricAlarms"], answer["CompositeAlarms"]


def arn(name):
    return f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"


def tagged(resource):
    found = aws("resourcegroupstaggingapi").get_resources(ResourceTypeFilters=["cloudwatch"])["ResourceTagMappingList"]
    return {each["ResourceARN"]: each["Tags"] for each in found}.get(resource)


class CompositeAlarms(Case):
    def setUp(self):
        self.child, self.name = metric_alarm(), unique("composite")
        self.put(Tags=TAGS)

    def put(self, **keywords):
        rule = f'ALARM("{self.child}")'
        aws("cloudwatch").put_composite_alarm(**{"AlarmName": self.name, "AlarmRule": rule, **keywords})

    def shown(self):
        return described(AlarmNames=[self.name], AlarmTypes=["CompositeAlarm"])[1]

    def test_reads_back(self):
        [alarm] = self.shown()
        self.assertEqual((alarm["AlarmRule"], alarm["ActionsEnabled"]), (f'ALARM("{self.child}")', True))
        self.assertEqual(alarm["StateValue"], "INSUFFICIENT_DATA")

    def test_shown_only_where_its_type_is_asked_for(self):
        self.assertEqual(described(AlarmNamePrefix=self.name), ([], []))
        self.assertEqual(len(self.shown()), 1)

    def test_tags_are_those_of_a_new_one(self):
        self.put(Tags=[{"Key": "other", "Value": "v"}], AlarmDescription="changed")
        self.assertEqual(self.shown()[0]["AlarmDescription"], "changed")
        self.assertEqual(aws("cloudwatch").list_tags_for_resource(ResourceARN=arn(self.name))["Tags"], TAGS)
        self.assertEqual(tagged(arn(self.name)), TAGS)

    def test_children_must_exist(self):
        put = aws("cloudwatch").put_composite_alarm
        self.refused("ValidationError", put, AlarmName="other", AlarmRule="ALARM(none) OR OK(none)")

    def test_children_are_kept(self):
        self.refused("ValidationError", aws("cloudwatch").delete_alarms, AlarmNames=[self.child])
        aws("cloudwatch").delete_alarms(AlarmNames=[self.name])
        aws("cloudwatch").delete_alarms(AlarmNames=[self.child])
        self.assertEqual(described(AlarmNames=[self.child, self.name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]), ([], []))

    def test_one_a_call(self):
        first, self.name = self.name, unique("composite")
        self.put()
        self.refused("ValidationError", aws("cloudwatch").delete_alarms, AlarmNames=[first, self.name])


class DeletedAlarms(Case):
    def test_none_is_deleted_where_one_is_missing(self):
        name = metric_alarm()
        self.refused("ResourceNotFound", aws("cloudwatch").delete_alarms, AlarmNames=[name, "none"])
        self.assertEqual(len(described(AlarmNames=[name])[0]), 1)

    def test_tags_are_gone(self):
        name = metric_alarm(Tags=TAGS)
        aws("cloudwatch").delete_alarms(AlarmNames=[name])
        metric_alarm(AlarmName=name)
        self.assertEqual(aws("cloudwatch").list_tags_for_resource(ResourceARN=arn(name))["Tags"], [])


class Dashboards(Case):
    def setUp(self):
        self.name = unique("dashboard")
        self.arn = f"arn:aws:cloudwatch::123456789012:dashboard/{self.name}"
        self.put(TAGS)

    def put(self, tags):
        aws("cloudwatch").put_dashboard(DashboardName=self.name, DashboardBody='{"widgets": []}', Tags=tags)

    def tags(self):
        return aws("cloudwatch").list_tags_for_resource(ResourceARN=self.arn)["Tags"]

    def test_tags_are_those_of_a_new_one(self):
        self.put([{"Key": "other", "Value": "v"}])
        self.assertEqual((self.tags(), tagged(self.arn)), (TAGS, TAGS))

    def test_tags_change(self):
        aws("cloudwatch").tag_resource(ResourceARN=self.arn, Tags=[{"Key": "other", "Value": "v"}])
        aws("cloudwatch").untag_resource(ResourceARN=self.arn, TagKeys=["Name", "infra:project"])
        self.assertEqual(self.tags(), [{"Key": "other", "Value": "v"}])

    def test_tags_go_with_it(self):
        aws("cloudwatch").delete_dashboards(DashboardNames=[self.name])
        self.refused("ResourceNotFoundException", self.tags)
        self.put([])
        self.assertEqual(self.tags(), [])


class MetricData(Case):
    def test_pages_within_and_over_queries(self):
        now, namespace = int(time.time()) // 60 * 60, unique("namespace")
        data = [{"MetricName": "m", "Value": n, "Timestamp": now - 60 * n} for n in range(3)]
        aws("cloudwatch").put_metric_data(Namespace=namespace, MetricData=data)
        metric = {"Namespace": namespace, "MetricName": "m"}
        queries = [{"Id": f"q{n}", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}} for n in range(2)]
        call = {"MetricDataQueries": queries, "StartTime": now - 600, "EndTime": now + 60, "MaxDatapoints": 2}
        seen, token = [], {}
        while not seen or token["NextToken"]:
            answer = aws("cloudwatch").get_metric_data(**call, **token)
            results, token = answer["MetricDataResults"], {"NextToken": answer.get("NextToken")}
            seen.append([(each["Id"], each["Values"], each["StatusCode"]) for each in results])
        first = [("q0", [0, 1], "PartialData")]
        self.assertEqual(seen, [first, [("q0", [2], "Complete"), ("q1", [0], "PartialData")], [("q1", [1, 2], "Complete")]])


class Queries(Case):
    def put(self, **keywords):
        call = {"name": "acme/test/errors", "queryString": "fields @message", **keywords}
        return aws("logs").put_query_definition(**call)["queryDefinitionId"]

    def shown(self, prefix):
        found = aws("logs").describe_query_definitions(queryDefinitionNamePrefix=prefix)["queryDefinitions"]
        return [(query["queryDefinitionId"], query["queryString"]) for query in found]

    def test_without_an_id_another_one_is_made(self):
        name, token = unique("acme/query"), unique("token").ljust(36, "0")
        first = self.put(name=name, clientToken=token)
        self.assertEqual(self.put(name=name, clientToken=token), first)
        self.assertNotEqual(self.put(name=name), first)
        self.assertEqual(len(self.shown(name)), 2)

    def test_with_an_id_it_changes(self):
        name = unique("acme/query")
        id = self.put(name=name)
        self.put(name=name, queryDefinitionId=id, queryString="fields @timestamp")
        self.assertEqual(self.shown(name), [(id, "fields @timestamp")])
        aws("logs").delete_query_definition(queryDefinitionId=id)
        self.refused("ResourceNotFoundException", aws("logs").delete_query_definition, queryDefinitionId=id)


class LogMetrics(Case):
    def setUp(self):
        self.group = unique("/acme/group")
        aws("logs").create_log_group(logGroupName=self.group)

    def put(self, name, group=None):
        value = [{"metricName": "items", "metricNamespace": "acme", "metricValue": "1"}]
        aws("logs").put_metric_filter(logGroupName=group or self.group, filterName=name, filterPattern="", metricTransformations=value)

    def shown(self, **keywords):
        return aws("logs").describe_metric_filters(logGroupName=self.group, **keywords)

    def test_one_filter_a_name(self):
        self.put("items")
        self.put("items")
        self.assertEqual(len(self.shown()["metricFilters"]), 1)

    def test_pages(self):
        self.put("a")
        self.put("b")
        first = self.shown(limit=1)
        self.assertEqual([len(first["metricFilters"]), "nextToken" in first], [1, True])
        self.assertNotIn("nextToken", self.shown(limit=1, nextToken=first["nextToken"]))

    def test_filters_belong_to_groups(self):
        self.refused("ResourceNotFoundException", self.put, "items", "/acme/none")
        delete = aws("logs").delete_metric_filter
        self.refused("ResourceNotFoundException", delete, logGroupName=self.group, filterName="none")

    def test_filters_go_with_their_group(self):
        self.put("items")
        aws("logs").delete_log_group(logGroupName=self.group)
        aws("logs").create_log_group(logGroupName=self.group)
        self.assertEqual(self.shown()["metricFilters"], [])
