//! Each section of an environment file with the real binary: what it makes is what the user needs.

mod alarms;
mod logs;
