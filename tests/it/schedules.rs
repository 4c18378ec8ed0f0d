use std::collections::BTreeMap;

use infra::kind::Kind;
use infra::kinds::schedule_group::{Schedule, ScheduleGroup};
use infra::kinds::task_definition::Owner;
use infra::tags::Tags;

use crate::support::{Bench, scope};

fn schedule(expression: &str) -> Schedule {
    Schedule {
        expression: expression.into(),
        timezone: "UTC".into(),
        enabled: true,
        owner: Owner::File,
        cluster_arn: "arn:aws:ecs:us-east-1:123456789012:cluster/main".into(),
        task_definition_arn: "arn:aws:ecs:us-east-1:123456789012:task-definition/report".into(),
        role_arn: "arn:aws:iam::123456789012:role/scheduler".into(),
        subnets: vec!["subnet-b".into(), "subnet-a".into()],
        security_groups: vec!["sg-a".into()],
        assign_public_ip: false,
        retries: 2,
    }
}

fn group(schedules: &[(&str, Schedule)]) -> ScheduleGroup {
    let schedules = schedules.iter().map(|(name, schedule)| ((*name).to_owned(), schedule.clone())).collect();
    ScheduleGroup { name: None, schedules, tags: Tags::from([("team".into(), "backend".into())]) }
}

#[tokio::test]
async fn schedules_live_and_die_with_their_group() {
    let bench = Bench::start().await;
    bench.aws.scheduler().create_schedule_group().name("acme-test-others").send().await.unwrap();
    let spec = group(&[("report", schedule("rate(1 hour)")), ("clean", schedule("cron(0 3 * * ? *)"))]);
    let live = bench.create("main", &spec).await;
    assert_eq!(live.id, "acme-test-main");
    let changed = Schedule {
        expression: "cron(30 4 * * ? *)".into(),
        timezone: "Europe/Berlin".into(),
        enabled: false,
        subnets: vec!["subnet-c".into()],
        assign_public_ip: true,
        retries: 185,
        ..schedule("")
    };
    let live = bench.update(&live, &group(&[("report", changed.clone()), ("new", schedule("rate(2 days)"))])).await;
    // Whose it is, is all that changes: releases have enabled it, and a plan leaves that alone.
    let released = |enabled| Schedule { owner: Owner::Release, enabled, ..changed.clone() };
    let live = bench.update(&live, &group(&[("report", released(false))])).await;
    let request = bench.aws.scheduler().get_schedule().group_name(&live.id).name("report");
    let found = request.send().await.unwrap();
    let request = bench.aws.scheduler().update_schedule().group_name(&live.id).name("report");
    let request = request.schedule_expression(found.schedule_expression().unwrap());
    let request = request.set_schedule_expression_timezone(found.schedule_expression_timezone().map(str::to_owned));
    let request = request.set_target(found.target).set_flexible_time_window(found.flexible_time_window);
    request.state(aws_sdk_scheduler::types::ScheduleState::Enabled).send().await.unwrap();
    let live = ScheduleGroup::list(&bench.aws, &scope(&[])).await.unwrap().remove(0);
    let mut wanted = group(&[("report", released(false))]);
    wanted.take_over(&live.spec);
    assert!(wanted.schedules["report"].enabled);
    let live = bench.update(&live, &ScheduleGroup { tags: Tags::new(), ..wanted }).await;
    bench.delete(&live).await;
    let left = bench.aws.scheduler().list_schedule_groups().send().await.unwrap();
    let left: Vec<_> = left.schedule_groups().iter().filter_map(|group| group.name()).collect();
    assert_eq!(left, ["default", "acme-test-others"]);
}

#[tokio::test]
async fn a_group_of_others_is_not_taken() {
    let bench = Bench::start().await;
    bench.aws.scheduler().create_schedule_group().name("acme-test-main").send().await.unwrap();
    let failure = bench.try_create("main", &group(&[])).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    // Ours, left by a try whose answer was lost, is taken over and brought to the specification.
    let named = ScheduleGroup { name: Some("other".into()), schedules: BTreeMap::new(), tags: Tags::new() };
    bench.create("second", &named).await;
    let spec = ScheduleGroup { schedules: group(&[("report", schedule("rate(1 hour)"))]).schedules, ..named };
    assert_eq!(bench.try_create("second", &spec).await.unwrap(), "other");
    assert_eq!(bench.list::<ScheduleGroup>().await[0].spec.schedules.len(), 1);
}
