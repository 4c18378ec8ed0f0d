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
    certificate::Certificate,
    listener::Listener,
    listener_rule::ListenerRule,
    load_balancer::LoadBalancer,
    subnet::Subnet,
    target_group::TargetGroup,
    vpc::Vpc,
}

mod ec2;
mod elb;
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
