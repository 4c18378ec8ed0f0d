//! A plan in a file: enough to plan again and see whether the world has moved.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Basis;
use crate::address::Address;
use crate::desired::Desired;

/// What `--save` writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    version: u32,
    pub digest: String,
    pub basis: Basis,
    pub targets: BTreeSet<Address>,
    pub excluded: BTreeSet<Address>,
    pub desired: Desired,
}

const VERSION: u32 = 2;

/// What to do about a file that is none.
const AGAIN: &str = "save one with: infra plan ENV --save FILE";

impl Saved {
    pub const fn new(
        digest: String,
        basis: Basis,
        targets: BTreeSet<Address>,
        excluded: BTreeSet<Address>,
        desired: Desired,
    ) -> Self {
        Self { version: VERSION, digest, basis, targets, excluded, desired }
    }

    /// Reads a saved plan. What it desires is checked like that of a file, since nobody knows who wrote it.
    ///
    /// # Errors
    /// What the file is instead, as words that follow its name.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let none = || format!("is not a saved plan\n  {AGAIN}");
        let changed = || format!("is a saved plan that was changed by hand\n  {AGAIN}");
        let json: serde_json::Value = serde_json::from_str(text).map_err(|_| none())?;
        let Version { version } = Version::deserialize(&json).map_err(|_| none())?;
        if version != VERSION {
            return Err(format!("is a plan of version {version}; this program reads {VERSION}\n  {AGAIN}"));
        }
        let saved = Self::deserialize(&json).map_err(|_| changed())?;
        let Desired { project, environment, account, region, resources } = saved.desired;
        let desired = Desired::new(&project, &environment, &account, &region, resources.into_values());
        let desired = desired.map_err(|_| changed())?;
        Ok(Self { desired, ..saved })
    }
}
