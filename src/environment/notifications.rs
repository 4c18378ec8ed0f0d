//! `notifications`: who hears of trouble, by how bad it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::references::{Piece, references};
use super::rules::Rules;
use super::types::{Duration, Text};
use crate::diagnostic::Diagnostic;

/// Who hears of trouble, by how bad it is. Alarms, failed releases and failovers of databases go here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notifications {
    /// Look at it in business hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<Receivers>,
    /// Look at it today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Receivers>,
    /// Get up and look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<Receivers>,
    /// Whether failed releases and failing databases are told too, as errors. Default: true.
    #[serde(default = "yes")]
    pub events: bool,
}

/// Who hears of one kind of trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receivers {
    /// A chat: the secret that holds the address of its incoming webhook, such as `"${secrets.chat}"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<Text>,
    /// E-mail addresses. Each gets one mail that asks whether it wants the others: `[team@example.com]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = address()))]
    pub email: Vec<String>,
    /// Web addresses that are posted to, such as `https://events.pagerduty.com/integration/${var.pagerduty_key}/enqueue`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub https: Vec<Text>,
    /// How soon someone is to respond, which the chat shows: `15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-shortest" = "1m", "x-longest" = "7d"))]
    pub respond: Option<Duration>,
}

const fn yes() -> bool {
    true
}

fn address() -> serde_json::Value {
    serde_json::json!({
        "type": "string",
        "title": "an e-mail address",
        "pattern": r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
        "examples": ["team@example.com"],
    })
}

impl Notifications {
    /// Those that the file names, from the mildest on.
    pub fn severities(&self) -> impl Iterator<Item = (&'static str, &Receivers)> {
        let all = [("warning", &self.warning), ("error", &self.error), ("critical", &self.critical)];
        all.into_iter().filter_map(|(name, receivers)| Some((name, receivers.as_ref()?)))
    }

    /// Where what goes wrong by itself is told: as an error, or where nobody hears of errors, as critical.
    #[must_use]
    pub const fn of_events(&self) -> Option<&'static str> {
        match (self.events, &self.error, &self.critical) {
            (true, Some(_), _) => Some("error"),
            (true, None, Some(_)) => Some("critical"),
            _ => None,
        }
    }

    pub(super) fn check(&self, rules: &mut Rules<'_>) {
        // One that is misspelt or holds a mistake is reported by itself.
        let names = rules.names("notifications");
        if names.iter().all(|name| *name == "events") {
            let error = Diagnostic::error("notifications", "`notifications` names nobody");
            let error = error.at(rules.tree.key_place_of(&["notifications"]), "");
            rules.report(error.help("add `error: { email: [team@example.com] }`"));
        }
        for (severity, receivers) in self.severities() {
            receivers.check(severity, rules);
        }
    }
}

impl Receivers {
    fn check(&self, severity: &str, rules: &mut Rules<'_>) {
        if self.chat.is_none() && self.email.is_empty() && self.https.is_empty() {
            let error = Diagnostic::error("notifications", format!("`notifications.{severity}` tells nobody"));
            let error = error.at(rules.tree.key_place_of(&["notifications", severity]), "");
            rules.report(error.help("add `chat`, `email` or `https`"));
        }
        if let Some(chat) = &self.chat
            && !is_secret(chat.as_str())
        {
            // The address itself lets anyone post, so that it is not repeated here.
            let error = Diagnostic::error("notifications", "`chat` names the secret that holds the webhook's address");
            let error = error.at(rules.tree.place_of(&["notifications", severity, "chat"]), "this is no secret");
            let help =
                "add `secrets: { chat: {} }`, write `chat: \"${secrets.chat}\"`, and put the address into the secret";
            rules.report(error.help(help));
        }
        for (at, url) in self.https.iter().enumerate() {
            let path = ["notifications", severity, "https", &at.to_string()];
            if !url.as_str().starts_with("https://") {
                let error = Diagnostic::error("notifications", "messages are sent encrypted only");
                let error = error.at(rules.tree.place_of(&path), "this does not begin with `https://`");
                rules.report(error.help("write `https://...`"));
            } else if refers_to_secret(url.as_str()) {
                let error = Diagnostic::error("notifications", "SNS keeps the address itself, not a secret's name");
                let error = error.at(rules.tree.place_of(&path), "a secret cannot stand in an address");
                rules.report(error.help("give the key with `--var`, as in `${var.pagerduty_key}`; no plan prints it"));
            }
        }
    }
}

/// Whether a text is one reference to a secret, here or elsewhere, or a secret's ARN.
fn is_secret(text: &str) -> bool {
    match references(text).as_deref() {
        Ok([Piece::Reference { path, .. }]) => {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            matches!(path[..], ["secrets", _] | ["secrets" | "existing", _, _])
        }
        Ok([Piece::Literal(text)]) => text.starts_with("arn:") && text.contains(":secretsmanager:"),
        // What cannot be read is reported elsewhere.
        Err(_) => true,
        _ => false,
    }
}

fn refers_to_secret(text: &str) -> bool {
    let secret = |piece: &Piece| matches!(piece, Piece::Reference { path, .. } if path.first().is_some_and(|word| word == "secrets"));
    references(text).is_ok_and(|pieces| pieces.iter().any(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_is_a_secret() {
        for right in [
            "${secrets.chat}",
            "${secrets.chat.url}",
            "${existing.chat.arn}",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:chat-AbCdEf",
        ] {
            assert!(is_secret(right), "{right}");
        }
        for wrong in ["https://hooks.example.com/T/B/key", "x${secrets.chat}", "${databases.main.arn}", ""] {
            assert!(!is_secret(wrong), "{wrong}");
        }
    }

    #[test]
    fn events_go_to_the_mildest_who_would_get_up() {
        let of = |json: serde_json::Value| serde_json::from_value::<Notifications>(json).unwrap().of_events();
        let someone = serde_json::json!({ "email": ["a@example.com"] });
        assert_eq!(of(serde_json::json!({ "error": someone, "critical": someone })), Some("error"));
        assert_eq!(of(serde_json::json!({ "warning": someone, "critical": someone })), Some("critical"));
        assert_eq!(of(serde_json::json!({ "warning": someone })), None);
        assert_eq!(of(serde_json::json!({ "error": someone, "events": false })), None);
    }
}
