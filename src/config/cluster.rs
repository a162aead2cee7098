//! What many nodes share: `[cluster]` and `[redis]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use onair_cluster::keeper::{OnRegistryLoss, OnUnreplicated, Policy};
use onair_cluster::registry::redis::RedisSettings;
use onair_cluster::relay_token::{RelayKey, WeakSecret};
use onair_ingest::Network;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::secret::{FileError, Secret, SecretUrl};

/// `[cluster]`: what all nodes of a cluster agree on, and how they meet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cluster {
    /// Its name, and the issuer of its live keys.
    pub(crate) name: String,
    /// What nodes prove to each other that they are of this cluster.
    pub(crate) secret: Option<Secret>,
    /// A file with it instead.
    pub(crate) secret_file: Option<PathBuf>,
    /// Where other nodes pull rooms from this one; nowhere unless set.
    pub(crate) relay_listen: Option<SocketAddr>,
    /// `host:port` by which other nodes reach that listener; the listener's own unless set.
    pub(crate) relay_advertise: Option<String>,
    /// Where other nodes may be, for this one to pull from them.
    pub(crate) networks: Vec<String>,
    /// What happens to sessions on air when the registry does not answer.
    pub(crate) on_registry_loss: OnRegistryLoss,
    /// What happens to new sessions when the registry's replicas do not confirm.
    pub(crate) on_unreplicated: OnUnreplicated,
}

impl Default for Cluster {
    fn default() -> Self {
        let Policy { on_registry_loss, on_unreplicated } = Policy::default();
        Self {
            name: "onair".to_owned(),
            secret: None,
            secret_file: None,
            relay_listen: None,
            relay_advertise: None,
            networks: Network::private().iter().map(Network::to_string).collect(),
            on_registry_loss,
            on_unreplicated,
        }
    }
}

impl Cluster {
    /// What rooms are pulled with, if nodes may do so at all.
    pub(crate) fn relay_key(&self) -> Result<Option<RelayKey>, SecretError> {
        let secret = match &self.secret_file {
            Some(path) => Some(Secret::read("cluster.secret_file", path)?),
            None => self.secret.clone(),
        };
        Ok(secret.map(|secret| RelayKey::derive(&self.name, secret.expose())).transpose()?)
    }

    /// What the keeper of leases is told.
    pub(crate) fn policy(&self) -> Policy {
        Policy { on_registry_loss: self.on_registry_loss, on_unreplicated: self.on_unreplicated }
    }
}

/// Why there is no secret to share.
#[derive(Debug, Error)]
pub(crate) enum SecretError {
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// It could be guessed.
    #[error(transparent)]
    Weak(#[from] WeakSecret),
}

/// `[redis]`: the registry that nodes share; without an address each node has one of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Redis {
    /// Where it is, and how it is laid out.
    pub(crate) url: Option<SecretUrl>,
    /// Instead of the address's user.
    pub(crate) username: Option<String>,
    /// Instead of the address's password.
    pub(crate) password: Option<Secret>,
    /// A file with it instead.
    pub(crate) password_file: Option<PathBuf>,
    /// Certificates to trust instead of the machine's.
    pub(crate) tls_ca_file: Option<PathBuf>,
    /// Replicas that must have an answer before it is believed; by the layout unless set.
    pub(crate) confirm: Option<u8>,
}

impl Redis {
    /// What the registry is to know, if there is one to share.
    pub(crate) fn settings(&self, cluster: &str) -> Result<Option<RedisSettings>, FileError> {
        let Some(url) = &self.url else { return Ok(None) };
        // Both have been checked: nothing else was let in.
        let (Ok(url), Ok(cluster)) = (url.expose().parse(), cluster.parse()) else { return Ok(None) };
        let password = match &self.password_file {
            Some(path) => Some(Secret::read("redis.password_file", path)?),
            None => self.password.clone(),
        };
        Ok(Some(RedisSettings {
            username: self.username.clone(),
            password: password
                .map(|password| onair_cluster::registry::redis::Secret::new(password.expose().to_owned())),
            ca_file: self.tls_ca_file.clone(),
            confirm: self.confirm,
            ..RedisSettings::new(url, cluster)
        }))
    }
}
