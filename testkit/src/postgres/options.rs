//! How a PostgreSQL is to be started.

/// How a server is started. The default: no password, no TLS, durable as in production.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) lines: Vec<String>,
    pub(super) password: Option<String>,
    pub(super) is_tls: bool,
}

impl Options {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more line of `postgresql.conf`; it wins over what the kit would write.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{name} = {value}"));
        self
    }

    /// The password of the user in [`Postgres::url`], asked for by SCRAM.
    ///
    /// [`Postgres::url`]: super::Postgres::url
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// The port speaks only TLS, with a certificate for 127.0.0.1 and localhost under [`Postgres::ca_file`].
    ///
    /// [`Postgres::ca_file`]: super::Postgres::ca_file
    pub fn tls(mut self) -> Self {
        self.is_tls = true;
        self
    }
}
