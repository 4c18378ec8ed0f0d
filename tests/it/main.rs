//! Tests against the emulator: each kind over its driver, and the real binary.

mod ecs;
mod executor;
mod memory;
mod network;
mod rds;
mod support;
mod vpc;
