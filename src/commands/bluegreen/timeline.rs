//! A release on the screen: a line for each thing that is done, and now and then what is waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::super::history::first_line;
use super::super::{Ended, Format, print};
use crate::bluegreen::{Goal, Record};
use crate::lock::Holder;
use crate::release::{Event, Outcome, Shown, Tell, phase_name, short};

/// How long nothing new may be said while something is waited for.
const QUIET: SignedDuration = SignedDuration::from_secs(15);

pub struct Timeline {
    environment: String,
    format: Format,
    /// What was said last of each service while it waited, and when.
    said: Mutex<BTreeMap<String, (Timestamp, String)>>,
    /// What the history is told in the end.
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    release: Option<String>,
    images: BTreeMap<String, String>,
    why: Option<String>,
}

impl Timeline {
    pub fn begin(environment: &str, format: Format) -> Arc<Self> {
        Arc::new(Self { environment: environment.to_owned(), format, said: Mutex::default(), told: Mutex::default() })
    }

    pub fn teller(self: &Arc<Self>) -> Tell {
        let timeline = Arc::clone(self);
        Arc::new(move |event| timeline.show(event))
    }

    /// The id of the release that was carried out, and the images of its services.
    pub fn released(&self) -> (Option<String>, BTreeMap<String, String>) {
        let told = self.told();
        (told.release.clone(), told.images.clone())
    }

    /// Why a service did not come as far as was asked: the first that did not.
    pub fn why(&self) -> Option<String> {
        self.told().why.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn show(&self, event: &Event) {
        if let (Some(release), Some(image)) = (&event.release, &event.image) {
            let mut told = self.told();
            told.release = Some(release.clone());
            told.images.insert(event.service.clone(), image.clone());
        }
        if self.format == Format::Json {
            if let Ok(line) = serde_json::to_string(event) {
                print(&line);
            }
            return;
        }
        let sides = |show: fn(&Shown) -> String| event.sides.iter().map(show).collect::<Vec<_>>().join(" | ");
        let state = sides(|shown| format!("{}: {}", shown.name, line(shown)));
        let news = format!("{:?} {}", event.phase, sides(Shown::state));
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let last = said.get(&event.service);
        let known = last.is_some_and(|(at, text)| *text == news && event.at.duration_since(*at) < QUIET);
        if event.waits && known {
            return;
        }
        said.insert(event.service.clone(), (event.at, news));
        let phase = event.phase.map(phase_name).unwrap_or_default();
        let does = if event.waits { format!("waits: {}", event.does) } else { event.does.clone() };
        // What is done may end with lines of a log, which come last.
        let (first, rest) = does.split_once('\n').map_or((does.as_str(), None), |(first, rest)| (first, Some(rest)));
        print(&format!("{}  {}  {phase:<11}  {first:<44}  {state}", clock(event.at), event.service));
        rest.into_iter().for_each(print);
    }

    pub fn note(&self, text: &str) {
        match self.format {
            Format::Text => print(text),
            Format::Json => print(&json!({ "note": text }).to_string()),
        }
    }

    /// The end of a command for one service.
    pub fn outcome(&self, service: &str, goal: Goal, outcome: &Outcome) -> Ended {
        let environment = &self.environment;
        if let Outcome::TakenBack { why } | Outcome::Halted { why, .. } = outcome {
            self.told().why.get_or_insert_with(|| format!("{service}: {}", first_line(why)));
        }
        if self.format == Format::Json {
            let (word, why) = match outcome {
                Outcome::Reached => ("reached", None),
                Outcome::TakenBack { why } => ("rolled_back", Some(why)),
                Outcome::Halted { why, .. } => ("halted", Some(why)),
            };
            print(&json!({ "service": service, "outcome": word, "why": why }).to_string());
        }
        let text = match (outcome, goal) {
            (Outcome::Reached, Goal::Deployed) => format!(
                "\n{service} is deployed beside what serves, and gets no traffic yet\n  go on: infra bluegreen switch {environment} {service}"
            ),
            (Outcome::Reached, Goal::Switched) => format!(
                "\n{service} is switched; the old version is kept for a quick way back\n  back: infra bluegreen rollback {environment} \
                 {service}\n  end:  infra bluegreen finish {environment} {service}"
            ),
            (Outcome::Reached, Goal::Finished) => format!("\n{service} is released"),
            (Outcome::Reached, Goal::Back) => format!("\n{service} is at its old version"),
            (Outcome::TakenBack { why }, _) => format!("\n{service} is at its old version. Taken back: {why}"),
            (Outcome::Halted { why, help }, _) => format!("\n{service} stands: {why}\n  {help}"),
        };
        if self.format == Format::Text {
            print(&text);
        }
        match (outcome, goal) {
            (Outcome::Reached, _) | (Outcome::TakenBack { .. }, Goal::Back) => Ended::Well,
            _ => Ended::Failed,
        }
    }

    /// Both colours, and the release.
    pub fn status(&self, event: &Event, record: Option<&Record>, watcher: Option<&Holder>) {
        let over = record.is_none_or(Record::is_over);
        let unattended = !over && watcher.is_none();
        if self.format == Format::Json {
            let mut json = serde_json::to_value(event).unwrap_or_default();
            json["record"] = json!(record);
            json["unattended"] = unattended.into();
            print(&json.to_string());
            return;
        }
        print(&event.service);
        for shown in &event.sides {
            let serves = if shown.weight > 0 { "serves" } else { "idle" };
            print(&format!("  {:<6} {serves:<6}  {}", shown.name, line(shown)));
        }
        let Some(record) = record else { return print("  never released") };
        let phase = phase_name(record.phase);
        let to = record.to.map(|to| format!(" to {}", to.name())).unwrap_or_default();
        let (id, image, revision) = (&record.id, &record.image, short(&record.revision));
        print(&format!("  release {id} of {image} ({revision}){to}: {phase} since {}", clock(record.since)));
        if let Some(why) = &record.why {
            print(&format!("  because {why}"));
        }
        if !over {
            print(&format!("  next    {}", event.does));
        }
        if unattended {
            let (environment, service) = (&self.environment, &event.service);
            print(&format!(
                "  UNATTENDED: no process watches this release, so that nothing takes it back\n  go on: infra bluegreen run {environment} \
                 {service}\n  back:  infra bluegreen rollback {environment} {service}"
            ));
        } else if let Some(watcher) = watcher {
            print(&format!("  watched by {} on {} (process {})", watcher.who, watcher.host, watcher.process));
        }
    }
}

impl Shown {
    /// What is news when it changes.
    fn state(&self) -> String {
        format!("{} {}/{} {}", self.revision, self.healthy, self.desired, self.weight)
    }
}

fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
}

fn line(shown: &Shown) -> String {
    let Shown { healthy, desired, weight, .. } = shown;
    let number = shown.revision.rsplit(':').next().unwrap_or_default();
    let mut text = format!("revision {number}, {healthy}/{desired} healthy, {weight} %");
    if let Some(errors) = shown.errors {
        text.push_str(&format!(", {errors:.1} % errors"));
    }
    if let (Some(p50), Some(p95)) = (shown.p50, shown.p95) {
        text.push_str(&format!(", p50 {p50:.0} ms, p95 {p95:.0} ms"));
    }
    text
}
