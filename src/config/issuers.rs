//! `[[issuer]]`: platforms that mint live keys of their own.

use std::path::PathBuf;
use std::time::Duration;

use onair_cluster::live_key::{Issuer, IssuerTerms};
use serde::{Deserialize, Serialize};

use super::Fault;
use super::units::Period;
use crate::public_keys;

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerConfig {
    /// Our short name for it.
    pub(crate) name: String,
    /// What its tokens say in `iss`.
    pub(crate) iss: String,
    /// What they must say in `aud`.
    pub(crate) aud: String,
    /// What its tokens for the API must say in `aud`; without it, it has no say there.
    pub(crate) api_aud: Option<String>,
    /// Its Ed25519 keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) public_keys: Vec<String>,
    /// A file with its keys, as a JSON Web Key Set.
    pub(crate) jwks_file: Option<PathBuf>,
    /// Where it serves them.
    pub(crate) jwks_url: Option<String>,
    /// Certificates to trust there, instead of the machine's.
    pub(crate) jwks_ca_file: Option<PathBuf>,
    /// Between two fetches.
    #[serde(default = "refresh")]
    pub(crate) jwks_refresh: Period,
    /// The longest that a key may still have to live when it is shown.
    #[serde(default = "lifetime_max")]
    pub(crate) lifetime_max: Period,
}

fn refresh() -> Period {
    Period::secs(300)
}

fn lifetime_max() -> Period {
    Period::days(1)
}

impl IssuerConfig {
    /// What is fixed about it.
    pub(crate) fn terms(&self) -> IssuerTerms {
        IssuerTerms {
            name: self.name.clone(),
            iss: self.iss.clone(),
            aud: self.aud.clone(),
            api_aud: self.api_aud.clone(),
            lifetime_max: self.lifetime_max.0,
        }
    }

    /// What is wrong with the one at `place`.
    pub(super) fn check(&self, place: usize) -> Result<(), Fault> {
        let wrong = |key: &str, problem: &str| {
            Err(Fault { key: format!("issuer[{place}].{key}"), problem: problem.to_owned() })
        };
        if !Issuer::is_name(&self.name) {
            return wrong("name", "is 1 to 16 characters of a-z 0-9");
        }
        if self.iss.is_empty() {
            return wrong("iss", "is empty");
        }
        if self.aud.is_empty() {
            return wrong("aud", "is empty");
        }
        if self.api_aud.as_ref().is_some_and(|aud| aud.is_empty() || *aud == self.aud) {
            return wrong("api_aud", "is empty, or the same as aud");
        }
        if self.public_keys.iter().any(|key| public_keys::parse(key).is_none()) {
            return wrong("public_keys", "are Ed25519 keys: 32 bytes in base64url, 43 characters");
        }
        if self.public_keys.is_empty() && self.jwks_file.is_none() && self.jwks_url.is_none() {
            return wrong("name", "needs public_keys, jwks_file or jwks_url beside it");
        }
        if let Some(url) = &self.jwks_url {
            if !url.starts_with("https://") {
                return wrong("jwks_url", "must begin with https://");
            }
            if self.jwks_file.is_some() || !self.public_keys.is_empty() {
                return wrong(
                    "jwks_url",
                    "tells all keys of an issuer: set neither public_keys nor jwks_file beside it",
                );
            }
        }
        let refreshes = Duration::from_secs(60)..=Duration::from_secs(86_400);
        if !refreshes.contains(&self.jwks_refresh.0) {
            return wrong("jwks_refresh", "must be 60s to 1d");
        }
        let lifetimes = Duration::from_secs(1)..=Duration::from_secs(3_650 * 86_400);
        if !lifetimes.contains(&self.lifetime_max.0) {
            return wrong("lifetime_max", "must be 1s to 3650d");
        }
        Ok(())
    }
}

/// What is wrong with all of them, the cluster's own issuer included.
pub(super) fn check(issuers: &[IssuerConfig], own: &str) -> Result<(), Fault> {
    for (place, issuer) in issuers.iter().enumerate() {
        issuer.check(place)?;
        let earlier = &issuers[..place];
        let taken = |key: &str| {
            Err(Fault {
                key: format!("issuer[{place}].{key}"),
                problem: "is another issuer's already".to_owned(),
            })
        };
        if earlier.iter().any(|other| other.name == issuer.name) {
            return taken("name");
        }
        if issuer.iss == own || earlier.iter().any(|other| other.iss == issuer.iss) {
            return taken("iss");
        }
    }
    Ok(())
}
