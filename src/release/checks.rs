//! Requests through the test rule.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::join_all;

use super::parts::Door;
use crate::environment::releases::Check;
use crate::environment::services::Route;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Characters of an answer that are shown.
const SHOWN: usize = 200;

/// What the checks of a service ask.
pub struct Checks {
    checks: Vec<Check>,
    route: Route,
}

impl Checks {
    pub fn of(checks: &[Check], route: &Route) -> Self {
        Self { checks: checks.to_vec(), route: route.clone() }
    }

    /// Asks all at once. Nothing where there are none; else success, or every check that failed.
    pub async fn ask(&self, door: &Door) -> Option<Result<(), String>> {
        if self.checks.is_empty() {
            return None;
        }
        let answers = join_all(
            self.checks
                .iter()
                .map(async |check| self.one(door, check).await.map_err(|error| format!("{}: {error:#}", check.path))),
        );
        let wrong: Vec<String> = answers.await.into_iter().filter_map(Result::err).collect();
        Some(if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) })
    }

    async fn one(&self, door: &Door, check: &Check) -> Result<()> {
        let host = check.host(&self.route);
        let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        let client = client.tls_backend_preconfigured(tls()?);
        // A certificate is for the host, whose name may lead elsewhere, or nowhere yet.
        let (client, url) = match host {
            Some(host) if door.secure => {
                let found = tokio::net::lookup_host((door.dns.as_str(), door.port)).await;
                let addresses: Vec<SocketAddr> =
                    found.with_context(|| format!("{} has no address", door.dns))?.collect();
                let url = format!("https://{host}:{}{}", door.port, check.path);
                (client.resolve_to_addrs(host, &addresses), url)
            }
            _ => {
                let scheme = if door.secure { "https" } else { "http" };
                (client, format!("{scheme}://{}:{}{}", door.dns, door.port, check.path))
            }
        };
        let mut request = client.build()?.get(&url).header(&door.header, "true");
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let body = answer.text().await?;
        let shown: String = body.chars().take(SHOWN).collect();
        anyhow::ensure!(check.accepts(status), "answered {status} instead of {}: {shown}", check.status);
        if let Some(text) = &check.contains {
            anyhow::ensure!(body.contains(text), "the answer does not hold {text:?}: {shown}");
        }
        Ok(())
    }
}

/// TLS as the rest of the program has it.
fn tls() -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
