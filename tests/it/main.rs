//! Tests against the emulator: each kind over its driver, and the real binary.

mod executor;
mod iam;
mod logs;
mod memory;
mod secrets;
mod support;
mod vpc;
