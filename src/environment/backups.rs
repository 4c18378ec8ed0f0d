//! `backups`: copies of the databases in a vault, beside RDS's own.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EnvironmentFile;
use super::databases::Database;
use super::rules::Rules;
use super::types::{DailyWindow, Duration, WeeklyWindow, written_as_text};
use crate::diagnostic::Diagnostic;

/// Minutes within which AWS begins a backup, and that a backup keeps from the windows of its database.
const HOUR: u16 = 60;

/// Regular backups of databases in a vault, which outlive the database. RDS's own backups, and recovery to any moment, are
/// `databases.NAME.backup`. `{}` takes all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RegularBackup")]
pub struct Backup {
    /// When it starts, in UTC: `"03:00"`. Default: `"03:00"`. AWS begins within the hour. It must be an hour away from
    /// `backup.window` and `maintenance` of the databases, which AWS chooses by chance where the file does not.
    #[serde(default)]
    pub at: Time,
    /// On which days: `[sun]`. Default: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<Day>,
    /// How long each one is kept, 1d to 36500d. Default: `30d`.
    #[serde(default = "month")]
    #[schemars(extend("x-shortest" = "1d", "x-longest" = "36500d", "x-whole-days" = true))]
    pub keep: Duration,
    /// A copy of each in another region, for the day on which this one fails. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<Copy>,
    /// The databases. Default: all of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub databases: Option<Vec<String>>,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

/// Copies in another region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BackupCopy")]
pub struct Copy {
    /// The region: `eu-west-1`. All copies of an environment go to one.
    #[schemars(regex(pattern = "^[a-z]{2}(-[a-z]+)+-[0-9]$"), title = "a valid region", example = &"eu-west-1")]
    pub region: String,
    /// How long each copy is kept, 1d to 36500d. Default: as long as the backup itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-shortest" = "1d", "x-longest" = "36500d", "x-whole-days" = true))]
    pub keep: Option<Duration>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A time of day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    pub hour: u8,
    pub minute: u8,
}

written_as_text!(
    Time,
    "a time of day",
    "^([01][0-9]|2[0-3]):[0-5][0-9]$",
    "03:00",
    "a time in UTC between 00:00 and 23:59, in quotes: `\"03:00\"`"
);

impl Default for Time {
    fn default() -> Self {
        Self { hour: 3, minute: 0 }
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(hour, minute)| {
            let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(Self { hour, minute })
        });
        parsed.ok_or_else(|| "write it as `03:00`".to_owned())
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

const fn month() -> Duration {
    Duration::from_days(30)
}

impl Day {
    /// As cron expressions of AWS have it.
    #[must_use]
    pub const fn cron(self) -> &'static str {
        match self {
            Self::Mon => "MON",
            Self::Tue => "TUE",
            Self::Wed => "WED",
            Self::Thu => "THU",
            Self::Fri => "FRI",
            Self::Sat => "SAT",
            Self::Sun => "SUN",
        }
    }
}

impl Backup {
    /// When AWS begins it, on each of its days.
    fn begins(&self) -> impl Iterator<Item = WeeklyWindow> {
        let start = u16::from(self.at.hour) * 60 + u16::from(self.at.minute);
        let daily = DailyWindow { start, end: (start + HOUR) % (24 * 60) };
        let chosen = |day: usize| self.on.is_empty() || self.on.iter().any(|on| *on as usize == day);
        daily.each_day().enumerate().filter(move |(day, _)| chosen(*day)).map(|(_, window)| window)
    }

    /// The database's own windows come first for RDS: a job near one of them fails, and nobody is told.
    fn check_windows(&self, name: &str, (of, database): (&str, &Database), rules: &mut Rules<'_>) {
        let near = |window: WeeklyWindow| self.begins().any(|begin| window.widened(HOUR).meets(begin));
        let daily =
            database.backup.window.filter(|window| window.each_day().any(&near)).map(|window| window.to_string());
        let weekly = database.maintenance.filter(|window| near(*window)).map(|window| window.to_string());
        let windows: [(&str, &[&str], _); 2] =
            [("daily backup", &["backup", "window"], daily), ("maintenance", &["maintenance"], weekly)];
        for (what, field, window) in windows {
            let Some(window) = window else { continue };
            let message = format!("`backups.{name}` is too near to the {what} of `databases.{of}`, {window}");
            let path: Vec<&str> = ["databases", of].iter().chain(field).copied().collect();
            let said = rules.tree.get(&["backups", name, "at"]).is_some();
            let place = if said {
                rules.tree.place_of(&["backups", name, "at"])
            } else {
                rules.tree.key_place_of(&["backups", name])
            };
            let error =
                Diagnostic::error("backups", message).at(place, format!("begins from {} on, within an hour", self.at));
            let error = error.related(rules.tree.place_of(&path), "");
            rules.report(
                error.help("AWS lets such a backup fail: keep it an hour away from the windows of the database"),
            );
        }
    }

    pub(super) fn check(&self, name: &str, file: &EnvironmentFile, rules: &mut Rules<'_>) {
        for (at, database) in self.databases.iter().flatten().enumerate() {
            rules.known("databases", database, &["backups", name, "databases", &at.to_string()]);
        }
        if self.databases.is_none() && rules.names("databases").is_empty() {
            let message = format!("`backups.{name}` has nothing to back up: this file has no `databases`");
            let error = Diagnostic::error("backups", message).at(rules.tree.key_place_of(&["backups", name]), "");
            rules.report(error.help("remove it, or move it to the file of the databases"));
        }
        for (of, database) in &file.databases {
            if self.databases.as_ref().is_none_or(|chosen| chosen.contains(of)) {
                self.check_windows(name, (of, database), rules);
            }
        }
        let Some(copy) = &self.copy else { return };
        let place = rules.tree.place_of(&["backups", name, "copy", "region"]);
        if copy.region == file.region {
            let message = format!("`{}` is the region of the databases themselves", copy.region);
            let error = Diagnostic::error("backups", message).at(place, "the copy would be lost with them");
            rules.report(error.help("choose another region"));
        }
        let first = file.backups.iter().find_map(|(name, backup)| Some((name, &backup.copy.as_ref()?.region)));
        if let Some((first, region)) = first.filter(|(_, region)| **region != copy.region) {
            let before = rules.tree.place_of(&["backups", first, "copy", "region"]);
            let error = Diagnostic::error("backups", "the copies of an environment go to one region");
            rules.report(error.at(place, "").related(before, "").help(format!("write `{region}` here too")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_survive_a_round_trip() {
        for text in ["00:00", "03:00", "23:59"] {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), text);
        }
        for text in ["24:00", "3", "12:60", "a:b"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
        assert_eq!(Time::default().to_string(), "03:00");
    }
}
