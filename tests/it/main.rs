//! Tests against the emulator: each kind over its driver, and the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what helpers of a test cannot do fails the test")]

mod certificate;
mod core;
mod ecs;
mod elb;
mod end_to_end;
mod executor;
mod gateways;
mod iam;
mod logs;
mod memory;
mod network;
mod proxy;
mod rds;
mod route_table;
mod secrets;
mod sections;
mod security_group;
mod support;
mod tidy;
mod vpc;
mod watching;
