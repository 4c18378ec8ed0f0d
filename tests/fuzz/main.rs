//! Input that nobody meant: files with bytes flipped, lines lost and words replaced are read or refused in plain words.
//!
//! The same cases at each run. `INFRA_CASES=20000 cargo nextest run --test fuzz` tries so many in each test; what fails is
//! made smaller and printed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod edits;
mod environments;
mod files;
mod policies;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};

/// Tries generated cases: so many, unless `INFRA_CASES` says otherwise.
fn fuzz<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> TestCaseResult) {
    let more = std::env::var("INFRA_CASES").ok().map(|text| text.parse().expect("a number of cases"));
    let config = Config { cases: more.unwrap_or(cases), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(strategy, test).unwrap_or_else(|error| panic!("{error}"));
}

/// Words of libraries and of Rust, which no user should have to read.
const FOREIGN: &[&str] = &[
    "invalid type",
    "invalid value",
    "invalid length",
    "missing field `",
    "unknown variant",
    "did not match any variant",
    "expected a sequence",
    "expected struct",
    "at line ",
    "EOF while",
    "trailing characters",
    "duplicate field",
    "recursion limit",
    "os error",
    "(b\"",
    "Some(",
    "Err(",
];

/// The first word of a library in a message.
fn foreign(message: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|word| message.contains(**word)).copied()
}
