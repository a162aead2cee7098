//! `[postgres]`: the Live DB that several Managers share.

use std::path::PathBuf;
use std::time::Duration;

use onair_manager::live_db::PostgresOptions;
use serde::{Deserialize, Serialize};

use super::secret::{FileError, Secret, SecretUrl};
use super::units::Period;
use super::{Fault, fault, within};

/// `[postgres]`: without an address, the Live DB is a SQLite file in the data directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Postgres {
    /// Where it is.
    pub(crate) url: Option<SecretUrl>,
    /// Instead of the address's user.
    pub(crate) username: Option<String>,
    /// Instead of the address's password.
    pub(crate) password: Option<Secret>,
    /// A file with it instead.
    pub(crate) password_file: Option<PathBuf>,
    /// Certificates to trust instead of the machine's.
    pub(crate) tls_ca_file: Option<PathBuf>,
    /// Connections of this Manager.
    pub(crate) connections_max: u32,
    /// The longest that one statement may take.
    pub(crate) statement_timeout: Period,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            url: None,
            username: None,
            password: None,
            password_file: None,
            tls_ca_file: None,
            connections_max: 8,
            statement_timeout: Period::secs(5),
        }
    }
}

impl Postgres {
    /// Checks what types alone cannot say.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.password.is_some() && self.password_file.is_some() {
            return Err(fault("postgres.password_file", "and postgres.password cannot both be set"));
        }
        if let Some(url) = &self.url {
            // Its text does not repeat the URL.
            let options = PostgresOptions::new(url.expose().to_owned(), String::new());
            options.check().map_err(|e| fault("postgres.url", format!("is not one: {e}")))?;
        }
        if !(2..=200).contains(&self.connections_max) {
            return Err(fault("postgres.connections_max", "must be 2 to 200"));
        }
        let timeout = self.statement_timeout.0;
        within("postgres.statement_timeout", timeout, Duration::from_millis(100)..=Duration::from_secs(60))
    }

    /// What the Live DB of `cluster` is to know, if it is a PostgreSQL.
    pub(crate) fn options(&self, cluster: &str) -> Result<Option<PostgresOptions>, FileError> {
        let Some(url) = &self.url else { return Ok(None) };
        let password = match &self.password_file {
            Some(path) => Some(Secret::read("postgres.password_file", path)?),
            None => self.password.clone(),
        };
        Ok(Some(PostgresOptions {
            username: self.username.clone(),
            password: password.map(|password| password.expose().to_owned()),
            tls_ca_file: self.tls_ca_file.clone(),
            connections_max: self.connections_max,
            statement_timeout: self.statement_timeout.0,
            // A whole call is a few statements; past that, the server is frozen or the network swallows packets.
            call_timeout: self.statement_timeout.0 + CALL_SLACK,
            ..PostgresOptions::new(url.expose().to_owned(), cluster.to_owned())
        }))
    }
}

/// What a call may take beyond one statement that takes as long as it may.
const CALL_SLACK: Duration = Duration::from_secs(3);
