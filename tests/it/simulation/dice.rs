//! All chance of one simulated life, from one seed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

#[derive(Clone)]
pub struct Dice(Arc<Mutex<StdRng>>);

impl Dice {
    pub fn of(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    pub fn below(&self, limit: usize) -> usize {
        self.0.lock().unwrap().random_range(0..limit)
    }

    /// True once in `times`.
    pub fn once_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// A time up to `longest`, mostly short.
    pub fn pause(&self, longest: Duration) -> Duration {
        let share: f64 = self.0.lock().unwrap().random_range(0.0..1.0);
        longest.mul_f64(share * share * share)
    }
}
