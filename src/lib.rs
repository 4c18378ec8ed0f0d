//! `infra`: plans and applies AWS environments, with live AWS as the only state.
//!
//! Data flows one way through the modules below, in this order:
//!
//! ```text
//! environments/NAME.yaml ─parse, check─▶ Environment ─expand─▶ Desired graph ┐
//!                                                                           ├─diff─▶ Plan ─check─▶ apply ─▶ Report
//! AWS ────────── one batched read of every kind, all at once ──▶ Snapshot ──┘
//! ```

pub mod address;
pub mod policy;
pub mod rights;
pub mod tags;
pub mod value;

pub mod diagnostic;
pub mod environment;
pub mod source;

pub mod desired;
pub mod diff;
pub mod drift;
pub mod plan;

pub mod check;
pub mod explain;
pub mod reach;
pub mod release;
pub mod remedy;
pub mod report;
pub mod terraform;

pub mod bluegreen;

pub mod apply;
pub mod aws;
pub mod elsewhere;
pub mod foreign;
pub mod history;
pub mod kind;
pub mod kinds;
pub mod live;
pub mod lock;
pub mod preflight;
pub mod rotation;
pub mod secrets;

pub mod commands;
