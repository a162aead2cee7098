//! How a broker is to be started.

/// How clients say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sasl {
    /// `PLAIN`.
    Plain,
    /// `SCRAM-SHA-256`.
    ScramSha256,
    /// `SCRAM-SHA-512`.
    ScramSha512,
}

impl Sasl {
    /// As Kafka and its clients spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// How a broker is started. The default: no TLS, nobody is asked who they are, topics have to be created.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) lines: Vec<String>,
    pub(super) user: Option<(Sasl, String, String)>,
    pub(super) is_tls: bool,
}

impl Options {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more line of `server.properties`; it wins over what the kit would write.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{name}={value}"));
        self
    }

    /// Topics come into being when somebody writes to them.
    pub fn auto_create_topics(self) -> Self {
        self.config("auto.create.topics.enable", "true")
    }

    /// Clients at [`Kafka::brokers`] have to be this user.
    ///
    /// [`Kafka::brokers`]: super::Kafka::brokers
    pub fn user(mut self, sasl: Sasl, name: &str, password: &str) -> Self {
        self.user = Some((sasl, name.to_owned(), password.to_owned()));
        self
    }

    /// [`Kafka::brokers`] speaks only TLS, with a certificate for 127.0.0.1 and localhost under [`Kafka::ca_file`].
    ///
    /// [`Kafka::brokers`]: super::Kafka::brokers
    /// [`Kafka::ca_file`]: super::Kafka::ca_file
    pub fn tls(mut self) -> Self {
        self.is_tls = true;
        self
    }

    /// What the listener for clients speaks, in Kafka's words.
    pub(super) fn protocol(&self) -> &'static str {
        match (self.is_tls, self.user.is_some()) {
            (false, false) => "PLAINTEXT",
            (false, true) => "SASL_PLAINTEXT",
            (true, false) => "SSL",
            (true, true) => "SASL_SSL",
        }
    }
}
