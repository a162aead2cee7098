//! How a PostgreSQL is reached, and how long anything there may take.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::live_db::LiveDbError;

/// Where the PostgreSQL is, and every bound of its use. `Debug` shows neither password nor user.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, with `sslmode` and `sslrootcert` as libpq knows them.
    pub url: String,
    /// Instead of the user in the URL.
    pub username: Option<String>,
    /// Instead of the password in the URL.
    pub password: Option<String>,
    /// The cluster that the database belongs to. The first to open an empty database gives it its name.
    pub cluster: String,
    /// The authority that the server's certificate must come from, as `sslrootcert`. If the URL does not say how strict to be,
    /// the host name must match, too (`verify-full`).
    pub tls_ca_file: Option<PathBuf>,
    /// How the connections call themselves in `pg_stat_activity`. `onair`.
    pub application_name: String,
    /// Connections at most. 8: a Manager's lanes, shippers, feeds and requests take turns.
    pub connections_max: u32,
    /// How long a call waits for a connection. 2 s.
    pub acquire_timeout: Duration,
    /// How long the server works on one statement before it gives up. 5 s.
    pub statement_timeout: Duration,
    /// How long a statement waits for a lock. 2 s.
    pub lock_timeout: Duration,
    /// How long a whole call may take once it has a connection; after it the connection is thrown away. 8 s. Meets what the
    /// server's own timeouts cannot: a server that is frozen, and a network that swallows packets.
    pub call_timeout: Duration,
    /// How long an opening is tried while the server does not answer. 15 s.
    pub open_timeout: Duration,
}

impl PostgresOptions {
    /// The defaults, for the database at `url` of `cluster`.
    pub fn new(url: String, cluster: String) -> Self {
        Self {
            url,
            username: None,
            password: None,
            cluster,
            tls_ca_file: None,
            application_name: "onair".to_owned(),
            connections_max: 8,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_secs(8),
            open_timeout: Duration::from_secs(15),
        }
    }

    /// Whether the URL makes sense; the error does not repeat it.
    ///
    /// # Errors
    /// [`LiveDbError::Refused`] if it does not.
    pub fn check(&self) -> Result<(), LiveDbError> {
        self.connect_options().map(|_| ())
    }

    pub(super) fn connect_options(&self) -> Result<PgConnectOptions, LiveDbError> {
        let wrong = |what: &str| LiveDbError::Refused(format!("the URL of PostgreSQL {what}"));
        let has_scheme = ["postgres://", "postgresql://"].iter().any(|scheme| self.url.starts_with(scheme));
        if !has_scheme {
            return Err(wrong("does not begin with postgres://"));
        }
        // What sqlx says may repeat the URL, and with it the password.
        let options = PgConnectOptions::from_str(&self.url)
            .map_err(|_| wrong("cannot be read; special characters in the password are percent-encoded"))?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(wrong("names no database"));
        }
        let mut options = options.application_name(&self.application_name).disable_statement_logging();
        if let Some(username) = &self.username {
            options = options.username(username);
        }
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        if let Some(file) = &self.tls_ca_file {
            let is_told = matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
            options = options.ssl_root_cert(file);
            if !is_told {
                options = options.ssl_mode(PgSslMode::VerifyFull);
            }
        }
        Ok(options)
    }

    /// `host:port/database`, fit for logs.
    pub(super) fn place(&self) -> String {
        self.connect_options().map_or_else(
            |_| "an unreadable URL".to_owned(),
            |o| format!("{}:{}/{}", o.get_host(), o.get_port(), o.get_database().unwrap_or_default()),
        )
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("place", &self.place())
            .field("cluster", &self.cluster)
            .field("tls_ca_file", &self.tls_ca_file)
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> PostgresOptions {
        PostgresOptions::new(url.to_owned(), "onair".to_owned())
    }

    #[test]
    fn nothing_shows_the_password() {
        let good = options("postgres://anna:hunter2@db.example:5433/live");
        assert!(good.check().is_ok());
        let shown = format!("{good:?}");
        assert!(shown.contains("db.example:5433/live"), "{shown}");
        for bad in ["postgres://anna:hunter2@db.example:port/live", "mysql://anna:hunter2@db/live", "hunter2"]
        {
            let error = options(bad).check().unwrap_err().to_string();
            let shown = format!("{error} {:?}", options(bad));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert!(!shown.contains("hunter2") && !shown.contains("anna"), "{shown}");
    }

    #[test]
    fn an_authority_asks_for_full_verification_unless_the_url_is_strict_already() {
        let mode = |url: &str| {
            let mut options = options(url);
            options.tls_ca_file = Some("ca.pem".into());
            options.connect_options().unwrap().get_ssl_mode()
        };
        assert!(matches!(mode("postgres://db/live"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://db/live?sslmode=require"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://db/live?sslmode=verify-ca"), PgSslMode::VerifyCa));
    }
}
