//! Tests against the emulator: each kind over its driver, and the real binary.

mod core;
mod ecs;
mod executor;
mod iam;
mod logs;
mod memory;
mod network;
mod rds;
mod gateways;
mod route_table;
mod security_group;
mod secrets;
mod support;
mod vpc;
