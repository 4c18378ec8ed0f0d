//! A stack that the real Terraform has made becomes ours, with the ids that it had.

use std::path::Path;

use tokio::process::Command;

use super::site::Site;

/// Where Terraform's AWS provider is installed, as a mirror in the filesystem.
fn plugins() -> Option<String> {
    std::env::var("INFRA_TF_PLUGINS").ok().filter(|folder| Path::new(folder).is_dir())
}

async fn terraform(site: &Site, folder: &Path, arguments: &str) -> String {
    let mut command = Command::new("terraform");
    command.args(arguments.split_whitespace()).current_dir(folder);
    command
        .env("TF_CLI_CONFIG_FILE", folder.join("none.tfrc"))
        .env("CHECKPOINT_DISABLE", "1")
        .env("TF_IN_AUTOMATION", "1");
    command.envs(&site.emulator.variables);
    let output = command.output().await.expect("terraform runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "terraform {arguments}: {}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[tokio::test]
async fn a_terraform_stack_becomes_ours() {
    let (Some(plugins), true) = (plugins(), Command::new("terraform").arg("version").output().await.is_ok()) else {
        eprintln!("skipped: terraform and a mirror of its AWS provider (INFRA_TF_PLUGINS) are not installed");
        return;
    };
    let site = Site::start().await;
    let folder = site.path("stack");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("main.tf"), include_str!("stack.tf")).unwrap();
    std::fs::write(folder.join("none.tfrc"), "").unwrap();
    terraform(&site, &folder, &format!("init -no-color -plugin-dir={plugins}")).await;
    terraform(&site, &folder, "apply -no-color -auto-approve -parallelism=4").await;
    let state = terraform(&site, &folder, "show -json -no-color").await;
    let path = site.path("state.json");
    std::fs::write(&path, &state).unwrap();

    let shown = site.infra("adopt stack --terraform state.json --project acme").await;
    assert!(shown.refused().contains("add --yes"), "{shown:?}");
    let nobody = site.ids("stack").await;
    assert_eq!(nobody.len(), 0, "nothing is written without consent: {nobody:?}");
    let adopted = site.infra("adopt stack --terraform state.json --yes").await.well();
    for line in ["aws_route_table_association.private[0]: comes with its route table", "No changes: 23 resources"] {
        assert!(shown.stdout.contains(line), "{}", shown.stdout);
    }
    assert!(shown.stderr.contains("infra explain unencrypted_database"), "{shown:?}");
    let file = site.read("stack");
    for text in [&file, &adopted.stdout, &adopted.stderr, &shown.stdout, &shown.stderr] {
        assert!(!text.contains("correct-horse"), "no secret leaves the state");
    }
    let plan = site.plan("stack").await;
    let other: Vec<_> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| {
            let changes = step["changes"].as_array().unwrap();
            !changes.iter().all(|change| change["path"].as_str().unwrap().starts_with("tags"))
        })
        .collect();
    assert!(other.is_empty(), "{other:#?}\n{file}");
    let ids = site.ids("stack").await;
    for (address, attribute) in [
        ("vpc.main", "aws_vpc.main"),
        ("subnet.private-0", "aws_subnet.private[0]"),
        ("security_group.api", "aws_security_group.api"),
    ] {
        assert_eq!(ids[address], id_of(&state, attribute), "{address}");
    }
    assert!(file.contains("${vpc.main.id}"), "{file}");
    let again = site.infra("adopt stack --terraform state.json --yes").await.well();
    assert!(again.stdout.contains("already."), "{again:?}");
    let untouched = terraform(&site, &folder, "plan -no-color").await;
    assert!(
        !untouched.contains("must be replaced") && !untouched.contains("to add, 0 to change, 1 to destroy"),
        "{untouched}"
    );
}

fn id_of(state: &str, address: &str) -> String {
    let state: serde_json::Value = serde_json::from_str(state).unwrap();
    let all = state["values"]["root_module"]["resources"].as_array().unwrap();
    let found = all.iter().find(|resource| resource["address"] == address).unwrap();
    found["values"]["id"].as_str().unwrap().to_owned()
}
