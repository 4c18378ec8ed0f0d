"""SNS, Lambda and EventBridge."""

import io
import json
import zipfile

from . import TAGS, TRUST, Case, aws, indexed, unique


def archive(text="x = 1\n"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("main.py", text)
    return buffer.getvalue()


class Topics(Case):
    def subscribe(self, protocol, endpoint):
        self.topic = aws("sns").create_topic(Name=unique("t"), Tags=TAGS)["TopicArn"]
        aws("sns").subscribe(TopicArn=self.topic, Protocol=protocol, Endpoint=endpoint)
        return self.listed()

    def listed(self):
        return [one["SubscriptionArn"] for one in aws("sns").list_subscriptions_by_topic(TopicArn=self.topic)["Subscriptions"]]

    def test_mail_waits_for_its_confirmation(self):
        self.assertEqual(self.subscribe("email", "a@example.com"), ["PendingConfirmation"])
        every = aws("sns").list_subscriptions()["Subscriptions"]
        self.assertIn("PendingConfirmation", [one["SubscriptionArn"] for one in every if one["TopicArn"] == self.topic])
        aws("sns").confirm_subscription(TopicArn=self.topic, Token="a@example.com")
        [arn] = self.listed()
        self.assertTrue(arn.startswith(self.topic), arn)

    def test_what_waits_cannot_be_deleted(self):
        self.subscribe("https", "https://example.com/x")
        self.refused("InvalidParameter", aws("sns").unsubscribe, SubscriptionArn="PendingConfirmation")

    def test_a_wrong_token_confirms_nothing(self):
        self.subscribe("email", "a@example.com")
        self.refused("InvalidParameter", aws("sns").confirm_subscription, TopicArn=self.topic, Token="b@example.com")


class Functions(Case):
    def make(self, **keywords):
        self.name = unique("f")
        call = {"FunctionName": self.name, "Runtime": "python3.13", "Handler": "main.x", "Code": {"ZipFile": archive()}}
        role = aws("iam").create_role(RoleName=unique("role"), AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        aws("lambda").create_function(Role=role, Tags={"infra:project": "acme"}, **{**call, **keywords})

    def look(self):
        return aws("lambda").get_function(FunctionName=self.name)["Configuration"]

    def test_a_new_function_is_pending(self):
        self.make()
        self.assertEqual([self.look()["State"], self.look()["State"]], ["Pending", "Active"])

    def test_one_change_at_a_time(self):
        self.make()
        change = aws("lambda").update_function_configuration
        self.refused("ResourceConflictException", change, FunctionName=self.name, Timeout=5)
        self.look()
        aws("lambda").update_function_code(FunctionName=self.name, ZipFile=archive("x = 2\n"))
        self.refused("ResourceConflictException", change, FunctionName=self.name, Timeout=5)
        self.assertEqual(self.look()["LastUpdateStatus"], "InProgress")
        change(FunctionName=self.name, Timeout=5)

    def test_settings_read_back(self):
        self.make(LoggingConfig={"LogGroup": "/x"})
        self.look()
        key = "arn:aws:kms:us-east-1:123456789012:key/x"
        change = {"EphemeralStorage": {"Size": 1024}, "TracingConfig": {"Mode": "Active"}, "KMSKeyArn": key}
        aws("lambda").update_function_configuration(FunctionName=self.name, **change)
        self.look()
        aws("lambda").update_function_code(FunctionName=self.name, ZipFile=archive(), Architectures=["arm64"])
        now = self.look()
        self.assertEqual({name: now[name] for name in change}, change)
        self.assertEqual((now["LoggingConfig"]["LogGroup"], now["Architectures"]), ("/x", ["arm64"]))
        aws("lambda").update_function_configuration(FunctionName=self.name, KMSKeyArn="", LoggingConfig={"LogGroup": "/y"})
        now = self.look()
        self.assertEqual((now["LoggingConfig"]["LogGroup"], now.get("KMSKeyArn")), ("/y", None))

    def test_the_log_group_is_named_after_the_function(self):
        self.make()
        self.assertEqual(self.look()["LoggingConfig"]["LogGroup"], f"/aws/lambda/{self.name}")

    def test_permissions_have_names_of_their_own(self):
        self.make()
        call = {"StatementId": "a", "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com"}
        aws("lambda").add_permission(FunctionName=self.name, **call)
        self.refused("ResourceConflictException", aws("lambda").add_permission, FunctionName=self.name, **call)

    def test_a_function_may_be_stopped(self):
        self.make()
        aws("lambda").put_function_concurrency(FunctionName=self.name, ReservedConcurrentExecutions=0)
        now = aws("lambda").get_function(FunctionName=self.name)
        self.assertEqual(now["Concurrency"]["ReservedConcurrentExecutions"], 0)


class Rules(Case):
    def rule(self, **keywords):
        self.name = unique("r")
        return aws("events").put_rule(Name=self.name, EventPattern=json.dumps({"source": ["x"]}), Tags=TAGS, **keywords)["RuleArn"]

    def test_rules_are_tagged_resources(self):
        self.assertIn(self.rule(), indexed())

    def test_put_again_leaves_tags_alone(self):
        arn = self.rule()
        aws("events").put_rule(Name=self.name, ScheduleExpression="rate(1 day)", Tags=[{"Key": "other", "Value": "v"}])
        self.assertEqual(aws("events").list_tags_for_resource(ResourceARN=arn)["Tags"], TAGS)

    def test_five_targets_at_most(self):
        self.rule()
        targets = [{"Id": str(at), "Arn": "arn:aws:sns:us-east-1:123456789012:x"} for at in range(6)]
        self.refused("LimitExceededException", aws("events").put_targets, Rule=self.name, Targets=targets)
