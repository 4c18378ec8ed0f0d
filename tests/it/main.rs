//! Tests against the emulator: each kind over its driver, and the real binary.

mod support;
mod vpc;
