//! The display of a running apply: lines as steps end, and on a terminal a line at the bottom with what is in flight.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::super::{Format, say};
use crate::address::Address;
use crate::apply::Event;
use crate::report;

pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    running: BTreeMap<Address, String>,
    silent: bool,
}

impl Progress {
    pub fn new(steps: usize, format: Format) -> Self {
        let live = format == Format::Text && std::io::stderr().is_terminal();
        let bar = if live { ProgressBar::new(steps as u64) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, started: Instant::now(), running: BTreeMap::new(), silent: format == Format::Json }
    }

    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Started { address, doing } => {
                drop(self.running.insert(address.clone(), format!("{doing} {address}")));
            }
            Event::Waiting { address, on } => {
                drop(self.running.insert(address.clone(), format!("{address} waits for {on}")));
            }
            Event::Finished { address, .. } | Event::Failed { address, .. } => {
                self.running.remove(address);
                self.bar.inc(1);
            }
            Event::Skipped { .. } | Event::Still { .. } => {}
        }
        self.bar.set_message(self.running.values().cloned().collect::<Vec<_>>().join("; "));
        if self.silent || (!self.bar.is_hidden() && matches!(event, Event::Waiting { .. } | Event::Still { .. })) {
            return;
        }
        if let Some(line) = report::event(event, self.started.elapsed()) {
            self.bar.suspend(|| say(&line));
        }
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
