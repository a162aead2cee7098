//! Why a process did not start, or ended without being told to: the text for the terminal, and the exit code it earns.

use std::fmt;
use std::net::SocketAddr;

use onair_cluster::registry::redis::ConnectError;
use onair_manager::ManagerError;
use onair_manager::live_db::LiveDbError;
use thiserror::Error;

use crate::config::{FileError, SecretError};
use crate::exit::Exit;
use crate::jwks::JwksError;
use crate::membership::{JoinError, Name};
use crate::public_keys::PublicKeysError;
use crate::secrets::SecretsError;

/// Why a process did not start, or ended without being told to.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    /// A setting that this command cannot do without.
    #[error("{key} must be set: {why}")]
    Missing {
        /// `section.key`.
        key: &'static str,
        /// What it is needed for.
        why: &'static str,
    },
    /// Keys, token, directory.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// Keys of others.
    #[error(transparent)]
    PublicKeys(#[from] PublicKeysError),
    /// Certificates for fetching keys of others.
    #[error("issuer: {0}")]
    Jwks(#[from] JwksError),
    /// A secret that is kept in a file.
    #[error(transparent)]
    SecretFile(#[from] FileError),
    /// The secret that nodes share.
    #[error(transparent)]
    ClusterSecret(#[from] SecretError),
    /// The shared registry.
    #[error(transparent)]
    Redis(#[from] ConnectError),
    /// The runtime or the signals.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
    /// An address for encoders and players, or for other nodes.
    #[error(
        "cannot listen on {address} for RTMP: {source}; another one: {key} (--rtmp IP:PORT is rtmp.listen)"
    )]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The setting.
        key: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The host's name makes no node id.
    #[error("the host's name makes no node id ({0}); set node.id")]
    NodeId(String),
    /// Another process has our name, or nobody can tell.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Another process has taken our name meanwhile.
    #[error("another process has taken {0} while this one did not answer: it is in charge now")]
    Displaced(Name),
    /// Managers that do not share their Live DB.
    #[error(
        "another Manager of this cluster is alive, and one of the two has postgres.url and the other has not: they would each store \
         a part of the events; give all of them the same PostgreSQL, or run one alone"
    )]
    MixedManagers,
    /// The Manager.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// Ingest.
    #[error(transparent)]
    Ingest(#[from] onair_ingest::StartError),
    /// A part that must live as long as the process ended by itself.
    #[error("{0} ended by itself; see the log")]
    Died(Part),
    /// A second signal.
    #[error("told twice: not waiting for the drain")]
    Interrupted,
    /// The drain took longer than it may.
    #[error("the drain did not end in time")]
    DrainTimeout,
}

impl RunError {
    /// The exit code this earns.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Secrets(e) => e.exit(),
            Self::Manager(e) => exit_of_manager(e),
            Self::Bind { .. } | Self::System(_) => Exit::Unavailable,
            Self::Join(_) | Self::Displaced(_) => Exit::Unavailable,
            Self::NodeId(_)
            | Self::MixedManagers
            | Self::Missing { .. }
            | Self::Jwks(_)
            | Self::PublicKeys(_)
            | Self::SecretFile(_)
            | Self::ClusterSecret(_) => Exit::Config,
            Self::Redis(e) => exit_of(e),
            Self::Ingest(_) | Self::Died(_) | Self::DrainTimeout => Exit::Software,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

/// What is wrong about a Redis: it is not to be had, it does not let us in, or it is not the one that was meant.
fn exit_of(error: &ConnectError) -> Exit {
    match error {
        ConnectError::Credentials { .. } | ConnectError::Permission { .. } => Exit::Permission,
        ConnectError::OtherCluster { .. }
        | ConnectError::OtherFormat { .. }
        | ConnectError::Layout { .. }
        | ConnectError::Replica { .. }
        | ConnectError::UnknownMaster { .. }
        | ConnectError::Certificates { .. } => Exit::Config,
        // Unreachable, too old, or something that is no Redis at all.
        _ => Exit::Unavailable,
    }
}

/// What is wrong about a Live DB or a Kafka: it is not to be had, or it is not the one that was meant.
fn exit_of_manager(error: &ManagerError) -> Exit {
    match error {
        ManagerError::LiveDb(LiveDbError::Refused(_) | LiveDbError::Unreadable(_))
        | ManagerError::Kafka(_) => Exit::Config,
        _ => Exit::Unavailable,
    }
}

/// What must live as long as the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Sockets and actors.
    Ingest,
    /// The database and the API.
    Manager,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingest => "ingest",
            Self::Manager => "the Manager",
        })
    }
}
