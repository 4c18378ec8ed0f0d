//! The whole engine on bad days, as databases are tested: one seed is one life of an environment, and replays exactly.
//!
//! `INFRA_SEED=7 cargo test simulation` replays one, `tests/run --seeds 20000` tries more of them.

mod cloud;
mod dice;
mod life;
mod parameters;
mod races;

use self::life::{End, Life};

/// How many lives each of the two halves of the tests lives.
const SEEDS: u64 = 1000;

/// One life under a clock that does not wait.
fn live(seed: u64) -> Result<Vec<End>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut life = Life::new(seed);
        let lived = life.live().await;
        lived.map(|()| life.ends).map_err(|wrong| format!("seed {seed}: {wrong}"))
    })
}

/// Whether one life is looked at closely.
fn replays() -> bool {
    std::env::var_os("INFRA_SEED").is_some()
}

fn seeds(first: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().expect("a number"));
    match (number("INFRA_SEED"), number("INFRA_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, more) => (first..more.unwrap_or(2 * SEEDS)).step_by(2).collect(),
    }
}

fn live_all(first: u64) {
    let lives: Vec<_> = seeds(first).into_iter().map(live).collect();
    let wrong: Vec<&str> = lives.iter().filter_map(|life| life.as_ref().err()).map(String::as_str).collect();
    let shown = wrong.iter().take(5).copied().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {} lives went wrong:\n{shown}", wrong.len(), lives.len());
    if lives.len() > 1 {
        let ends: Vec<End> = lives.into_iter().flatten().flatten().collect();
        let count = |end| ends.iter().filter(|one| **one == end).count();
        println!(
            "{} runs: {} applied, {} failed, {} refused, {} died",
            ends.len(),
            count(End::Applied),
            count(End::Failed),
            count(End::Refused),
            count(End::Died)
        );
        for end in [End::Applied, End::Failed, End::Refused, End::Died] {
            assert!(ends.contains(&end), "some runs end as {end:?}");
        }
    }
}

#[test]
fn even_seeds_converge() {
    live_all(0);
}

#[test]
fn odd_seeds_converge() {
    live_all(1);
}

/// A look that began before a key was shown and ended after the time to look was over counted as the last one, and the key
/// was made twice.
#[test]
fn a_slow_look_is_not_the_last() {
    live(1538).unwrap();
}
