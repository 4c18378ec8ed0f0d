//! The list of kinds, once. A new kind is one file in `kinds/` and one line here.

use std::sync::Arc;

use crate::aws::Aws;
use crate::kind::{Drivers, Info};

macro_rules! kinds {
    ($($module:ident :: $kind:ident),* $(,)?) => {
        $(pub mod $module;)*
        /// What planning knows of each kind, in alphabetical order.
        pub static ALL: &[Info] = &[$(Info::of::<$module::$kind>()),*];
    };
}

kinds! {
    iam_role::IamRole,
    kms_key::KmsKey,
    log_group::LogGroup,
    secret::Secret,
    subnet::Subnet,
    vpc::Vpc,
}

mod adopt;
mod deletion;
mod ec2;
mod tagging;

/// The kind with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Info> {
    ALL.iter().find(|info| info.name == name)
}

/// A driver for each kind, on AWS.
#[must_use]
pub fn drivers(aws: &Arc<Aws>) -> Drivers {
    ALL.iter().map(|info| (info.name, (info.driver)(Arc::clone(aws)))).collect()
}
