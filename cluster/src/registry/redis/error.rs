//! Why a cluster's Redis cannot be used: what is wrong, where, and what to do about it. No secret is ever part of it.

use thiserror::Error;

use super::settings::Endpoint;
use super::trouble::Trouble;

/// Why [`RedisRegistry::connect`](super::RedisRegistry::connect) gave up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No answer within the time there is, or no primary among those that answered.
    #[error("no Redis primary to be reached: {why}")]
    Unreachable {
        /// What went wrong last, and with whom.
        why: String,
    },
    /// Wrong user or password, or none where one is needed.
    #[error("Redis at {at} does not accept our user and password: {why}")]
    Credentials {
        /// Host and port.
        at: String,
        /// What Redis said.
        why: String,
    },
    /// The user may not do what the registry has to.
    #[error("the Redis user lacks a right at {at}: {why} (the rule it needs is in the operating guide)")]
    Permission {
        /// Host and port.
        at: String,
        /// What Redis said.
        why: String,
    },
    /// Before Redis 7.0.
    #[error("Redis at {at} is version {version}; 7.0 or newer is needed")]
    TooOld {
        /// Host and port.
        at: String,
        /// Its version.
        version: String,
    },
    /// A replica under `redis://`, which names the primary.
    #[error("Redis at {at} is a replica: name its primary, or its Sentinels with redis+sentinel://")]
    Replica {
        /// Host and port.
        at: String,
    },
    /// The server is no plain Redis, no Sentinel or no member of a Cluster, though the URL says so.
    #[error("the server at {at} runs in {found} mode: use {scheme}")]
    Layout {
        /// Host and port.
        at: String,
        /// What it says it is: `standalone`, `sentinel` or `cluster`.
        found: String,
        /// The scheme of the URL that fits.
        scheme: &'static str,
    },
    /// No Sentinel that answers watches a master of this name.
    #[error("the Sentinels know no master named {name:?}")]
    UnknownMaster {
        /// The name in the URL.
        name: String,
    },
    /// The Redis belongs to another cluster.
    #[error(
        "this Redis belongs to the cluster {found:?}, and we are {ours:?}: use another Redis, or another database"
    )]
    OtherCluster {
        /// Its name.
        found: String,
        /// Our name.
        ours: String,
    },
    /// The Redis was written by a version of Onair that keeps its data in another way.
    #[error("the data in this Redis is of another format: {found}; ours is {ours}")]
    OtherFormat {
        /// Theirs.
        found: String,
        /// Ours.
        ours: String,
    },
    /// The certificates to trust cannot be used.
    #[error("the certificates for TLS to Redis cannot be used: {why}")]
    Certificates {
        /// Why.
        why: String,
    },
    /// It answered what we do not understand.
    #[error("Redis at {at} answered: {why}")]
    Broken {
        /// Host and port.
        at: String,
        /// What.
        why: String,
    },
}

impl ConnectError {
    /// What came of a connection or command at `at`.
    pub(super) fn of(at: &Endpoint, trouble: Trouble) -> Self {
        let place = at.to_string();
        match trouble {
            Trouble::Credentials(why) => Self::Credentials { at: place, why },
            Trouble::Permission(why) => Self::Permission { at: place, why },
            Trouble::TooOld => Self::TooOld { at: place, version: "before 6.0".to_owned() },
            Trouble::Broken(why) => Self::Broken { at: place, why },
            Trouble::Gone(_) | Trouble::NotPrimary(_) | Trouble::NoScript | Trouble::Full => {
                Self::Unreachable { why: format!("{place}: {}", trouble.text()) }
            }
        }
    }

    /// Whether trying again soon may help.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// What is in this Redis is not ours: nothing may be written.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self, Self::OtherCluster { .. } | Self::OtherFormat { .. })
    }
}
