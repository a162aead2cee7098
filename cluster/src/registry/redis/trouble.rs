//! What can go wrong between us and a Redis, sorted by what is to be done about it.

use redis::{ErrorKind, RedisError, ServerError, Value};

use crate::registry::RegistryError;

/// Why a command has no answer of its own. Its texts name commands and addresses, never credentials: Redis does not repeat
/// those in its errors, and ours are made from hosts and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No connection, no answer in time, or a connection that broke. It is not used again: a late answer on it would be
    /// taken for another's.
    Gone(String),
    /// It answers, but is not (or not now) who takes our writes: a replica, a slot that has moved, a server that is still
    /// loading. Ask again who is.
    NotPrimary(String),
    /// It does not know the script; it restarted, or somebody flushed the scripts.
    NoScript,
    /// No memory left for what is new.
    Full,
    /// Wrong user or password, or none where one is needed.
    Credentials(String),
    /// The user may not do that.
    Permission(String),
    /// It knows no RESP3: a server before Redis 6.
    TooOld,
    /// Any other error.
    Broken(String),
}

impl Trouble {
    /// For logs and errors.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Gone(why) | Self::NotPrimary(why) | Self::Credentials(why) => why,
            Self::Permission(why) | Self::Broken(why) => why,
            Self::NoScript => "it does not know our scripts",
            Self::Full => "it is out of memory",
            Self::TooOld => "it does not speak RESP3",
        }
    }

    fn of_code(code: &str, details: Option<&str>) -> Self {
        let text = || match details {
            Some(details) => format!("{code} {details}"),
            None => code.to_owned(),
        };
        match code {
            "NOSCRIPT" => Self::NoScript,
            "OOM" => Self::Full,
            "NOAUTH" | "WRONGPASS" => Self::Credentials(text()),
            "NOPERM" => Self::Permission(text()),
            // MISCONF and NOREPLICAS refuse every write, renewals too: for its holders such a Redis is away.
            "READONLY" | "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN"
            | "MISCONF" | "NOREPLICAS" | "BUSY" => Self::NotPrimary(text()),
            _ => Self::Broken(text()),
        }
    }
}

impl From<&ServerError> for Trouble {
    fn from(error: &ServerError) -> Self {
        Self::of_code(error.code(), error.details())
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Credentials(error.to_string()),
            ErrorKind::RESP3NotSupported => Self::TooOld,
            _ => match error.code() {
                Some(code) => Self::of_code(code, error.detail()),
                None => Self::Gone(error.to_string()),
            },
        }
    }
}

impl From<Trouble> for RegistryError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Full => Self::Full,
            Trouble::Permission(why) | Trouble::Broken(why) => Self::Broken(why),
            Trouble::Gone(_)
            | Trouble::NotPrimary(_)
            | Trouble::NoScript
            | Trouble::Credentials(_)
            | Trouble::TooOld => Self::Unreachable,
        }
    }
}

/// The value, or what it says is wrong.
pub(super) fn checked(value: Value) -> Result<Value, Trouble> {
    match value {
        Value::ServerError(error) => Err(Trouble::from(&error)),
        value => Ok(value),
    }
}
