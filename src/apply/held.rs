//! What holds a resource that AWS refuses to delete. AWS hardly ever says, so it is looked for while the executor tries
//! again, and told at once; what does not go by itself ends the tries.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::kind::{Class, Driver, Failure, Live};
use crate::value::Fields;

/// Between two looks, and before the first one: most refusals pass by themselves.
const EVERY: Duration = Duration::from_secs(3);
/// How long what does not go by itself is waited for: reads may still show what was deleted a moment ago.
const PATIENCE: Duration = Duration::from_secs(12);

pub(super) struct Holders<'a> {
    driver: &'a dyn Driver,
    live: &'a Live<Fields>,
    next: Instant,
    /// What stayed through all looks, and since when.
    staying: Option<(BTreeSet<String>, Instant)>,
    /// What was found last.
    found: Box<[String]>,
}

impl<'a> Holders<'a> {
    pub fn of(driver: &'a dyn Driver, live: &'a Live<Fields>) -> Self {
        Self { driver, live, next: Instant::now() + EVERY, staying: None, found: Box::default() }
    }

    /// After a refusal: looks where it is time, adds to the failure what is known, and says whether waiting is of no use.
    pub async fn explain(&mut self, failure: &mut Failure) -> bool {
        if Instant::now() >= self.next {
            self.look().await;
            self.next = Instant::now() + EVERY;
        }
        failure.held_by.clone_from(&self.found);
        self.staying.as_ref().is_some_and(|(_, since)| since.elapsed() >= PATIENCE)
    }

    /// After a refusal that is final.
    pub async fn conclude(&mut self, failure: &mut Failure) {
        if failure.held_by.is_empty() && failure.class == Class::Fatal && !failure.is_denied() {
            self.look().await;
            failure.held_by.clone_from(&self.found);
        }
    }

    async fn look(&mut self) {
        // Who cannot be asked is not known; the refusal itself is worth more than this.
        let found = self.driver.blockers(self.live).await.unwrap_or_default();
        let now: BTreeSet<String> = found.iter().filter(|one| !one.passing).map(|one| one.what.clone()).collect();
        let (before, since) = self.staying.take().unwrap_or_else(|| (now.clone(), Instant::now()));
        let still: BTreeSet<String> = before.intersection(&now).cloned().collect();
        self.staying = match (still.is_empty(), now.is_empty()) {
            (false, _) => Some((still, since)),
            (true, false) => Some((now, Instant::now())),
            (true, true) => None,
        };
        self.found = found.into_iter().map(|one| one.what).collect();
    }
}
