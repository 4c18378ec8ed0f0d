"""ECR, OpenID Connect providers, AWS Backup."""

import json
import os
from urllib.parse import quote
from urllib.request import Request, urlopen

from . import TAGS, Case, aws, indexed, unique

OURS = {tag["Key"]: tag["Value"] for tag in TAGS}
TRUST = {"Effect": "Allow", "Principal": {"Service": "backup.amazonaws.com"}, "Action": "sts:AssumeRole"}


class Ecr(Case):
    def repository(self):
        return aws("ecr").create_repository(repositoryName=unique("acme/api"), tags=TAGS)["repository"]

    def refuse(self, *rules):
        text = json.dumps({"rules": [{"rulePriority": at, "action": {"type": "expire"}, **rule} for at, rule in rules]})
        name = self.repository()["repositoryName"]
        put = aws("ecr").put_lifecycle_policy
        self.refused("InvalidParameterException", put, repositoryName=name, lifecyclePolicyText=text)

    def test_repositories_are_indexed(self):
        arn = self.repository()["repositoryArn"]
        self.assertEqual(indexed().get(arn), TAGS)

    def test_scanning_ends_where_nothing_is_said(self):
        name = aws("ecr").create_repository(repositoryName=unique("a"), imageScanningConfiguration={"scanOnPush": True})
        name = name["repository"]["repositoryName"]
        aws("ecr").put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration={})
        found = aws("ecr").describe_repositories(repositoryNames=[name])["repositories"][0]
        self.assertEqual(found["imageScanningConfiguration"], {"scanOnPush": False})

    def test_rules_have_priorities_of_their_own(self):
        rule = {"selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}}
        self.refuse((1, rule), (1, rule))

    def test_a_rule_for_tagged_images_names_tags(self):
        self.refuse((1, {"selection": {"tagStatus": "tagged", "countType": "imageCountMoreThan", "countNumber": 1}}))

    def test_a_pattern_has_four_wildcards_at_most(self):
        selection = {"tagStatus": "tagged", "tagPatternList": ["*1*2*3*4*"], "countType": "imageCountMoreThan"}
        self.refuse((1, {"selection": {**selection, "countNumber": 1}}))

    def test_one_rule_selects_untagged_images(self):
        rule = {"selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 1}}
        self.refuse((1, rule), (2, rule))

    def test_an_age_has_a_unit(self):
        self.refuse((1, {"selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countNumber": 1}}))

    def test_any_image_comes_last(self):
        every = {"selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}}
        tagged = {"tagStatus": "tagged", "tagPatternList": ["v*"], "countType": "imageCountMoreThan", "countNumber": 1}
        self.refuse((1, every), (2, {"selection": tagged}))


class Oidc(Case):
    def provider(self):
        url = f"https://{unique('issuer')}.example.com"
        made = aws("iam").create_open_id_connect_provider(Url=url, ClientIDList=["a"], Tags=TAGS)
        return {"OpenIDConnectProviderArn": made["OpenIDConnectProviderArn"]}

    def test_providers_are_indexed_in_one_region(self):
        arn = self.provider()["OpenIDConnectProviderArn"]
        self.assertEqual(indexed().get(arn), TAGS)
        self.assertNotIn(arn, indexed(region_name="eu-west-1"))

    def test_a_thumbprint_is_found(self):
        thumbprints = aws("iam").get_open_id_connect_provider(**self.provider())["ThumbprintList"]
        self.assertEqual([len(thumbprint) for thumbprint in thumbprints], [40])

    def test_client_ids_come_and_go(self):
        provider = self.provider()
        for _ in range(2):
            aws("iam").add_client_id_to_open_id_connect_provider(**provider, ClientID="b")
            aws("iam").remove_client_id_from_open_id_connect_provider(**provider, ClientID="a")
        self.assertEqual(aws("iam").get_open_id_connect_provider(**provider)["ClientIDList"], ["b"])


class Backup(Case):
    def vault(self):
        name = unique("vault")
        arn = aws("backup").create_backup_vault(BackupVaultName=name, BackupVaultTags=OURS)["BackupVaultArn"]
        return name, arn

    def document(self, **keywords):
        rule = {"RuleName": "daily", "TargetBackupVaultName": "vault", **keywords}
        return {"BackupPlanName": unique("plan"), "Rules": [rule]}

    def plan(self):
        return aws("backup").create_backup_plan(BackupPlan=self.document(), BackupPlanTags=OURS)

    def selection(self):
        text = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
        role = aws("iam").create_role(RoleName=unique("backup"), AssumeRolePolicyDocument=text)["Role"]["Arn"]
        return {"SelectionName": "databases", "IamRoleArn": role, "Resources": ["arn:aws:rds:*:*:db:main"]}

    def test_plans_are_indexed_until_deleted(self):
        plan = self.plan()
        self.assertEqual(indexed().get(plan["BackupPlanArn"]), TAGS)
        aws("backup").delete_backup_plan(BackupPlanId=plan["BackupPlanId"])
        self.assertNotIn(plan["BackupPlanArn"], indexed())
        self.refused("ResourceNotFoundException", aws("backup").get_backup_plan, BackupPlanId=plan["BackupPlanId"])

    def test_plans_share_names_and_no_content(self):
        document = self.document()
        create = aws("backup").create_backup_plan
        first = create(BackupPlan=document, CreatorRequestId="token")
        again = create(BackupPlan=document, CreatorRequestId="token")
        self.assertEqual(first["BackupPlanId"], again["BackupPlanId"])
        self.refused("AlreadyExistsException", create, BackupPlan=document)
        other = {**document, "Rules": [{**document["Rules"][0], "StartWindowMinutes": 60}]}
        create(BackupPlan=other)
        aws("backup").delete_backup_plan(BackupPlanId=first["BackupPlanId"])
        create(BackupPlan=document)

    def test_an_update_replaces_the_whole(self):
        plan = self.plan()
        document = self.document(StartWindowMinutes=60, Lifecycle={"DeleteAfterDays": 30})
        updated = aws("backup").update_backup_plan(BackupPlanId=plan["BackupPlanId"], BackupPlan=document)
        self.assertNotEqual(updated["VersionId"], plan["VersionId"])
        rule = aws("backup").get_backup_plan(BackupPlanId=plan["BackupPlanId"])["BackupPlan"]["Rules"][0]
        found = (rule["StartWindowMinutes"], rule["CompletionWindowMinutes"], rule["Lifecycle"])
        self.assertEqual(found, (60, 10080, {"DeleteAfterDays": 30}))

    def test_selections(self):
        plan, selection = {"BackupPlanId": self.plan()["BackupPlanId"]}, self.selection()
        identity = aws("backup").create_backup_selection(**plan, BackupSelection=selection)["SelectionId"]
        listed = aws("backup").list_backup_selections(**plan)["BackupSelectionsList"]
        self.assertEqual([one["SelectionId"] for one in listed], [identity])
        found = aws("backup").get_backup_selection(**plan, SelectionId=identity)
        self.assertEqual(found["BackupSelection"], selection)
        self.refused("InvalidRequestException", aws("backup").delete_backup_plan, **plan)
        aws("backup").delete_backup_selection(**plan, SelectionId=identity)
        self.refused("ResourceNotFoundException", aws("backup").get_backup_selection, **plan, SelectionId=identity)
        aws("backup").delete_backup_plan(**plan)

    def test_a_selection_needs_a_role_that_trusts_aws_backup(self):
        plan = self.plan()["BackupPlanId"]
        selection = {**self.selection(), "IamRoleArn": "arn:aws:iam::123456789012:role/none"}
        create = aws("backup").create_backup_selection
        self.refused("InvalidParameterValueException", create, BackupPlanId=plan, BackupSelection=selection)

    def test_a_vault_has_a_key(self):
        name, _ = self.vault()
        self.assertIn(":kms:", aws("backup").describe_backup_vault(BackupVaultName=name)["EncryptionKeyArn"])

    def test_a_vault_that_is_not_there_is_hidden(self):
        self.refused("AccessDeniedException", aws("backup").describe_backup_vault, BackupVaultName="none")

    def test_paths_need_no_slash_at_their_end(self):
        name, arn = self.vault()
        create = aws("backup").create_backup_plan(BackupPlan=self.document())
        for path in ["/backup-vaults", "/backup/plans", f"/backup/plans/{create['BackupPlanId']}/selections", f"/tags/{quote(arn, '')}"]:
            signature = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/backup/aws4_request"
            request = Request(os.environ["AWS_ENDPOINT_URL"] + path, headers={"Authorization": signature})
            with urlopen(request) as answer:
                found = json.load(answer)
            self.assertEqual(OURS, found.get("Tags", OURS), name)

    def test_tags_of_nothing(self):
        name, arn = self.vault()
        aws("backup").delete_backup_vault(BackupVaultName=name)
        self.refused("ResourceNotFoundException", aws("backup").list_tags, ResourceArn=arn)

    def test_a_new_vault_has_no_tags_of_an_old_one(self):
        name, arn = self.vault()
        aws("backup").delete_backup_vault(BackupVaultName=name)
        aws("backup").create_backup_vault(BackupVaultName=name)
        self.assertEqual(aws("backup").list_tags(ResourceArn=arn)["Tags"], {})

    def test_a_vault_with_recovery_points_is_kept(self):
        name, _ = self.vault()
        job = {"ResourceArn": "arn:aws:rds:us-east-1:123456789012:db:main", "IamRoleArn": "arn:aws:iam::123456789012:role/b"}
        point = aws("backup").start_backup_job(BackupVaultName=name, **job)["RecoveryPointArn"]
        self.assertEqual(aws("backup").describe_backup_vault(BackupVaultName=name)["NumberOfRecoveryPoints"], 1)
        self.refused("InvalidRequestException", aws("backup").delete_backup_vault, BackupVaultName=name)
        aws("backup").delete_recovery_point(BackupVaultName=name, RecoveryPointArn=point)
        aws("backup").delete_backup_vault(BackupVaultName=name)
