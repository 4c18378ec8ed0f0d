//! Tests against the emulator: each kind over its driver, and the real binary.

mod gateways;
mod route_table;
mod security_group;
mod support;
mod vpc;
