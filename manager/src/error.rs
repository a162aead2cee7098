//! Why the Manager cannot start, or cannot do what its own process asks of it.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use crate::live_db::LiveDbError;

/// Carries no secret; fit for a terminal.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// The media domain would not make an address.
    #[error("\"{0}\" is no media domain: it is host or host:port, without rtmp:// and without a path")]
    MediaDomain(String),
    /// The admin token is too short to be a secret.
    #[error("an admin token has at least {min} characters", min = crate::AdminToken::CHARS_MIN)]
    AdminToken,
    /// The Live DB cannot be opened or does not answer.
    #[error("Live DB: {0}")]
    LiveDb(#[from] LiveDbError),
    /// The registry did not take the keys and holds that it must know.
    #[error("registry: {0}")]
    Registry(#[from] onair_cluster::RegistryError),
    /// The HTTP address cannot be bound.
    #[error("cannot listen on {addr} for HTTP: {source}; another one: --http IP:PORT")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A live key could not be signed.
    #[error("live key: {0}")]
    Sign(#[from] onair_cluster::live_key::SignerError),
    /// Too many changes wait for the Live DB or the registry to answer again; one more could be forgotten.
    #[error("too many changes wait to be recorded")]
    TooMuchOwed,
    /// The settings for Kafka make no client; that brokers are away is no such thing.
    #[error("kafka: {0}")]
    Kafka(String),
    /// The thread of the Manager could not be started or died while starting.
    #[error("the Manager's thread did not start")]
    Thread,
}
