//! How to reach the Redis of a cluster, and what this cluster agreed on. Parsed once; passwords never leave it again.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;
use zeroize::Zeroizing;

use super::super::LeaseTimes;

/// The port of a Redis that names none.
const REDIS_PORT: u16 = 6379;
/// The port of a Sentinel that names none.
const SENTINEL_PORT: u16 = 26379;

/// Everything a [`RedisRegistry`](super::RedisRegistry) is to know. [`RedisSettings::new`] fills in the defaults.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Where Redis is, and how it is laid out.
    pub url: RedisUrl,
    /// Instead of the URL's user.
    pub username: Option<String>,
    /// Instead of the URL's password.
    pub password: Option<Secret>,
    /// Certificates (PEM) to trust for TLS, instead of those of the machine.
    pub ca_file: Option<PathBuf>,
    /// Names the cluster: two with different names cannot share a Redis. 1 to 64 characters of `A-Z a-z 0-9 _ -`.
    pub cluster: ClusterName,
    /// How many replicas must have an answer before it may be believed: 0 or 1. Unless told, 0 for a single Redis and 1 for
    /// Sentinel and Cluster.
    pub confirm: Option<u8>,
    /// The times all nodes go by; the same everywhere.
    pub times: LeaseTimes,
    /// Unread events of one shard before it grants nothing new; the same everywhere.
    pub unread_max: usize,
}

impl RedisSettings {
    /// Unread events of one shard before it grants nothing new. An event takes about 600 bytes, so all shards together keep
    /// at most some 650 MB for a reader that does not read.
    pub const UNREAD_MAX: usize = 16_384;

    /// The defaults, for the Redis at `url`.
    pub fn new(url: RedisUrl, cluster: ClusterName) -> Self {
        Self {
            url,
            username: None,
            password: None,
            ca_file: None,
            cluster,
            confirm: None,
            times: LeaseTimes::default(),
            unread_max: Self::UNREAD_MAX,
        }
    }

    /// How many replicas must have an answer before it may be believed.
    pub fn confirm(&self) -> u8 {
        self.confirm.unwrap_or(match self.url.layout {
            Layout::Single(_) => 0,
            Layout::Sentinel { .. } | Layout::Cluster(_) => 1,
        })
    }

    pub(super) fn credentials(&self) -> Credentials {
        Credentials {
            username: self.username.clone().or_else(|| self.url.username.clone()),
            password: self.password.clone().or_else(|| self.url.password.clone()),
        }
    }
}

/// Where Redis is: `redis://[user:password@]host[:port][/database]`, `redis+sentinel://…@host[:port],host[:port]/master-name`
/// or `redis+cluster://…@host[:port],host[:port]`. With `rediss` instead of `redis`, TLS is spoken, also with Sentinels.
/// User and password may be percent-encoded. A password alone is written `:password@`.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) layout: Layout,
    pub(super) has_tls: bool,
    pub(super) database: i64,
    username: Option<String>,
    password: Option<Secret>,
}

/// How the cluster's Redis is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Single(Endpoint),
    Sentinel { sentinels: Vec<Endpoint>, master: String },
    Cluster(Vec<Endpoint>),
}

/// Why a text is no [`RedisUrl`]. Never repeats the text, since a password may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("a Redis URL begins with redis://, redis+sentinel:// or redis+cluster:// (rediss… for TLS)")]
    Scheme,
    /// No host, or one that cannot be.
    #[error("the Redis URL names no host, or one that is not host or host:port")]
    Host,
    /// More than one host for a single Redis.
    #[error("redis:// takes one host; several are written redis+sentinel:// or redis+cluster://")]
    OneHost,
    /// No name of the master.
    #[error(
        "redis+sentinel:// ends with the name of the master, as in redis+sentinel://a:26379,b:26379/mymaster"
    )]
    MasterName,
    /// A path where none belongs.
    #[error("the path of the Redis URL is not a database number")]
    Path,
    /// Broken percent-encoding.
    #[error("user or password in the Redis URL are not well percent-encoded")]
    Encoding,
}

impl FromStr for RedisUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(UrlError::Scheme)?;
        let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let has_tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(UrlError::Scheme),
        };
        // A password may hold anything but a bare '@' before the last one.
        let (userinfo, place) = match rest.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo), place),
            None => (None, rest),
        };
        let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
        let path = path.trim_end_matches('/');
        let default_port = if kind == "sentinel" { SENTINEL_PORT } else { REDIS_PORT };
        let hosts = hosts
            .split(',')
            .map(|host| Endpoint::parse(host, default_port).ok_or(UrlError::Host))
            .collect::<Result<Vec<_>, _>>()?;
        let mut database = 0;
        let layout = match kind {
            "" => {
                if !path.is_empty() {
                    database = path.parse().map_err(|_| UrlError::Path)?;
                }
                let [host] = <[Endpoint; 1]>::try_from(hosts).map_err(|_| UrlError::OneHost)?;
                Layout::Single(host)
            }
            "sentinel" if path.is_empty() || path.contains('/') => return Err(UrlError::MasterName),
            "sentinel" => Layout::Sentinel { sentinels: hosts, master: path.to_owned() },
            "cluster" if !path.is_empty() => return Err(UrlError::Path),
            "cluster" => Layout::Cluster(hosts),
            _ => return Err(UrlError::Scheme),
        };
        let (username, password) = match userinfo {
            Some(userinfo) => parse_userinfo(userinfo)?,
            None => (None, None),
        };
        Ok(Self { layout, has_tls, database, username, password })
    }
}

impl fmt::Display for RedisUrl {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = if self.has_tls { "rediss" } else { "redis" };
        match &self.layout {
            Layout::Single(host) if self.database == 0 => write!(f, "{base}://{host}"),
            Layout::Single(host) => write!(f, "{base}://{host}/{}", self.database),
            Layout::Sentinel { sentinels, master } => {
                write!(f, "{base}+sentinel://{}/{master}", Hosts(sentinels))
            }
            Layout::Cluster(seeds) => write!(f, "{base}+cluster://{}", Hosts(seeds)),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Hosts<'a>(&'a [Endpoint]);

impl fmt::Display for Hosts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, host) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{host}")?;
        }
        Ok(())
    }
}

/// A name and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    /// `host`, `host:port`, `[v6]` or `[v6]:port`.
    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']')?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(is_host) {
            return None;
        }
        let port = port.map_or(Ok(default_port), str::parse).ok()?;
        Some(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A cluster's name: part of the names of its pub/sub channels.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterName(String);

/// Why a text is no [`ClusterName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a cluster's name is 1 to 64 characters of A-Z a-z 0-9 _ -")]
pub struct ClusterNameError;

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(name: &str) -> Result<Self, ClusterNameError> {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_word) {
            return Err(ClusterNameError);
        }
        Ok(Self(name.to_owned()))
    }
}

impl ClusterName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A password: cannot be printed, and is wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// From here on it cannot be printed.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// With whom we log in, if at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
}

fn parse_userinfo(userinfo: &str) -> Result<(Option<String>, Option<Secret>), UrlError> {
    let (username, password) = match userinfo.split_once(':') {
        Some((username, password)) => (username, Some(password)),
        None => (userinfo, None),
    };
    let username = percent_decoded(username)?;
    let password = password.map(percent_decoded).transpose()?.map(Secret::new);
    Ok(((!username.is_empty()).then_some(username), password))
}

fn percent_decoded(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).ok_or(UrlError::Encoding);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).map_err(|_| UrlError::Encoding)?);
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint { host: host.to_owned(), port }
    }

    #[test]
    fn each_layout_has_its_url() {
        let single: RedisUrl = "redis://cache".parse().unwrap();
        assert_eq!(single.layout, Layout::Single(endpoint("cache", 6379)));
        let single: RedisUrl = "rediss://[::1]:7000/3".parse().unwrap();
        assert_eq!((single.layout.clone(), single.has_tls), (Layout::Single(endpoint("::1", 7000)), true));
        assert_eq!(single.to_string(), "rediss://[::1]:7000/3");
        let sentinel: RedisUrl = "redis+sentinel://a,b:26380/mymaster".parse().unwrap();
        let sentinels = vec![endpoint("a", 26379), endpoint("b", 26380)];
        assert_eq!(sentinel.layout, Layout::Sentinel { sentinels, master: "mymaster".to_owned() });
        let cluster: RedisUrl = "rediss+cluster://10.0.0.1:7000,10.0.0.2:7001/".parse().unwrap();
        let seeds = vec![endpoint("10.0.0.1", 7000), endpoint("10.0.0.2", 7001)];
        assert_eq!(cluster.layout, Layout::Cluster(seeds));
    }

    #[test]
    fn what_is_not_understood_is_refused_without_being_repeated() {
        let cases = [
            ("http://hunter2@h", UrlError::Scheme),
            ("redis+hunter2://h", UrlError::Scheme),
            ("hunter2", UrlError::Scheme),
            ("redis://", UrlError::Host),
            ("redis://u:hunter2@h:port", UrlError::Host),
            ("redis://hunter2@a,b", UrlError::OneHost),
            ("redis://h/hunter2", UrlError::Path),
            ("redis+sentinel://:hunter2@h", UrlError::MasterName),
            ("redis+cluster://h/hunter2", UrlError::Path),
            ("redis://u:hunter2%zz@h", UrlError::Encoding),
        ];
        for (url, error) in cases {
            let found = url.parse::<RedisUrl>().unwrap_err();
            assert_eq!(found, error, "{url}");
            assert!(!format!("{found} {found:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_password_is_read_and_never_shown() {
        let url: RedisUrl = "redis://on%40air:p@ss%3aword@h".parse().unwrap();
        let mut settings = RedisSettings::new(url, "main".parse().unwrap());
        let credentials = settings.credentials();
        assert_eq!(credentials.username.as_deref(), Some("on@air"));
        assert_eq!(credentials.password.as_ref().map(Secret::expose), Some("p@ss:word"));
        settings.password = Some(Secret::new("other".to_owned()));
        assert_eq!(settings.credentials().password.as_ref().map(Secret::expose), Some("other"));
        let shown = format!("{settings:?} {} {:?}", settings.url, settings.credentials());
        assert!(!shown.contains("ss:word") && !shown.contains("other"), "{shown}");
    }

    #[test]
    fn one_replica_confirms_where_there_are_replicas() {
        let confirm = |url: &str| RedisSettings::new(url.parse().unwrap(), "main".parse().unwrap()).confirm();
        assert_eq!(confirm("redis://h"), 0);
        assert_eq!(confirm("redis+sentinel://h/m"), 1);
        assert_eq!(confirm("redis+cluster://h"), 1);
    }
}
