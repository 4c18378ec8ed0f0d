//! What is found before the first write.

use aws_sdk_ec2::types::ConnectivityType;
use serde_json::{Value as Json, json};

use super::account;
use super::site::{PRODUCTION, Ran, Site};
use crate::proxy::{Behaviour, Call, Fault, Judge, Proxy};

/// A user of IAM with these policies, who runs the binary.
struct User<'a> {
    site: &'a Site,
    key: String,
}

impl<'a> User<'a> {
    async fn new(site: &'a Site, name: &str, documents: &[Json]) -> Self {
        let iam = site.aws.iam();
        let user = iam.create_user().user_name(name).send().await.unwrap().user.unwrap();
        visible(async || iam.get_user().user_name(name).send().await.is_ok()).await;
        for (at, document) in documents.iter().enumerate() {
            let request = iam.put_user_policy().user_name(name).policy_name(format!("part-{at}"));
            let request = request.policy_document(document.to_string());
            visible(async || request.clone().send().await.is_ok()).await;
        }
        let simulation = iam.simulate_principal_policy().policy_source_arn(user.arn()).action_names("ec2:CreateVpc");
        visible(async || simulation.clone().send().await.is_ok()).await;
        let key = iam.create_access_key().user_name(name).send().await.unwrap().access_key.unwrap();
        Self { site, key: key.access_key_id }
    }

    async fn infra(&self, arguments: &str) -> Ran {
        self.through(&self.site.emulator.variables["AWS_ENDPOINT_URL"], arguments).await
    }

    async fn through(&self, endpoint: &str, arguments: &str) -> Ran {
        let mut command = self.site.command(endpoint, arguments);
        let output = command.env("AWS_ACCESS_KEY_ID", &self.key).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Asks until what has just been made is seen.
async fn visible(mut seen: impl AsyncFnMut() -> bool) {
    for _ in 0..40 {
        if seen().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it is not seen");
}

/// Takes actions out of documents.
fn without(documents: &[Json], actions: &[&str]) -> Vec<Json> {
    let mut documents = documents.to_vec();
    for statement in documents.iter_mut().flat_map(|one| one["Statement"].as_array_mut().unwrap()) {
        statement["Action"].as_array_mut().unwrap().retain(|one| !actions.contains(&one.as_str().unwrap()));
    }
    documents
}

/// Whoever lacks something is told all of it at once, and the printed policy is enough.
#[tokio::test]
async fn permissions_are_checked_before_the_first_write() {
    let site = Site::start().await;
    let printed = site.infra("policy production apply --format json").await.well().json();
    let whole: Vec<Json> = printed.as_array().unwrap().iter().map(|one| one["document"].clone()).collect();

    let lacking = User::new(&site, "lacking", &without(&whole, &["ec2:CreateVpc", "iam:CreateRole"])).await;
    let before = account::contents(&site.aws).await;
    let ran = lacking.infra("apply production --yes").await;
    let why = ran.refused();
    for part in [
        "arn:aws:iam::123456789012:user/lacking may not do all of this; nothing was changed\n",
        "\n  ec2:CreateVpc: vpc.main\n",
        "\n  iam:CreateRole: iam_role.",
        "\n  infra policy production apply prints what is needed; --skip-preflight applies without asking IAM first",
    ] {
        assert!(why.contains(part), "{part:?} in {why}");
    }
    let (_, list) = why.split_once("nothing was changed\n").unwrap();
    assert_eq!(
        list.lines().filter(|line| line.starts_with("  ec2:") || line.starts_with("  iam:")).count(),
        2,
        "{why}"
    );
    account::same(&before, &account::contents(&site.aws).await, "it is refused");

    let deny = json!({
        "Version": "2012-10-17",
        "Statement": { "Effect": "Deny", "Action": ["ecs:Create*", "iam:PassRole"], "Resource": "*" },
    });
    let denied = User::new(&site, "denied", &[whole.clone(), vec![deny]].concat()).await;
    let ran = denied.infra("apply production --yes").await;
    for part in [
        "ecs:CreateCluster, which a policy denies: ecs_cluster.main\n",
        "iam:PassRole to ecs-tasks.amazonaws.com, which a policy denies: task_definition.",
    ] {
        assert!(ran.refused().contains(part), "{part:?} in {}", ran.stderr);
    }

    let enough = User::new(&site, "enough", &whole).await;
    enough.infra("apply production --yes").await.well();
    site.converged(PRODUCTION).await;
    enough.infra("destroy production --confirm production").await.well();
    lacking.infra("apply production --yes --skip-preflight").await.well();
}

/// Where IAM does not let us ask, EC2 itself is asked, which does nothing of it.
#[tokio::test]
async fn without_iam_ec2_is_asked() {
    let site = Site::start().await;
    let anyone = User::new(&site, "anyone", &[]).await;
    let before = account::contents(&site.aws).await;
    let refuse = |operations: &'static [&'static str]| {
        let refuses = |call: &Call| operations.contains(&call.operation.as_str());
        let judge: Judge = Box::new(move |_, call| if refuses(call) { Fault::Denied } else { Fault::None });
        Behaviour { judge: Some(judge), ..Behaviour::default() }
    };
    let endpoint = &site.emulator.variables["AWS_ENDPOINT_URL"];
    let proxy = Proxy::with(endpoint, refuse(&["SimulatePrincipalPolicy", "CreateVpc"])).await;
    let ran = anyone.through(&proxy.endpoint, "apply production --yes").await;
    for part in [
        " may not do all of this; nothing was changed\n  ec2:CreateVpc: vpc.main\n",
        "permissions were not checked beforehand, but for 5 calls that EC2 itself was asked about: iam:",
    ] {
        assert!(ran.refused().contains(part), "{part:?} in {}", ran.stderr);
    }
    account::same(&before, &account::contents(&site.aws).await, "it is refused");
    let proxy = Proxy::with(endpoint, refuse(&["SimulatePrincipalPolicy"])).await;
    let ran = anyone.through(&proxy.endpoint, "apply production --yes").await.well();
    assert!(ran.stderr.contains("but for 5 calls that EC2 itself was asked about: iam:"), "{}", ran.stderr);
    site.converged(PRODUCTION).await;
    let ran = anyone.through(&proxy.endpoint, "destroy production --confirm production").await.well();
    assert!(ran.stderr.contains(" calls that EC2 itself was asked about: iam:"), "{}", ran.stderr);
}

/// Quotas are told, and do not stand in the way: they may have been raised.
#[tokio::test]
async fn quotas_are_told_before_the_first_write() {
    let site = Site::start().await;
    for _ in 0..5 {
        site.aws.ec2().create_vpc().cidr_block("10.9.0.0/16").send().await.unwrap();
    }
    site.emulator.at_once(five_gateways(&site)).await;
    let ran = site.infra("apply production --yes").await;
    let gateways = "quota: 5 NAT gateways in us-east-1b are there, this makes 1 more, and AWS allows 5 ";
    assert_eq!(ran.stderr.matches("NAT gateways").count(), 1, "{}", ran.stderr);
    for part in
        [gateways, "quota: ", " VPCs are there, this makes 1 more, and AWS allows 5 unless your quota was raised\n"]
    {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
}

/// As many NAT gateways of others as a zone takes.
async fn five_gateways(site: &Site) {
    let ec2 = site.aws.ec2();
    let vpc = ec2.create_vpc().cidr_block("10.8.0.0/16").send().await.unwrap().vpc.unwrap().vpc_id.unwrap();
    let subnet = ec2.create_subnet().vpc_id(vpc).cidr_block("10.8.0.0/24").availability_zone("us-east-1b");
    let subnet = subnet.send().await.unwrap().subnet.unwrap().subnet_id.unwrap();
    for _ in 0..5 {
        let gateway = ec2.create_nat_gateway().subnet_id(&subnet).connectivity_type(ConnectivityType::Private);
        gateway.send().await.unwrap();
    }
}
