//! What looks like a secret: the name of a variable, and the value.

use std::sync::LazyLock;

use regex::Regex;

/// Last words of the names of variables that hold secrets.
const NAMES: &[&str] = &["PASSWORD", "PASSWD", "PASSPHRASE", "PWD", "SECRET", "SECRETS", "TOKEN", "CREDENTIALS"];

/// Values that are secrets whatever the variable is called: keys of AWS, of GitHub, Slack, Stripe, GitLab and Google,
/// private keys, signed tokens, and addresses with a password in them.
static VALUES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let forms = [
        r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
        r"-----BEGIN [A-Z ]*PRIVATE KEY",
        r"\bgh[pousr]_[A-Za-z0-9]{30,}",
        r"\bgithub_pat_[A-Za-z0-9_]{30,}",
        r"\bglpat-[A-Za-z0-9_-]{20,}",
        r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
        r"\b[sr]k_live_[A-Za-z0-9]{16,}",
        r"\bAIza[A-Za-z0-9_-]{35}",
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
        r"https://hooks\.slack\.com/services/\w",
        r"[a-z][a-z0-9+.-]*://[^/\s:@${}]*:[^/\s:@${}]+@",
    ];
    Regex::new(&forms.join("|")).ok()
});

/// Whether a variable with this value holds a secret in plain text. References stand in the value as `${...}`.
#[must_use]
pub fn is_secret(name: &str, value: &str) -> bool {
    if VALUES.as_ref().is_some_and(|forms| forms.is_match(value)) {
        return true;
    }
    // What refers to something is not written here, and a switch or a number is no secret.
    let plain = value.trim();
    let names_another = plain.contains("${") || plain.starts_with("arn:") || plain.starts_with(['/', '<']);
    if names_another || plain.is_empty() || plain.parse::<f64>().is_ok() || plain.parse::<bool>().is_ok() {
        return false;
    }
    let name = name.to_uppercase();
    let words: Vec<&str> = name.split('_').collect();
    if words.iter().any(|word| matches!(*word, "PUBLIC" | "PUBLISHABLE")) {
        return false;
    }
    match words.last() {
        Some(last) if NAMES.contains(last) => true,
        // Many a key is the name of something: only one that looks made at random is a secret.
        Some(&("KEY" | "APIKEY")) => looks_random(plain),
        _ => false,
    }
}

fn looks_random(text: &str) -> bool {
    let has = |test: fn(&char) -> bool| text.chars().any(|one| test(&one));
    text.len() >= 16 && !text.contains([' ', '.', '/']) && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_what_only_sounds_like_one() {
        for (name, value) in [
            ("DB_PASSWORD", "hunter2"),
            ("API_TOKEN", "abc"),
            ("PAYMENTS_KEY", "9f8a7b6c5d4e3f2a1b0c"),
            ("ID", "AKIAIOSFODNN7EXAMPLE"),
            ("DATABASE_URL", "postgres://app:hunter2@db:5432/app"),
            ("DATABASE_URL", "postgres://app:hunter2@${db_instance.main.endpoint}/app"),
            ("CERTIFICATE", "-----BEGIN RSA PRIVATE KEY-----"),
            ("redis_url", "redis://:hunter2@cache:6379"),
        ] {
            assert!(is_secret(name, value), "{name}");
        }
        for (name, value) in [
            ("DATABASE_PASSWORD_FILE", "/run/secrets/password"),
            ("SECRET", "/run/secrets/one"),
            ("TOKEN_URL", "https://example.com/token"),
            ("SORT_KEY", "created_at"),
            ("SECRET", "arn:aws:secretsmanager:us-east-1:123456789012:secret:jwt"),
            ("ROTATE_SECRET", "true"),
            ("MAX_TOKEN", "4096"),
            ("PASSWORD", ""),
            ("PASSWORD", "${secret.jwt.arn}"),
            ("STRIPE_PUBLISHABLE_KEY", "pk_live_9f8a7b6c5d4e3f2a1b0c"),
            ("DATABASE_URL", "postgres://app:${secret.jwt.arn}@db:5432/app"),
            ("DATABASE_URL", "postgres://db:5432/app"),
            ("API_URL", "https://api.example.com:443/a@b"),
        ] {
            assert!(!is_secret(name, value), "{name}={value}");
        }
    }
}
