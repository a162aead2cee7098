//! The configuration of one node: typed sections, checked as a whole before anything is bound.

mod cluster;
mod issuers;
mod kafka;
mod layers;
mod postgres;
mod secret;
mod sections;
mod units;

use std::time::Duration;

use onair_cluster::registry::redis::{ClusterName, RedisUrl};
use onair_cluster::relay_token::RelayKey;
use onair_ingest::{IngestConfig, Network};
use serde::{Deserialize, Serialize};

use crate::{logs, public_keys};

pub(crate) use cluster::{Cluster, Redis, SecretError};
pub(crate) use issuers::IssuerConfig;
pub(crate) use kafka::Kafka;
pub(crate) use layers::{ConfigError, Fault, Loaded, Origin, load};
pub(crate) use postgres::Postgres;
pub(crate) use secret::{FileError, Secret};
pub(crate) use sections::{Http, LiveKeys, Log, LogFormat, Node, Play, Retention, Rtmp};

/// The commented sample file: the reference of every key, printed by `onair config default`.
pub(crate) const SAMPLE: &str = include_str!("../docs/onair.toml");

/// All that can be set. Unknown sections and keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// This process.
    pub(crate) node: Node,
    /// What all nodes share.
    pub(crate) cluster: Cluster,
    /// Where they share it.
    pub(crate) redis: Redis,
    /// Where what has been is remembered by several Managers.
    pub(crate) postgres: Postgres,
    /// Where it is told.
    pub(crate) kafka: Kafka,
    /// Publishers and players.
    pub(crate) rtmp: Rtmp,
    /// The API.
    pub(crate) http: Http,
    /// What producers get.
    pub(crate) live_keys: LiveKeys,
    /// Others who make live keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) issuer: Vec<IssuerConfig>,
    /// What is remembered.
    pub(crate) retention: Retention,
    /// What is told.
    pub(crate) log: Log,
}

/// RTMP 1.0 §5.4.1: a chunk is at least 1 byte; below 128 (the default) headers would cost more than they carry. The
/// most is a message's own most, 2^24 - 1.
const CHUNK_SIZES: std::ops::RangeInclusive<u32> = 128..=0xFF_FFFF;
const DAY: Duration = Duration::from_secs(86_400);

impl Config {
    /// What ingest is told.
    pub(crate) fn ingest(&self) -> IngestConfig {
        // Checked before: nothing that is no network was let in.
        let networks = self.cluster.networks.iter().filter_map(|network| network.parse().ok());
        let ingest = self.rtmp.ingest();
        let threads = self.node.threads.unwrap_or(ingest.threads);
        IngestConfig { relay_networks: networks.collect(), threads, ..ingest }
    }

    /// Checks what types alone cannot say. The first fault found is told.
    fn check(&self) -> Result<(), Fault> {
        self.check_node()?;
        self.check_cluster()?;
        self.postgres.check()?;
        self.kafka.check()?;
        self.check_rtmp()?;
        self.check_live_keys()?;
        issuers::check(&self.issuer, &self.cluster.name)?;
        self.check_retention()?;
        logs::parse(&self.log.level)
            .map(|_| ())
            .map_err(|e| fault("log.level", format!("is not a log level or filter: {e}")))
    }

    fn check_node(&self) -> Result<(), Fault> {
        let node = &self.node;
        if node.data_dir.as_os_str().is_empty() {
            return Err(fault("node.data_dir", "is empty"));
        }
        if !(1..=1024).contains(&node.threads.unwrap_or(1)) {
            return Err(fault("node.threads", "must be 1 to 1024"));
        }
        if let Some(domain) = &node.media_domain
            && !is_authority(domain)
        {
            return Err(fault("node.media_domain", format!("is not a host or host:port: {domain:?}")));
        }
        if let Some(address) = &node.advertise
            && !is_authority(address)
        {
            return Err(fault("node.advertise", format!("is not a host or host:port: {address:?}")));
        }
        if node.id.as_ref().is_some_and(onair_manager::is_managers_name) {
            return Err(fault("node.id", "is the name that Managers go by"));
        }
        node.demo().map_err(|problem| fault("node.demo_producer", format!("is no producer: {problem}")))?;
        within("node.drain_timeout", node.drain_timeout.0, Duration::ZERO..=Duration::from_secs(600))
    }

    fn check_cluster(&self) -> Result<(), Fault> {
        let name = &self.cluster.name;
        if name.is_empty()
            || name.len() > 64
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            return Err(fault("cluster.name", "is 1 to 64 characters of A-Z a-z 0-9 . _ -"));
        }
        let Cluster { secret, secret_file, relay_listen, relay_advertise, .. } = &self.cluster;
        if secret.is_some() && secret_file.is_some() {
            return Err(fault("cluster.secret_file", "and cluster.secret cannot both be set"));
        }
        if secret.as_ref().is_some_and(|secret| RelayKey::derive(name, secret.expose()).is_err()) {
            let min = RelayKey::SECRET_BYTES_MIN;
            return Err(fault("cluster.secret", format!("must have at least {min} bytes")));
        }
        if relay_listen.is_some() && secret.is_none() && secret_file.is_none() {
            return Err(fault(
                "cluster.relay_listen",
                "needs cluster.secret or cluster.secret_file beside it",
            ));
        }
        if let Some(address) = relay_advertise
            && !(is_authority(address) && address.contains(':'))
        {
            return Err(fault("cluster.relay_advertise", format!("is not host:port: {address:?}")));
        }
        for network in &self.cluster.networks {
            network
                .parse::<Network>()
                .map_err(|e| fault("cluster.networks", format!("has {network:?}: {e}")))?;
        }
        let Redis { password, password_file, confirm, url, .. } = &self.redis;
        if password.is_some() && password_file.is_some() {
            return Err(fault("redis.password_file", "and redis.password cannot both be set"));
        }
        if confirm.is_some_and(|replicas| replicas > 1) {
            return Err(fault("redis.confirm", "must be 0 or 1"));
        }
        if let Some(url) = url {
            url.expose().parse::<RedisUrl>().map_err(|e| fault("redis.url", format!("is not one: {e}")))?;
            name.parse::<ClusterName>().map_err(|e| fault("cluster.name", format!("with a Redis: {e}")))?;
        }
        Ok(())
    }

    fn check_rtmp(&self) -> Result<(), Fault> {
        let rtmp = &self.rtmp;
        let timeouts = [
            ("rtmp.handshake_timeout", rtmp.handshake_timeout),
            ("rtmp.request_timeout", rtmp.request_timeout),
            ("rtmp.first_media_timeout", rtmp.first_media_timeout),
            ("rtmp.idle_timeout", rtmp.idle_timeout),
            ("rtmp.write_timeout", rtmp.write_timeout),
        ];
        for (key, period) in timeouts {
            within(key, period.0, Duration::from_millis(100)..=DAY)?;
        }
        for (key, period) in [("rtmp.play_wait", rtmp.play_wait), ("rtmp.rejoin_wait", rtmp.rejoin_wait)] {
            within(key, period.0, Duration::ZERO..=DAY)?;
        }
        within("rtmp.gather_reads", rtmp.gather_reads.0, Duration::ZERO..=Duration::from_millis(100))?;
        within("rtmp.gather_writes", rtmp.gather_writes.0, Duration::ZERO..=Duration::from_secs(1))?;
        if !CHUNK_SIZES.contains(&rtmp.chunk_size) {
            let (min, max) = (CHUNK_SIZES.start(), CHUNK_SIZES.end());
            return Err(fault("rtmp.chunk_size", format!("must be {min} to {max}, not {}", rtmp.chunk_size)));
        }
        if rtmp.connections_max == 0 {
            return Err(fault("rtmp.connections_max", "must be at least 1"));
        }
        if rtmp.pending_per_address_max == 0 {
            return Err(fault("rtmp.pending_per_address_max", "must be at least 1"));
        }
        if rtmp.room_bytes_max.bytes() < 1 << 20 {
            return Err(fault("rtmp.room_bytes_max", "must be at least 1MiB, or no picture fits"));
        }
        Ok(())
    }

    fn check_live_keys(&self) -> Result<(), Fault> {
        let keys = &self.live_keys;
        within("live_keys.lifetime_max", keys.lifetime_max.0, Duration::from_secs(1)..=DAY * 3650)?;
        within("live_keys.lifetime", keys.lifetime.0, Duration::from_secs(1)..=keys.lifetime_max.0)?;
        if !(1..=1000).contains(&keys.per_room_max) {
            return Err(fault("live_keys.per_room_max", "must be 1 to 1000"));
        }
        if keys.public_keys.iter().any(|key| public_keys::parse(key).is_none()) {
            return Err(fault(
                "live_keys.public_keys",
                "are Ed25519 keys: 32 bytes in base64url, 43 characters",
            ));
        }
        Ok(())
    }

    fn check_retention(&self) -> Result<(), Fault> {
        let keep = &self.retention;
        for (key, period) in [
            ("retention.history", keep.history),
            ("retention.outbox", keep.outbox),
            ("retention.expired_keys", keep.expired_keys),
        ] {
            within(key, period.0, DAY..=DAY * 36_500)?;
        }
        Ok(())
    }
}

fn fault(key: &str, problem: impl Into<String>) -> Fault {
    Fault { key: key.to_owned(), problem: problem.into() }
}

fn within(key: &str, value: Duration, range: std::ops::RangeInclusive<Duration>) -> Result<(), Fault> {
    if range.contains(&value) {
        return Ok(());
    }
    let [min, max, value] = [*range.start(), *range.end(), value].map(units::Period);
    Err(fault(key, format!("must be {min} to {max}, not {value}")))
}

/// `host`, `host:port`, `1.2.3.4:port` or `[v6]:port`: what may stand between `rtmp://` and the next slash.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_ok = match v6 {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        }
    };
    host_ok && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

#[cfg(test)]
mod tests;
