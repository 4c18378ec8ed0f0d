//! Tests against the emulator: each kind over its driver, and the real binary.

mod executor;
mod memory;
mod support;
mod vpc;
