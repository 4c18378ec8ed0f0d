//! Random environments that change step by step, against a world that refuses what AWS refuses.

use infra::desired::Desired;
use infra::plan::plan;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::environment::{RANGE, SIZE, decode};
use super::{order, scenario};
use crate::executor;
use crate::memory::{self, Shared, World};

type Edit = (usize, u8);

/// An environment, and the edits of each step.
fn evolutions() -> impl Strategy<Value = (Vec<u8>, Vec<Vec<Edit>>)> {
    (vec(0..RANGE, SIZE), vec(vec((0..SIZE, 0..RANGE), 1..4), 1..=5))
}

/// The same cases at each run. `PROPTEST_CASES` asks for more of them.
fn runner() -> TestRunner {
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { 64 };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Plans, checks the order of the steps, applies, and says what was wrong. What is blocked changes nothing of itself.
fn evolve(desired: &Desired, world: &Shared) -> Result<bool, String> {
    let snapshot = memory::snapshot(world);
    let plan = plan(desired, &snapshot).map_err(|deadlock| deadlock.to_string())?;
    if let Some(violation) = order::violations(&plan, &snapshot).first() {
        return Err(format!("{violation}\n{}", scenario::report(&plan)));
    }
    world.lock().unwrap().calls.clear();
    let report = scenario::run(&plan, world);
    if !report.is_success() {
        let calls = world.lock().unwrap().calls.join("\n");
        return Err(format!("{:#?}\nafter\n{calls}\n{}", report.failed, scenario::report(&plan)));
    }
    Ok(plan.blocked.is_empty())
}

/// Nothing is left to do, and nothing is left over.
fn settled(desired: &Desired, world: &Shared) -> Result<(), String> {
    let snapshot = memory::snapshot(world);
    let again = plan(desired, &snapshot).map_err(|deadlock| deadlock.to_string())?;
    if !again.is_empty()
        || snapshot.live.iter().any(|live| live.deposed)
        || snapshot.live.len() != desired.resources.len()
    {
        return Err(format!("not settled: {}", scenario::report(&again)));
    }
    Ok(())
}

fn check(numbers: &[u8], edits: &[Vec<Edit>], world: &Shared) -> Result<(), String> {
    let mut numbers = numbers.to_vec();
    evolve(&decode(&numbers), world)?;
    settled(&decode(&numbers), world)?;
    for edits in edits {
        let before = numbers.clone();
        for (place, number) in edits {
            numbers[*place] = *number;
        }
        if !evolve(&decode(&numbers), world)? {
            // The user takes the edit back, unless what was done meanwhile is in the way of that.
            numbers = before;
            if !evolve(&decode(&numbers), world)? {
                break;
            }
        }
        settled(&decode(&numbers), world)?;
    }
    evolve(&executor::desired([]), world)?;
    settled(&executor::desired([]), world)
}

#[test]
fn what_is_applied_is_as_desired_whatever_came_before() {
    let result = runner().run(&evolutions(), |(numbers, edits)| {
        let world = Shared::new(World { slowness: 1, ..World::default() }.into());
        check(&numbers, &edits, &world).map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn any_environment_becomes_any_other_unless_it_is_blocked() {
    let two = (vec(0..RANGE, SIZE), vec(0..RANGE, SIZE));
    let result = runner().run(&two, |(one, other)| {
        let edits: Vec<Edit> = other.iter().copied().enumerate().collect();
        check(&one, &[edits], &Shared::default()).map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
