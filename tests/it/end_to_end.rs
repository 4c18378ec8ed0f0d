//! The real binary against the emulator, from an empty account to an empty account.

mod account;
mod balancing;
mod changed;
mod compute;
mod data;
mod files;
mod findings;
mod firewalls;
mod interrupted;
mod json;
mod kept;
mod killed;
mod life;
mod localstack;
mod locks;
mod network;
mod objects;
pub mod policies;
mod preflight;
mod refused;
mod saved;
mod selected;
pub mod site;
mod system;
