//! The trial on AWS itself, `tests/aws/run`, on an emulator: all of it but AWS.

use std::process::Stdio;

use tokio::process::Command;

use super::account;
use super::site::{ACCOUNT, Ran, Site, repository};
use crate::support::{Emulator, Template};

/// Runs the script with these arguments, which hold no spaces.
async fn trial(site: &Site, arguments: &str) -> Ran {
    let mut command = Command::new(repository().join("tests/aws/run"));
    command.args(["--infra", env!("CARGO_BIN_EXE_infra")]).args(arguments.split_whitespace()).stdin(Stdio::null());
    command.envs(&site.emulator.variables).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[tokio::test]
async fn the_trial_on_aws_makes_what_it_says_and_leaves_nothing() {
    let template = Template::new();
    let site = Site::on(template.copy(crate::support::DATA_PLANE, Emulator::start).await).await;
    site.emulator.set("data-plane", r#"{ "health_interval": 0.2, "metric_lag": 0.5, "metric_period": 1 }"#).await;
    let empty = account::contents(&site.aws).await;

    let wrong = trial(&site, "--account 999999999999 --yes").await;
    assert!(wrong.refused().contains("not 999999999999"), "{wrong:?}");
    let capped = trial(&site, &format!("--account {ACCOUNT} --cap 0.05 --yes")).await;
    assert!(capped.refused().contains("more than the cap of 0.05 USD"), "{capped:?}");
    account::same(&empty, &account::contents(&site.aws).await, "what is refused makes nothing");

    let whole = trial(&site, &format!("--account {ACCOUNT} --yes")).await.well();
    for part in [
        "account 123456789012, region us-east-1, as arn:aws:",
        "1 load_balancer            0.0405 USD an hour",
        " USD an hour by the prices of us-east-1; at most 2.25 hours: ",
        "killed at load_balancer.",
        "infra bluegreen rollback small web",
        "during the release and the way back, 0 failed",
        "nothing with our tags is left",
    ] {
        assert!(whole.stdout.contains(part), "{part:?} is in {}", whole.stdout);
    }
    account::same(&empty, &account::contents(&site.aws).await, "all of it is gone");

    let late = trial(&site, &format!("--account {ACCOUNT} --minutes 0.05 --yes")).await;
    assert!(late.refused().contains("the time is over in") || late.stderr.contains("ended before"), "{late:?}");
    assert!(late.stdout.contains("nothing with our tags is left"), "{late:?}");
    account::same(&empty, &account::contents(&site.aws).await, "after the time limit too");
}
