//! The core as data: what is desired and what is live make a plan, and applying it makes live what is desired.
//!
//! `scenario` holds the one helper, and a file each theme. `evolution` does the same with random environments.

mod certificates;
mod changing;
mod creating;
mod drift;
pub mod environment;
mod evolution;
mod health;
mod order;
mod releases;
mod removing;
mod replacing;
mod runtime;
pub mod scenario;
mod selecting;
mod unknown;
