//! `infra schema`

use anyhow::Result;

use super::{Ended, print};
use crate::environment;

pub fn run() -> Result<Ended> {
    print(&serde_json::to_string_pretty(&environment::json_schema())?);
    Ok(Ended::Well)
}
