//! Tests against the emulator: each kind over its driver, and the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what helpers of a test cannot do fails the test")]

mod certificate;
mod connections;
mod core;
mod delivery;
mod dns;
mod ecs;
mod elasticache;
mod elb;
mod end_to_end;
mod executor;
mod gateways;
mod iam;
mod logs;
mod memory;
mod messages;
mod namespaces;
mod network;
mod proxy;
mod rds;
mod releases;
mod rights;
mod route_table;
mod scaling;
mod schedules;
mod secrets;
mod sections;
mod security_group;
mod simulation;
mod storage;
mod support;
mod tidy;
mod traces;
mod vpc;
mod waf;
mod watching;
