"""IAM's simulation of policies."""

import json

from . import TRUST, Case, aws, unique

ROLE = "arn:aws:iam::123456789012:role/acme/*"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "ec2:Create*", "Resource": "*"},
        {"Effect": "Deny", "Action": "ec2:CreateVpc", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["iam:PassRole"],
            "Resource": ROLE,
            "Condition": {"StringEquals": {"iam:PassedToService": ["ecs-tasks.amazonaws.com"]}},
        },
    ],
}


class Simulation(Case):
    def user(self):
        name = unique("user")
        arn = aws("iam").create_user(UserName=name)["User"]["Arn"]
        aws("iam").put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(POLICY))
        return name, arn

    def decisions(self, arn, actions, **keywords):
        results = aws("iam").simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions, **keywords)
        return [one["EvalDecision"] for one in results["EvaluationResults"]]

    def test_decisions(self):
        _, arn = self.user()
        actions = ["ec2:CreateSubnet", "ec2:CreateVpc", "ec2:DeleteVpc"]
        self.assertEqual(self.decisions(arn, actions), ["allowed", "explicitDeny", "implicitDeny"])

    def test_of_a_role(self):
        role = aws("iam").create_role(RoleName=unique("role"), Path="/acme/", AssumeRolePolicyDocument=TRUST)["Role"]
        document = json.dumps(POLICY)
        aws("iam").put_role_policy(RoleName=role["RoleName"], PolicyName="p", PolicyDocument=document)
        self.assertEqual(self.decisions(role["Arn"], ["ec2:CreateSubnet"]), ["allowed"])

    def test_resources_and_conditions(self):
        _, arn = self.user()
        call = {"PolicySourceArn": arn, "ActionNames": ["iam:PassRole"], "ResourceArns": [ROLE, ROLE.replace("acme", "other")]}
        key = {"ContextKeyName": "iam:PassedToService", "ContextKeyType": "string"}
        entries = [{**key, "ContextKeyValues": ["ecs-tasks.amazonaws.com"]}]
        [told] = aws("iam").simulate_principal_policy(ContextEntries=entries, **call)["EvaluationResults"]
        each = [one["EvalResourceDecision"] for one in told["ResourceSpecificResults"]]
        self.assertEqual(each, ["allowed", "implicitDeny"])
        [told] = aws("iam").simulate_principal_policy(**call)["EvaluationResults"]
        first = told["ResourceSpecificResults"][0]
        self.assertEqual(first["EvalResourceDecision"], "implicitDeny")
        self.assertEqual(first["MissingContextValues"], ["iam:PassedToService"])

    def test_nobody(self):
        nobody = "arn:aws:iam::123456789012:user/nobody"
        call = {"PolicySourceArn": nobody, "ActionNames": ["ec2:CreateVpc"]}
        self.refused("NoSuchEntity", aws("iam").simulate_principal_policy, **call)

    def test_other_keys_are_the_root_users(self):
        self.assertEqual(aws("sts").get_caller_identity()["Arn"], "arn:aws:iam::123456789012:root")
