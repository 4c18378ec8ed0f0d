//! The words that several sections share: text with references, durations, percentages, windows of time.
//!
//! Each format says what it is in its JSON schema (title, pattern, description, example), and the messages about a
//! wrong value are made from that, so that an editor and the command line say the same.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The name of an entry of a section.
pub const NAME: &str = "^[a-z][a-z0-9-]{0,31}$";

/// The schema of a section's keys.
#[must_use]
pub fn names() -> serde_json::Value {
    serde_json::json!({
        "title": "a valid name",
        "description": "lower-case letters, digits and `-`, beginning with a letter, at most 32 characters",
        "pattern": NAME,
        "maxLength": 32,
        "examples": ["main"],
    })
}

/// Makes a type that is written as text: JSON schema, reading through `FromStr`, writing through `Display`.
macro_rules! written_as_text {
    ($name:ident, $title:literal, $pattern:literal, $example:literal, $description:literal) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "title": $title,
                    "description": $description,
                    "pattern": $pattern,
                    "examples": [$example],
                })
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(|why| serde::de::Error::custom(format!("`{text}` is not {}: {why}", $title)))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
pub(super) use written_as_text;

/// Text that may hold references, such as `https://${load_balancers.public.dns_name}/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub String);

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Text; `${section.name.output}` in it refers to another part of the environment, `$${` is a plain `${`.",
            "x-reference": true,
        })
    }
}

impl Text {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A single value: text, a number, or true and false.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    Flag(bool),
    Number(serde_json::Number),
    Text(String),
}

/// A span of time, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub u64);

written_as_text!(
    Duration,
    "a duration",
    r"^[0-9]{1,6}[smhd]( ?[0-9]{1,6}[smhd])*$",
    "30s",
    "a number and a unit: `30s`, `5m`, `2h` or `30d`; a day is 24 hours"
);

impl Duration {
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Whole days, rounded down.
    #[must_use]
    pub const fn days(self) -> u64 {
        self.0 / 86_400
    }

    #[must_use]
    pub const fn from_days(days: u64) -> Self {
        Self(days * 86_400)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_secs(duration.0)
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = SpanParser::new()
            .parse_span(text)
            .map_err(|_| "write each unit once, the larger one first, such as `2h 5m`".to_owned())?;
        let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
        match u64::try_from(duration.as_secs()) {
            Ok(seconds) if duration.subsec_nanos() == 0 => Ok(Self(seconds)),
            _ => Err("it must be whole seconds, and not negative".to_owned()),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, unit) = [(86_400, 'd'), (3_600, 'h'), (60, 'm')]
            .into_iter()
            .find(|(size, _)| self.0 > 0 && self.0.is_multiple_of(*size))
            .unwrap_or((1, 's'));
        write!(f, "{}{unit}", self.0 / size)
    }
}

/// A share of a whole, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(pub u16);

written_as_text!(
    Percent,
    "a percentage",
    r"^(100|[0-9]{1,2}(\.[0-9]{1,2})?)%$",
    "1%",
    "0% to 100%, with at most two decimals: `50%`, `0.5%`"
);

impl Percent {
    /// As a part of one: `50%` is 0.5.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write `50%` or `0.5%`".to_owned();
        let number = text.strip_suffix('%').ok_or_else(wrong)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if part.len() > 2 || whole.is_empty() || !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let hundredths = format!("{whole}{part:0<2}").parse::<u16>().map_err(|_| wrong())?;
        if hundredths <= 10_000 { Ok(Self(hundredths)) } else { Err("it is more than 100%".to_owned()) }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:02}", self.0 % 100);
        match part.trim_end_matches('0') {
            "" => write!(f, "{}%", self.0 / 100),
            part => write!(f, "{}.{part}%", self.0 / 100),
        }
    }
}

/// An hour-and-minute window that repeats each day, in UTC. It may pass midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyWindow {
    /// Minutes after midnight.
    pub start: u16,
    pub end: u16,
}

written_as_text!(
    DailyWindow,
    "a daily window",
    "^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$",
    "02:00-03:00",
    "two times of day in UTC: `02:00-03:00`"
);

const DAY: u16 = 24 * 60;

impl DailyWindow {
    #[must_use]
    pub const fn minutes(self) -> u16 {
        (self.end + DAY - self.start) % DAY
    }

    /// The window of each day of the week.
    pub fn each_day(self) -> impl Iterator<Item = WeeklyWindow> {
        (0..7).map(move |day| {
            let start = day * DAY + self.start;
            WeeklyWindow { start, end: (start + self.minutes()) % WEEK }
        })
    }
}

impl FromStr for DailyWindow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (start, end) = text.split_once('-').ok_or("write it as `02:00-03:00`")?;
        Ok(Self { start: time_of_day(start)?, end: time_of_day(end)? })
    }
}

impl fmt::Display for DailyWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", Clock(self.start), Clock(self.end))
    }
}

/// A window that repeats each week, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeeklyWindow {
    /// Minutes after Monday's midnight.
    pub start: u16,
    pub end: u16,
}

written_as_text!(
    WeeklyWindow,
    "a weekly window",
    "^(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$",
    "sun:03:00-sun:04:00",
    "two days and times in UTC, in lower case: `sun:03:00-sun:04:00`"
);

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const WEEK: u16 = 7 * DAY;

impl WeeklyWindow {
    #[must_use]
    pub const fn minutes(self) -> u16 {
        (self.end + WEEK - self.start) % WEEK
    }

    /// Whether the two share a minute on any day.
    #[must_use]
    pub fn overlaps(self, daily: DailyWindow) -> bool {
        daily.each_day().any(|window| self.meets(window))
    }

    /// Whether the two share a minute.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        // On a circle, two stretches meet when one begins inside of the other.
        (other.start + WEEK - self.start) % WEEK < self.minutes()
            || (self.start + WEEK - other.start) % WEEK < other.minutes()
    }

    /// The same with so many minutes more at both ends.
    #[must_use]
    pub const fn widened(self, minutes: u16) -> Self {
        Self { start: (self.start + WEEK - minutes) % WEEK, end: (self.end + minutes) % WEEK }
    }
}

impl FromStr for WeeklyWindow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment = |text: &str| -> Result<u16, String> {
            let (day, time) = text.split_once(':').ok_or("write a moment as `sun:03:00`")?;
            let days = (0..).step_by(usize::from(DAY));
            let (_, before) = DAYS.iter().zip(days).find(|(name, _)| **name == day).ok_or("days are `mon` to `sun`")?;
            Ok(before + time_of_day(time)?)
        };
        let (start, end) = text.split_once('-').ok_or("write it as `sun:03:00-sun:04:00`")?;
        Ok(Self { start: moment(start)?, end: moment(end)? })
    }
}

impl fmt::Display for WeeklyWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = |at: u16| format!("{}:{}", DAYS[usize::from(at / DAY) % 7], Clock(at % DAY));
        write!(f, "{}-{}", moment(self.start), moment(self.end))
    }
}

struct Clock(u16);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

fn time_of_day(text: &str) -> Result<u16, String> {
    let parsed = text.split_once(':').and_then(|(hours, minutes)| {
        let (hours, minutes) = (hours.parse::<u16>().ok()?, minutes.parse::<u16>().ok()?);
        (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
    });
    parsed.ok_or_else(|| format!("`{text}` is not a time between 00:00 and 23:59"))
}

/// The schema of an address range, for fields that `ipnet` reads.
pub struct Cidr;

impl JsonSchema for Cidr {
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "an IPv4 address range",
            "description": "four numbers from 0 to 255 and a prefix length from 0 to 32: `10.0.0.0/16`",
            "pattern": r"^((25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})/([12]?[0-9]|3[0-2])$",
            "examples": ["10.0.0.0/16"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_survive_a_round_trip() {
        for text in ["30s", "5m", "2h", "30d", "0s", "90s"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        for text in ["50%", "0.5%", "12.25%", "100%", "0%", "1%"] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), text);
        }
        assert_eq!("1h 30m".parse::<Duration>().unwrap().seconds(), 5400);
        assert_eq!("1d".parse::<Duration>().unwrap().seconds(), 86_400);
        for text in ["02:00-03:00", "23:30-00:30"] {
            assert_eq!(text.parse::<DailyWindow>().unwrap().to_string(), text);
        }
        assert_eq!("sun:23:00-mon:01:00".parse::<WeeklyWindow>().unwrap().to_string(), "sun:23:00-mon:01:00");
        assert!("100.5%".parse::<Percent>().is_err());
        assert!("0.5s".parse::<Duration>().is_err());
    }

    #[test]
    fn windows_overlap_across_midnight_and_week() {
        let overlap = |weekly: &str, daily: &str| {
            weekly.parse::<WeeklyWindow>().unwrap().overlaps(daily.parse::<DailyWindow>().unwrap())
        };
        assert!(overlap("sun:02:30-sun:03:30", "02:00-03:00"));
        assert!(!overlap("sun:03:00-sun:04:00", "02:00-03:00"));
        assert!(overlap("sun:23:30-mon:00:30", "00:00-00:40"));
        assert!(overlap("mon:00:00-mon:01:00", "23:30-00:30"));
        assert!(overlap("mon:00:10-mon:00:20", "23:30-00:30"));
        assert!(!overlap("mon:00:30-mon:01:00", "23:30-00:30"));
    }
}
