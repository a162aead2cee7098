//! What an operator says about Kafka, as the shipper needs it. The program reads and checks it; secrets in it are never shown.

use std::fmt;
use std::path::PathBuf;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// Where events go, and how the way there is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, with commas between them: some of the brokers.
    pub brokers: String,
    /// The topic of all events.
    pub topic: String,
    /// What happens when the topic is not there.
    pub if_missing: IfMissing,
    /// Encryption and who we are.
    pub security: Security,
}

/// What happens when the topic is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// It is made.
    Create {
        /// Partitions: how many consumers of one group can share the work. Rooms are spread over them by their ids.
        partitions: u16,
        /// Copies of each; the brokers' own default unless set.
        replication: Option<u16>,
    },
    /// Somebody else makes it, and events wait in the outbox until then.
    Wait,
}

/// How connections to the brokers are secured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Encrypted, if set.
    pub tls: Option<Tls>,
    /// Authenticated by name and password, if set.
    pub sasl: Option<Sasl>,
}

/// TLS to the brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates (PEM) to trust instead of those of the machine.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate chain and its key (PEM), where brokers ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How the password is proven.
    pub mechanism: SaslMechanism,
    /// Who we are.
    pub username: String,
    /// The secret.
    pub password: String,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// How a password is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// Sent as it is: over TLS only.
    Plain,
    /// RFC 5802 with SHA-256.
    ScramSha256,
    /// RFC 5802 with SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// The name that brokers know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl KafkaSettings {
    /// Whether the files that it names can be read. OpenSSL would say that something is wrong with a certificate.
    pub(super) fn check_files(&self) -> Result<(), String> {
        let tls = self.security.tls.iter();
        let paths = tls.flat_map(|tls| {
            let client = tls.client.iter().flat_map(|(certificate, key)| [certificate, key]);
            tls.ca_file.iter().chain(client)
        });
        for path in paths {
            std::fs::File::open(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        }
        Ok(())
    }

    /// How to reach the brokers: what producer and checks have in common.
    pub(super) fn connection(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", client_id)
            .set("socket.keepalive.enable", "true")
            // A broker that takes packets and answers nothing is one to reconnect to, well before a minute is over.
            .set("socket.timeout.ms", "10000")
            .set("socket.connection.setup.timeout.ms", "5000")
            // Brokers that are back are found within a second or two.
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000")
            // Idle connections are closed by brokers every ten minutes: no news.
            .set("log.connection.close", "false")
            .set_log_level(RDKafkaLogLevel::Info);
        self.security.lay_into(&mut config);
        config
    }
}

impl Security {
    fn lay_into(&self, config: &mut ClientConfig) {
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(Tls { ca_file, client }) = &self.tls {
            match ca_file {
                Some(path) => config.set("ssl.ca.location", path.to_string_lossy()),
                // The OpenSSL that is built in knows no place of its own; this looks where distributions keep theirs.
                None => config.set("ssl.ca.location", "probe"),
            };
            if let Some((certificate, key)) = client {
                config.set("ssl.certificate.location", certificate.to_string_lossy());
                config.set("ssl.key.location", key.to_string_lossy());
            }
        }
        if let Some(Sasl { mechanism, username, password }) = &self.sasl {
            config.set("sasl.mechanism", mechanism.name());
            config.set("sasl.username", username);
            config.set("sasl.password", password);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(security: Security) -> KafkaSettings {
        KafkaSettings {
            brokers: "a:9092,b:9092".to_owned(),
            topic: "t".to_owned(),
            if_missing: IfMissing::Wait,
            security,
        }
    }

    #[test]
    fn security_is_named_as_brokers_name_it() {
        let tls = || Some(Tls { ca_file: Some("/ca.pem".into()), client: None });
        let sasl = || {
            Some(Sasl {
                mechanism: SaslMechanism::ScramSha512,
                username: "onair".to_owned(),
                password: "hunter2".to_owned(),
            })
        };
        for (security, expected) in [
            (Security::default(), "plaintext"),
            (Security { tls: tls(), sasl: None }, "ssl"),
            (Security { tls: None, sasl: sasl() }, "sasl_plaintext"),
            (Security { tls: tls(), sasl: sasl() }, "sasl_ssl"),
        ] {
            let config = settings(security).connection("c");
            assert_eq!(config.get("security.protocol"), Some(expected));
            assert_eq!(config.get("ssl.ca.location").is_some(), expected.ends_with("ssl"));
            assert_eq!(config.get("sasl.password").is_some(), expected.starts_with("sasl"));
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        let sasl = Sasl {
            mechanism: SaslMechanism::Plain,
            username: "onair".to_owned(),
            password: "hunter2".to_owned(),
        };
        let settings = settings(Security { tls: None, sasl: Some(sasl) });
        let text = format!("{settings:?} {:?}", settings.connection("c"));
        assert!(!text.contains("hunter2"), "{text}");
    }
}
