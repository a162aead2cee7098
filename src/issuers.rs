//! Other issuers of live keys: from the configuration to keys that are kept fresh.

use onair_cluster::live_key::Issuer;
use prometheus_client::registry::Registry as Metrics;

use crate::config::IssuerConfig;
use crate::error::RunError;
use crate::jwks::{self, Fetcher, Fetches, Subscription};
use crate::public_keys;

/// All of them. Those whose keys are fetched have none yet.
pub(crate) struct Issuers {
    all: Vec<Issuer>,
    subscriptions: Vec<Subscription>,
    fetches: Fetches,
}

impl Issuers {
    /// Reads the keys that are files, and trusts the certificates that are configured. Nothing is fetched yet.
    pub(crate) fn open(configs: &[IssuerConfig], metrics: &mut Metrics) -> Result<Self, RunError> {
        let mut issuers =
            Self { all: Vec::new(), subscriptions: Vec::new(), fetches: Fetches::register(metrics) };
        for config in configs {
            let issuer = Issuer::new(config.terms(), public_keys::of_issuer(config)?);
            if let Some(url) = &config.jwks_url {
                let fetcher = Fetcher::new(url, config.jwks_ca_file.as_deref())?;
                let refresh = config.jwks_refresh.0;
                issuers.subscriptions.push(Subscription { issuer: issuer.clone(), fetcher, refresh });
            }
            issuers.all.push(issuer);
        }
        Ok(issuers)
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Issuer] {
        &self.all
    }

    /// Fetches what is to be fetched, now and again and again. Takes as long as one fetch may.
    pub(crate) async fn subscribe(self) {
        jwks::subscribe(self.subscriptions, &self.fetches).await;
    }
}
