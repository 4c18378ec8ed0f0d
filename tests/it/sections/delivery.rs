//! `registries`, `pipeline` and `backups`.

use std::collections::BTreeSet;

use infra::aws::Aws;
use serde_json::Value as Json;

use crate::end_to_end::site::Site;

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2 }
keys:
  main: {}
registries:
  api: {}
  web: { keep: 20, releases: ["v*"], untagged: 14d, immutable: true, name: team/web }
services:
  api: { image: "${registries.api.url}", port: 3000, cpu: 256, memory: 512, count: 1 }
jobs:
  clean: { service: api, command: [clean], schedule: rate(1 day) }
pipeline:
  github: { repository: acme/shop, environment: production }
  provider: true
databases:
  main: { engine: postgres, version: "15", class: db.t4g.micro, deletion_protection: false }
backups:
  daily: { at: "03:30", keep: 30d, copy: { region: eu-west-1, keep: 7d } }
  weekly: { on: [sun], keep: 365d, databases: [main] }
secrets:
  role: { json: { deploy: "${pipeline.role}", plan: "${pipeline.plan_role}", registry: "${registries.web.name}" } }
"#;

#[tokio::test]
async fn from_images_to_backups() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    registries(&site.aws).await;
    execution_role(&site.aws).await;
    pipeline(&site.aws).await;
    backups(&site.aws).await;
    site.converged("test").await;

    site.edit("test", "keep: 20", "keep: 5");
    site.edit("test", "environment: production", "branches: [main, hotfix]");
    site.edit("test", ", copy: { region: eu-west-1, keep: 7d }", "");
    let refused = site.infra("apply test --yes").await;
    assert!(refused.refused().contains("--allow-data-loss backup_vault.copy"), "{refused:?}");
    let changed = site.infra("apply test --yes --allow-data-loss backup_vault.copy").await.well();
    for line in ["update", "delete"] {
        assert!(changed.stdout.contains(line), "{}", changed.stdout);
    }
    site.converged("test").await;
    let trust = trust(&site.aws, "acme-test-deploy").await;
    let subjects = ["repo:acme/shop:ref:refs/heads/hotfix", "repo:acme/shop:ref:refs/heads/main"];
    assert_eq!(texts(&trust["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]), subjects.into());
    let there = site.aws.in_region("eu-west-1");
    assert!(there.backup().list_backup_vaults().send().await.unwrap().backup_vault_list().is_empty());

    let job =
        site.aws.backup().start_backup_job().backup_vault_name("acme-test-main").iam_role_arn("arn:aws:iam::1:role/b");
    let point =
        job.resource_arn("arn:aws:rds:us-east-1:123456789012:db:x").send().await.unwrap().recovery_point_arn.unwrap();
    let stopped = site.infra("destroy test --confirm test").await;
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    let said = format!("{}{}", stopped.stdout, stopped.stderr);
    assert!(said.contains("never deleted from here"), "{said}");
    let left: Vec<String> = site.ids("test").await.into_keys().collect();
    assert!(left.contains(&"backup_vault.main".to_owned()), "{left:?}");
    let delete =
        site.aws.backup().delete_recovery_point().backup_vault_name("acme-test-main").recovery_point_arn(point);
    delete.send().await.unwrap();
    site.infra("destroy test --confirm test").await.well();
    let left: Vec<String> = site.ids("test").await.into_keys().collect();
    assert_eq!(left, [""; 0]);
}

/// The copies go with the environment, also where nothing but the file speaks of their region any more.
#[tokio::test]
async fn vaults_in_other_regions_are_destroyed_too() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    let there = site.aws.in_region("eu-west-1");
    assert_eq!(there.backup().list_backup_vaults().send().await.unwrap().backup_vault_list().len(), 1);
    for plan in site.aws.backup().list_backup_plans().send().await.unwrap().backup_plans_list() {
        let plan = plan.backup_plan_id().unwrap();
        let selections = site.aws.backup().list_backup_selections().backup_plan_id(plan).send().await.unwrap();
        for selection in selections.backup_selections_list() {
            let delete = site.aws.backup().delete_backup_selection().backup_plan_id(plan);
            delete.selection_id(selection.selection_id().unwrap()).send().await.unwrap();
        }
        site.aws.backup().delete_backup_plan().backup_plan_id(plan).send().await.unwrap();
    }
    site.infra("destroy test --confirm test").await.well();
    assert!(there.backup().list_backup_vaults().send().await.unwrap().backup_vault_list().is_empty());
}

async fn registries(aws: &Aws) {
    let key = aws.kms().describe_key().key_id("alias/acme-test-main").send().await.unwrap();
    let key = key.key_metadata().and_then(|key| key.arn()).unwrap().to_owned();
    let found = aws.ecr().describe_repositories().send().await.unwrap().repositories.unwrap();
    let names: BTreeSet<_> = found.iter().map(|repository| repository.repository_name().unwrap()).collect();
    assert_eq!(names, ["acme/api", "team/web"].into());
    for repository in &found {
        assert!(repository.image_scanning_configuration().unwrap().scan_on_push(), "scan on push");
        assert_eq!(repository.encryption_configuration().unwrap().kms_key(), Some(key.as_str()));
        let mutability = repository.image_tag_mutability().unwrap().as_str();
        let expected =
            if repository.repository_name() == Some("team/web") { "IMMUTABLE_WITH_EXCLUSION" } else { "MUTABLE" };
        assert_eq!(mutability, expected);
    }
    assert_eq!(rules(aws, "acme/api").await, ["v* 9999", "*.*.* 9999", "untagged 30 days", "* 10"]);
    assert_eq!(rules(aws, "team/web").await, ["v* 9999", "untagged 14 days", "* 20"]);
}

/// The rules of a repository in short, by priority.
async fn rules(aws: &Aws, repository: &str) -> Vec<String> {
    let policy = aws.ecr().get_lifecycle_policy().repository_name(repository).send().await.unwrap();
    let policy: Json = serde_json::from_str(policy.lifecycle_policy_text().unwrap()).unwrap();
    let mut rules = policy["rules"].as_array().unwrap().clone();
    rules.sort_by_key(|rule| rule["rulePriority"].as_u64());
    let rule = |rule: &Json| {
        let selection = &rule["selection"];
        let what = selection["tagPatternList"][0].as_str().or(selection["tagStatus"].as_str()).unwrap();
        let unit = selection["countUnit"].as_str().map(|unit| format!(" {unit}")).unwrap_or_default();
        format!("{what} {}{unit}", selection["countNumber"])
    };
    rules.iter().map(rule).collect()
}

/// The role with which ECS starts the service may pull from the registry that the file speaks of.
async fn execution_role(aws: &Aws) {
    let policy = policy(aws, "acme-test-api-execution", "start").await;
    let image = statement(&policy, "Image");
    assert_eq!(texts(&image["Resource"]), ["arn:aws:ecr:us-east-1:123456789012:repository/acme/api"].into());
}

async fn pipeline(aws: &Aws) {
    let provider = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com";
    let found = aws.iam().get_open_id_connect_provider().open_id_connect_provider_arn(provider).send().await.unwrap();
    assert_eq!(found.client_id_list(), ["sts.amazonaws.com"]);
    let expected = [("deploy", "environment:production"), ("plan", "pull_request")];
    for (role, subject) in expected {
        let trust = trust(aws, &format!("acme-test-{role}")).await;
        assert_eq!(texts(&trust["Principal"]["Federated"]), [provider].into());
        assert_eq!(texts(&trust["Action"]), ["sts:AssumeRoleWithWebIdentity"].into());
        let equals = &trust["Condition"]["StringEquals"];
        assert_eq!(trust["Condition"].as_object().unwrap().len(), 1, "nothing but exact conditions");
        assert_eq!(texts(&equals["token.actions.githubusercontent.com:aud"]), ["sts.amazonaws.com"].into());
        let subject = format!("repo:acme/shop:{subject}");
        assert_eq!(texts(&equals["token.actions.githubusercontent.com:sub"]), [subject.as_str()].into());
    }
    let release = policy(aws, "acme-test-deploy", "release").await;
    let images = texts(&statement(&release, "Images")["Resource"]);
    let repository = |name: &str| format!("arn:aws:ecr:us-east-1:123456789012:repository/{name}");
    assert_eq!(images, [repository("acme/*").as_str(), repository("team/web").as_str()].into());
    let roles = statement(&release, "Roles");
    assert_eq!(texts(&roles["Resource"]), ["arn:aws:iam::123456789012:role/infra/acme/test/*"].into());
    assert_eq!(texts(&roles["Condition"]["StringEquals"]["iam:PassedToService"]), ["ecs-tasks.amazonaws.com"].into());
    let cluster = aws.ecs().list_clusters().send().await.unwrap().cluster_arns()[0].clone();
    assert_eq!(texts(&statement(&release, "Jobs")["Condition"]["ArnEquals"]["ecs:cluster"]), [cluster.as_str()].into());
    let services = texts(&statement(&release, "Services")["Resource"]).into_iter().next().unwrap().to_owned();
    let service = aws.ecs().list_services().cluster(&cluster).send().await.unwrap().service_arns()[0].clone();
    assert!(service.starts_with(services.trim_end_matches('*')), "{service} {services}");
    let schedules = texts(&statement(&release, "Schedules")["Resource"]).into_iter().next().unwrap().to_owned();
    let schedule = aws.scheduler().list_schedules().send().await.unwrap().schedules()[0].arn().unwrap().to_owned();
    assert!(schedule.starts_with(schedules.trim_end_matches('*')), "{schedule} {schedules}");
    let scheduler = aws.iam().get_role().role_name("acme-test-scheduler").send().await.unwrap().role.unwrap();
    assert_eq!(texts(&statement(&release, "Scheduler")["Resource"]), [scheduler.arn()].into());
    let tags = |sid: &str, key: &str| {
        let equals = &statement(&release, sid)["Condition"]["StringEquals"];
        ["project", "environment"].map(|tag| texts(&equals[format!("{key}/infra:{tag}")]))
    };
    let ours = [["acme"].into(), ["test"].into()];
    assert_eq!(tags("Shapes", "aws:RequestTag"), ours);
    assert!(["Jobs", "Weights", "Alarms"].iter().all(|sid| tags(sid, "aws:ResourceTag") == ours), "{release}");
    let read = policy(aws, "acme-test-plan", "read").await;
    for (document, limit) in [(release, 10_240), (read, 10_240)] {
        assert!(document.to_string().len() < limit, "IAM takes {limit} characters");
        for action in document["Statement"].as_array().unwrap().iter().flat_map(|one| texts(&one["Action"])) {
            assert!(!action.ends_with(":*") && action != "*", "{action}");
        }
    }
}

async fn backups(aws: &Aws) {
    let there = aws.in_region("eu-west-1");
    let vaults = [aws.backup(), there.backup()].map(|client| client.list_backup_vaults().send());
    let vaults = futures::future::join_all(vaults).await;
    let arns: Vec<_> = vaults.iter().flat_map(|answer| answer.as_ref().unwrap().backup_vault_list()).collect();
    let arns: Vec<_> = arns.iter().map(|vault| vault.backup_vault_arn().unwrap()).collect();
    let arn = |region: &str, name: &str| format!("arn:aws:backup:{region}:123456789012:backup-vault:acme-test-{name}");
    assert_eq!(arns, [arn("us-east-1", "main"), arn("eu-west-1", "copy")]);

    let database = aws.rds().describe_db_instances().send().await.unwrap().db_instances()[0].clone();
    let plans = aws.backup().list_backup_plans().send().await.unwrap().backup_plans_list.unwrap();
    assert_eq!(plans.len(), 2);
    for listed in plans {
        let id = listed.backup_plan_id().unwrap();
        let plan = aws.backup().get_backup_plan().backup_plan_id(id).send().await.unwrap().backup_plan.unwrap();
        let [rule] = plan.rules() else { panic!("{plan:?}") };
        let keep = rule.lifecycle().and_then(|lifecycle| lifecycle.delete_after_days());
        let copies: Vec<_> = rule.copy_actions().iter().collect();
        match rule.rule_name() {
            "daily" => {
                assert_eq!((rule.schedule_expression(), keep), (Some("cron(30 3 ? * * *)"), Some(30)));
                let [copy] = copies[..] else { panic!("{copies:?}") };
                assert_eq!(copy.destination_backup_vault_arn(), arn("eu-west-1", "copy"));
                assert_eq!(copy.lifecycle().and_then(|lifecycle| lifecycle.delete_after_days()), Some(7));
            }
            _ => assert_eq!((rule.schedule_expression(), keep), (Some("cron(0 3 ? * SUN *)"), Some(365))),
        }
        assert_eq!(rule.target_backup_vault_name(), "acme-test-main");
        let selections = aws.backup().list_backup_selections().backup_plan_id(id).send().await.unwrap();
        let [selection] = selections.backup_selections_list() else { panic!("{selections:?}") };
        let read = aws.backup().get_backup_selection().backup_plan_id(id);
        let read = read.selection_id(selection.selection_id().unwrap()).send().await.unwrap();
        let selection = read.backup_selection().unwrap();
        assert_eq!(selection.resources(), [database.db_instance_arn().unwrap()]);
        assert!(selection.iam_role_arn().ends_with("role/infra/acme/test/acme-test-backup"));
    }
    let attached = aws.iam().list_attached_role_policies().role_name("acme-test-backup").send().await.unwrap();
    assert_eq!(attached.attached_policies().len(), 2);
}

async fn trust(aws: &Aws, role: &str) -> Json {
    let role = aws.iam().get_role().role_name(role).send().await.unwrap().role.unwrap();
    decoded(role.assume_role_policy_document().unwrap())["Statement"][0].clone()
}

async fn policy(aws: &Aws, role: &str, name: &str) -> Json {
    let request = aws.iam().get_role_policy().role_name(role).policy_name(name);
    decoded(request.send().await.unwrap().policy_document())
}

fn decoded(text: &str) -> Json {
    serde_json::from_str(&percent_encoding::percent_decode_str(text).decode_utf8_lossy()).unwrap()
}

fn statement<'a>(policy: &'a Json, sid: &str) -> &'a Json {
    policy["Statement"].as_array().unwrap().iter().find(|one| one["Sid"] == sid).unwrap()
}

/// One text or several, as a set.
fn texts(value: &Json) -> BTreeSet<&str> {
    match value {
        Json::String(text) => [text.as_str()].into(),
        Json::Array(items) => items.iter().map(|item| item.as_str().unwrap()).collect(),
        _ => BTreeSet::new(),
    }
}
