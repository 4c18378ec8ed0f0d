//! A destroy that something foreign is in the way of: it is named, all else goes, and the next destroy takes the rest.

use aws_sdk_ec2::types::{InstanceType, IpPermission, ResourceType, Tag, TagSpecification, UserIdGroupPair};

use super::site::{PRODUCTION, Site};

struct Foreign {
    instance: String,
    interface: String,
    group: String,
}

/// Uses of production's resources that are not production's.
async fn foreign(site: &Site, output: impl Fn(&str) -> String) -> Foreign {
    let (ec2, tag) = (site.aws.ec2(), |key, value| Tag::builder().key(key).value(value).build());
    let tagged = |kind, tag| TagSpecification::builder().resource_type(kind).tags(tag).build();
    let request = ec2.run_instances().image_id("ami-12c6146b").min_count(1).max_count(1);
    let request = request.instance_type(InstanceType::T3Micro).subnet_id(output("subnet.private-a.id"));
    let request = request.security_group_ids(output("security_group.web.id"));
    let instance = request.tag_specifications(tagged(ResourceType::Instance, tag("Name", "batch"))).send();
    let instance = instance.await.unwrap().instances()[0].instance_id().unwrap().to_owned();
    let interface = ec2.create_network_interface().subnet_id(output("subnet.private-b.id")).description("made by hand");
    let interface = interface.send().await.unwrap().network_interface.unwrap().network_interface_id.unwrap();
    let group = ec2.create_security_group().group_name("legacy").description("old").vpc_id(output("vpc.main.id"));
    let stack = tag("aws:cloudformation:stack-name", "old");
    let group = group.tag_specifications(tagged(ResourceType::SecurityGroup, stack)).send().await.unwrap();
    let group = group.group_id.unwrap();
    let pair = UserIdGroupPair::builder().group_id(output("security_group.lb-public.id")).build();
    let rule = IpPermission::builder().ip_protocol("tcp").from_port(1).to_port(1).user_id_group_pairs(pair).build();
    ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(rule).send().await.unwrap();

    let database = site.aws.rds().create_db_instance().db_instance_identifier("report").engine("postgres");
    let database = database.engine_version("15").db_instance_class("db.t4g.micro").allocated_storage(20);
    let database = database.master_username("root").master_user_password("not-a-real-one");
    let database = database.db_subnet_group_name(output("db_subnet_group.main.name"));
    database.db_parameter_group_name(output("db_parameter_group.main.name")).send().await.unwrap();
    let profile = site.aws.iam().create_instance_profile().instance_profile_name("theirs");
    profile.send().await.unwrap();
    let profile = site.aws.iam().add_role_to_instance_profile().instance_profile_name("theirs");
    profile.role_name(output("iam_role.api-task.name")).send().await.unwrap();
    Foreign { instance, interface, group }
}

async fn remove(site: &Site, foreign: &Foreign, role: &str) {
    let ec2 = site.aws.ec2();
    ec2.terminate_instances().instance_ids(&foreign.instance).send().await.unwrap();
    ec2.delete_network_interface().network_interface_id(&foreign.interface).send().await.unwrap();
    ec2.delete_security_group().group_id(&foreign.group).send().await.unwrap();
    let database = site.aws.rds().delete_db_instance().db_instance_identifier("report").skip_final_snapshot(true);
    database.send().await.unwrap();
    let profile = site.aws.iam().remove_role_from_instance_profile().instance_profile_name("theirs");
    profile.role_name(role).send().await.unwrap();
}

#[tokio::test]
async fn what_holds_a_resource_is_named_and_the_rest_goes() {
    let site = Site::applied().await;
    let outputs = site.infra("output production --format json").await.well().json();
    let output = |name: &str| outputs[name].as_str().unwrap_or_else(|| panic!("{name}")).to_owned();
    let foreign = site.emulator.at_once(foreign(&site, output)).await;

    let destroy = site.infra("destroy production --confirm production --format json").await;
    assert_eq!(destroy.code, Some(1), "{destroy:?}");
    let outcome = &destroy.json()["outcome"];
    let mut failed: Vec<(String, String)> = Vec::new();
    for one in outcome["failed"].as_array().unwrap() {
        let (address, remedy) = (one["address"].as_str().unwrap(), one["remedy"].as_str().unwrap_or_default());
        assert!(remedy.ends_with(&format!("infra forget production {address}")), "{one}");
        assert!(one["request_id"].is_string() && one["operation"].is_string(), "{one}");
        let held: Vec<&str> = one["held_by"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        failed.push((address.to_owned(), held.join(", ")));
    }
    let Foreign { instance, interface, group } = &foreign;
    let expected = [
        ("db_parameter_group.main", "database report".to_owned()),
        ("db_subnet_group.main", "database report".to_owned()),
        ("iam_role.api-task", "instance profile theirs".to_owned()),
        ("security_group.lb-public", format!("a rule of security group {group} \"legacy\" (CloudFormation stack old)")),
        ("subnet.private-a", format!("instance {instance} \"batch\"")),
        ("subnet.private-b", format!("network interface {interface} \"made by hand\"")),
    ];
    assert_eq!(failed, expected.map(|(address, held)| (address.to_owned(), held)));
    // Groups go one after the other, since they name each other.
    let left: Vec<String> = site.ids(PRODUCTION).await.into_keys().collect();
    let waits: Vec<String> =
        outcome["skipped"].as_array().unwrap().iter().map(|one| one["address"].as_str().unwrap().to_owned()).collect();
    let mut kept: Vec<String> = failed.into_iter().map(|(address, _)| address).chain(waits).collect();
    kept.sort();
    assert_eq!(left, kept, "all that could go is gone");
    assert!(kept.len() < 15, "{kept:?}");

    site.emulator.at_once(remove(&site, &foreign, &output("iam_role.api-task.name"))).await;
    let destroy = site.infra("destroy production --confirm production").await.well();
    assert!(destroy.stdout.contains("Done:"), "{}", destroy.stdout);
    assert!(site.ids(PRODUCTION).await.is_empty());
}
