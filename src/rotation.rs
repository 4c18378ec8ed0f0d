//! Credentials of databases that rotate themselves: what the function does that Secrets Manager calls.
//!
//! Secrets Manager calls it four times for one rotation, and again whenever it likes: each step looks first at what is
//! done already. With two users that alternate, the pair that is current stays valid until the rotation after this one.

pub mod credentials;
pub mod database;
mod steps;

pub use steps::{Rotation, Step, rotate};
