//! Rotation of credentials: the real function, driven as Lambda and Secrets Manager drive it, against a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what helpers of a test cannot do fails the test")]

mod clones;
mod deployed;
#[path = "../it/end_to_end/site.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod environment;
mod faults;
mod lambda;
mod load;
mod postgres;
mod program;
#[path = "../it/proxy.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod proxy;
mod site;
#[path = "../it/support.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod support;
