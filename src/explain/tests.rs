use super::*;
use crate::environment::{Facts, desired, load};

const BASE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2 }
services:
  api:
    image: "nginx:1.27"
    memory: 1024
    environment:
      LEVEL: info
      HOST: "${databases.main.endpoint}"
      API_TOKEN: correct-horse
databases:
  main: { engine: postgres, version: "15", class: db.t4g.micro, storage: 30 }
"#;

fn explained(address: &str) -> String {
    let file = "extends: base.yaml\nallow: { task_definition.api: [plain_secret: a test] }\nservices: { api: { cpu: 512 } }\n\
                resources:\n  log_group.x: { retention_days: 7 }\n";
    let read = |name: &str| Ok(if name.ends_with("base.yaml") { BASE.to_owned() } else { file.to_owned() });
    let loaded = load("environments/test.yaml", &[], &read).unwrap_or_else(|failed| panic!("{failed:?}"));
    let desired = desired(&loaded, &Facts::default()).unwrap();
    let checked = crate::check::check(&loaded, &desired);
    resource(&loaded, &desired, &checked, &desired.resources[&address.parse::<Address>().unwrap()])
}

#[test]
fn a_task_with_fields_of_two_files() {
    let text = explained("task_definition.api");
    assert!(!text.contains("correct-horse"), "{text}");
    insta::assert_snapshot!(text, @r"
        task_definition.api

          What a task of service api is: image, size, variables, roles.
          task_definition: What a task on Fargate runs. Each change is a new revision.

        Made by `services.api`, environments/test.yaml:3 and environments/base.yaml:8

        Fields
          architecture: X86_64  # default
          containers:  # section `services`
            0:
              cpu: 0
              environment:
                API_TOKEN: (not shown)  # environments/base.yaml:13
                HOST: ${db_instance.main.endpoint}  # environments/base.yaml:12
                LEVEL: info  # environments/base.yaml:11
              essential: true
              image: nginx:1.27  # environments/base.yaml:8
              init_process: true
              log: { group: ${log_group.api.name}, prefix: api, region: us-east-1 }
              name: api
              readonly_root: false
              stop_timeout: 30
          cpu: 512  # environments/test.yaml:3
          ephemeral_storage_gb: 20  # default
          execution_role_arn: ${iam_role.api-execution.arn}  # section `services`
          image_owner: file  # default
          memory: 1024  # environments/base.yaml:9
          task_role_arn: ${iam_role.api-task.arn}  # section `services`

        Refers to
          db_instance.main (containers)
          iam_role.api-execution (execution_role_arn)
          iam_role.api-task (task_role_arn)
          log_group.api (containers)

        Referred to by
          ecs_service.api (task_definition_arn)

        Findings
          plain_secret (allowed: a test): the variable API_TOKEN holds what looks like a secret, as plain text
        ");
}

#[test]
fn a_firewall_says_whom_it_lets_through() {
    insta::assert_snapshot!(explained("security_group.api"), @r"
        security_group.api

          The firewall of service api: in from its load balancer, out to its databases and HTTPS.
          security_group: A security group, with its rules.

        Made by `services.api`, environments/test.yaml:3 and environments/base.yaml:8
          3 | services: { api: { cpu: 512 } }

        Fields
          description: Service api  # section `services`
          egress:  # section `services`
            0: { description: AWS and the internet, peer: { cidr: 0.0.0.0/0 }, ports: 443, protocol: tcp }
            1:
              description: database main
              peer: { security_group: ${security_group.db-main.id} }
              ports: 5432
              protocol: tcp
          exclusive: false  # default
          vpc_id: ${vpc.main.id}  # section `services`

        Refers to
          security_group.db-main (egress)
          vpc.main (vpc_id)

        Referred to by
          ecs_service.api (security_groups)
          security_group.db-main (ingress)

        Reaches
          internet: tcp 443
          security_group.db-main: tcp 5432

        Is reached by
          nobody
        ");
}

#[test]
fn a_resource_of_the_file_itself() {
    insta::assert_snapshot!(explained("log_group.x"), @r"
        log_group.x

          log_group: A log group of CloudWatch Logs.

        Made by `resources.log_group.x`, environments/test.yaml:5
          5 |   log_group.x: { retention_days: 7 }

        Fields
          class: STANDARD  # default
          retention_days: 7  # environments/test.yaml:5
        ");
}
