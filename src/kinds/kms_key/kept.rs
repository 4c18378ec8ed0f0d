//! What a key has encrypted outlives it: final snapshots and backups. As long as there are any, a key is not deleted but put
//! aside, by a tag; when its address comes back, so does the key.

use crate::aws::Aws;
use crate::kind::Result;

/// The tag of a key that stays, with what it stays for.
pub const KEPT: &str = "infra:kept-for";
/// What RDS does not delete with its instance.
const SURVIVING: [&str; 2] = ["manual", "awsbackup"];

/// A snapshot that only this key can open.
pub async fn snapshot(aws: &Aws, arn: &str) -> Result<Option<String>> {
    for kind in SURVIVING {
        let pages = aws.rds().describe_db_snapshots().snapshot_type(kind).into_paginator().items().send();
        let all = aws.call("rds:DescribeDBSnapshots", pages.collect::<Result<Vec<_>, _>>()).await?;
        let found = all.into_iter().find(|snapshot| snapshot.kms_key_id() == Some(arn));
        if let Some(name) = found.and_then(|snapshot| snapshot.db_snapshot_identifier) {
            return Ok(Some(name));
        }
    }
    let pages = aws.elasticache().describe_snapshots().snapshot_source("user").into_paginator().items().send();
    let all = aws.call("elasticache:DescribeSnapshots", pages.collect::<Result<Vec<_>, _>>()).await?;
    let found = all.into_iter().find(|snapshot| snapshot.kms_key_id() == Some(arn));
    Ok(found.and_then(|snapshot| snapshot.snapshot_name))
}
