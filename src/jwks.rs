//! The key sets of other issuers: fetched in the background, never for a request, and kept when a fetch fails.
//!
//! A fetch goes to one `https` address, follows no redirect, reads 64 KiB at most and ends after 5 s. A key set that is wrong in
//! part is refused whole: the last good one stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::live_key::{Issuer, KeySet, KeySetError};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry as Metrics;
use rand::Rng;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The whole of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// A key set of 64 RSA keys of 4096 bits has some 50 KiB.
const BYTES_MAX: u64 = 64 << 10;
/// After a fetch that failed.
const RETRY: Duration = Duration::from_secs(60);
/// At most one fetch in this time because tokens name a key that is not in the set: anybody can make such a token.
const UNKNOWN_EVERY: Duration = Duration::from_secs(30);

/// Why a key set cannot be fetched. Carries nothing of an answer.
#[derive(Debug, Error)]
pub(crate) enum JwksError {
    /// The certificates to trust.
    #[error("cannot use the certificates in {}: {problem}", path.display())]
    Certificates {
        /// Their file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No answer, or another than 200.
    #[error("{0}")]
    Http(#[from] ureq::Error),
    /// An answer, but no key set.
    #[error("{0}")]
    KeySet(#[from] KeySetError),
}

/// Where a key set is fetched from.
pub(crate) struct Fetcher {
    agent: ureq::Agent,
    url: String,
}

impl Fetcher {
    /// Trusts the machine's certificates, or those in `ca_file` instead.
    pub(crate) fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, JwksError> {
        let roots = match ca_file {
            Some(path) => read_pem(path)?,
            // What cannot be read is not trusted; the handshake then says which is missing.
            None => rustls_native_certs::load_native_certs().certs,
        };
        let roots = roots.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let config = ureq::Agent::config_builder()
            .https_only(true)
            .max_redirects(0)
            .timeout_global(Some(FETCH_TIMEOUT))
            .tls_config(tls)
            .user_agent(concat!("onair/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), url: url.to_owned() })
    }

    /// Fetches. Blocks for as long as a fetch may take.
    fn fetch(&self) -> Result<KeySet, JwksError> {
        let mut response = self.agent.get(&self.url).header("accept", "application/json").call()?;
        // A redirect that is not followed comes back as an answer.
        if response.status() != 200 {
            return Err(ureq::Error::StatusCode(response.status().as_u16()).into());
        }
        let body = response.body_mut().with_config().limit(BYTES_MAX).read_to_vec()?;
        Ok(KeySet::from_json(&body)?)
    }
}

fn read_pem(path: &Path) -> Result<Vec<CertificateDer<'static>>, JwksError> {
    let wrong = |problem: String| JwksError::Certificates { path: path.to_owned(), problem };
    let certs = CertificateDer::pem_file_iter(path).map_err(|e| wrong(e.to_string()))?;
    let certs: Result<Vec<_>, _> = certs.collect();
    match certs {
        Ok(certs) if certs.is_empty() => Err(wrong("there are none".to_owned())),
        Ok(certs) => Ok(certs),
        Err(e) => Err(wrong(e.to_string())),
    }
}

/// Counts fetches. Made once, before the metrics are closed.
#[derive(Clone, Default)]
pub(crate) struct Fetches(Family<Labels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    /// As configured: a closed set.
    issuer: String,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Fresh,
    Failed,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let name = match self {
            Self::Fresh => "fresh",
            Self::Failed => "failed",
        };
        name.encode(encoder)
    }
}

impl Fetches {
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        let fetches = Self::default();
        let to = metrics.sub_registry_with_prefix("onair_issuer");
        to.register("key_set_fetches", "Key sets of other issuers, fetched or not", fetches.0.clone());
        fetches
    }

    fn count(&self, issuer: &Issuer, outcome: Outcome) {
        self.0.get_or_create(&Labels { issuer: issuer.terms().name.clone(), outcome }).inc();
    }
}

/// An issuer whose keys are kept fresh.
pub(crate) struct Subscription {
    pub(crate) issuer: Issuer,
    pub(crate) fetcher: Fetcher,
    /// Between two fetches that succeed, give or take a tenth.
    pub(crate) refresh: Duration,
}

/// Fetches for the first time, so that the first encoder to come finds the keys there; and goes on for as long as the
/// runtime does. An issuer that does not answer keeps nobody waiting for longer than one fetch.
pub(crate) async fn subscribe(subscriptions: Vec<Subscription>, fetches: &Fetches) {
    let firsts = subscriptions.into_iter().map(|subscription| {
        let fetches = fetches.clone();
        async move {
            let Subscription { issuer, fetcher, refresh } = subscription;
            let fetcher = Arc::new(fetcher);
            let first = update(&issuer, &fetcher, &fetches).await;
            tokio::spawn(keep_fresh(issuer, fetcher, refresh, fetches, first));
        }
    });
    futures_util::future::join_all(firsts).await;
}

async fn keep_fresh(
    issuer: Issuer,
    fetcher: Arc<Fetcher>,
    refresh: Duration,
    fetches: Fetches,
    mut is_fresh: bool,
) {
    loop {
        let last = Instant::now();
        let pause = jittered(if is_fresh { refresh } else { RETRY.min(refresh) });
        tokio::select! {
            () = sleep(pause) => {}
            () = issuer.unknown_key_seen() => sleep_until(last + UNKNOWN_EVERY).await,
        }
        is_fresh = update(&issuer, &fetcher, &fetches).await;
    }
}

/// Give or take a tenth, so that many nodes do not ask together for ever.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.9..1.1))
}

/// Fetches once. Whether it went well.
async fn update(issuer: &Issuer, fetcher: &Arc<Fetcher>, fetches: &Fetches) -> bool {
    let name = issuer.terms().name.as_str();
    let theirs = Arc::clone(fetcher);
    let fetch = tokio::task::spawn_blocking(move || theirs.fetch());
    // The client keeps its own time, except where it waits for the resolver.
    let outcome = match timeout(FETCH_TIMEOUT * 2, fetch).await {
        Ok(Ok(outcome)) => outcome.map_err(|e| e.to_string()),
        Ok(Err(_)) | Err(_) => Err("no answer in time".to_owned()),
    };
    match outcome {
        Ok(keys) => {
            tracing::debug!(issuer = name, ?keys, "key set fetched");
            issuer.replace_keys(keys);
            fetches.count(issuer, Outcome::Fresh);
            true
        }
        Err(problem) => {
            tracing::warn!(issuer = name, problem, "no new key set; the last one stays in use");
            fetches.count(issuer, Outcome::Failed);
            false
        }
    }
}

#[cfg(test)]
mod tests;
