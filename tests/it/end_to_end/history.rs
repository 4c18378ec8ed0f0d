//! `infra history`: who did what, and how it ended.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::site::{PRODUCTION, Site};
use crate::proxy::Proxy;

#[tokio::test]
async fn each_change_leaves_a_record_that_outlasts_the_environment() {
    let site = Site::start().await;
    let nothing = site.infra("history production").await.well();
    assert_eq!(nothing.stdout, "No apply, destroy or release of production is recorded.\n");

    let first = logged(&site, "apply production --yes --target vpc.main").await;
    let made = ["CreateLogGroup", "CreateLogStream", "PutLogEvents", "PutLogEvents", "PutRetentionPolicy"];
    assert_eq!(first, made, "the group is made when it is missed");
    let again = logged(&site, "apply production --yes --target subnet.public-a").await;
    assert_eq!(again, ["PutLogEvents"], "all else is one call");
    assert_eq!(logged(&site, "apply production --yes --target vpc.main").await, [""; 0], "nothing was changed");
    assert_eq!(logged(&site, "plan production").await, [""; 0]);

    let group = site.aws.logs().describe_log_groups().log_group_name_prefix("/infra/acme/production").send().await;
    let group = group.unwrap().log_groups.unwrap().remove(0);
    assert_eq!((group.log_group_name(), group.retention_in_days()), (Some("/infra/acme/production"), Some(400)));
    let arn = group.log_group_arn().unwrap();
    let tags = site.aws.logs().list_tags_for_resource().resource_arn(arn).send().await.unwrap().tags.unwrap();
    let ours = [("infra:project", "acme"), ("infra:environment", PRODUCTION)];
    let ours: BTreeMap<_, _> = ours.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    assert_eq!(tags.into_iter().collect::<BTreeMap<_, _>>(), ours, "no address: it is no resource of a plan");
    site.infra("plan production --target vpc.main --detailed-exitcode").await.well();

    site.infra("destroy production --confirm production").await.well();
    assert!(site.live(PRODUCTION).await.is_empty());
    let json = site.infra("history production --format json").await.well().json();
    let records = json["records"].as_array().unwrap();
    let told = |one: &Json| format!("{} {} {}", one["command"], one["outcome"], one["counts"]);
    let told: Vec<String> = records.iter().map(told).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    let destroyed = &records[0];
    assert_eq!(destroyed["command"], "infra destroy production", "newest first");
    assert_eq!(destroyed["counts"]["deleted"], 2);
    assert_eq!((&destroyed["outcome"], &destroyed["who"]), (&"done".into(), &"tester".into()));
    assert_eq!(destroyed["locks"].as_array().unwrap().len(), 1);
    assert!(destroyed["digest"].as_str().unwrap().len() == 64 && destroyed["run"].is_string());

    let text = site.infra("history production --limit 2 --since 1h").await.well().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("  tester  infra destroy production  done after "), "{text}");
    assert!(lines[0].ends_with(": 2 deleted") && lines[1].contains(": 1 created"), "{text}");
}

/// The operations of CloudWatch Logs by which a command writes, sorted.
async fn logged(site: &Site, command: &str) -> Vec<String> {
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
    site.through(&proxy.endpoint, command).await.well();
    let writes = proxy.calls().into_iter().filter(|call| call.service == "logs" && !call.reads());
    let mut operations: Vec<String> = writes.map(|call| call.operation).collect();
    operations.sort();
    operations
}

/// Who may not write logs may still apply.
#[tokio::test]
async fn what_cannot_be_recorded_fails_no_command() {
    let site = Site::start().await;
    let text = site.read(PRODUCTION);
    let (network, _) = text.split_once("# Encrypts the database").unwrap();
    site.write(PRODUCTION, network);
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", refusing.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = refusing.accept().await {
            // All of a request this small is there at once.
            let mut request = vec![0; 65536];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let writes = String::from_utf8_lossy(&request[..length]).contains(".PutLogEvents");
            let body = if writes { r#"{"__type":"AccessDeniedException","message":"not you"}"# } else { "{}" };
            let status = if writes { "400 Bad Request" } else { "200 OK" };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close", body.len());
            drop(stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await);
        }
    });
    let mut command =
        site.command(&site.emulator.variables["AWS_ENDPOINT_URL"], "apply production --yes --target vpc.main");
    let ran = command.env("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", endpoint).output().await.unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(0), "{said}");
    let line = "the history of production lacks this command: logs:PutLogEvents: AccessDeniedException: not you";
    assert!(said.contains(line), "{said}");
    assert!(site.ids(PRODUCTION).await.contains_key("vpc.main"));
}
