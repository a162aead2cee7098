//! `[kafka]`: where events go for whoever listens there.

use std::path::PathBuf;

use onair_manager::kafka::{IfMissing, KafkaSettings, Sasl, Security, Tls};
use serde::{Deserialize, Serialize};

use super::secret::{FileError, Secret};
use super::{Fault, fault, is_authority};

/// `[kafka]`: without brokers, events are in the Live DB and the event feed alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kafka {
    /// Some of them, as `host:port` with commas between.
    pub(crate) brokers: Option<String>,
    /// Where all events go.
    pub(crate) topic: String,
    /// Whether we make it, if it is not there.
    pub(crate) create_topic: bool,
    /// Its partitions, if we make it.
    pub(crate) partitions: u16,
    /// Copies of each; the brokers' own default unless set.
    pub(crate) replication: Option<u16>,
    /// How connections are secured.
    pub(crate) security_protocol: Protocol,
    /// How we prove who we are.
    pub(crate) sasl_mechanism: Option<Mechanism>,
    /// Who we are.
    pub(crate) username: Option<String>,
    /// What proves it.
    pub(crate) password: Option<Secret>,
    /// A file with it instead.
    pub(crate) password_file: Option<PathBuf>,
    /// Certificates to trust instead of the machine's.
    pub(crate) tls_ca_file: Option<PathBuf>,
    /// Our own certificate chain, where brokers ask for one.
    pub(crate) tls_certificate_file: Option<PathBuf>,
    /// Its key.
    pub(crate) tls_key_file: Option<PathBuf>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: None,
            topic: "onair.broadcasts".to_owned(),
            create_topic: true,
            partitions: 16,
            replication: None,
            security_protocol: Protocol::default(),
            sasl_mechanism: None,
            username: None,
            password: None,
            password_file: None,
            tls_ca_file: None,
            tls_certificate_file: None,
            tls_key_file: None,
        }
    }
}

/// How connections to brokers are secured, in Kafka's own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// Not at all.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// Name and password, in the clear.
    SaslPlaintext,
    /// Name and password over TLS.
    SaslSsl,
}

impl Protocol {
    const fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How a password is proven, in Kafka's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mechanism {
    /// It is sent.
    #[serde(rename = "PLAIN")]
    Plain,
    /// RFC 5802 with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// RFC 5802 with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl From<Mechanism> for onair_manager::kafka::SaslMechanism {
    fn from(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::ScramSha256 => Self::ScramSha256,
            Mechanism::ScramSha512 => Self::ScramSha512,
        }
    }
}

/// Kafka's own bound of a topic's name, and the characters that it may have.
const TOPIC_CHARS_MAX: usize = 249;

impl Kafka {
    /// Checks what types alone cannot say.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if let Some(brokers) = &self.brokers
            && !brokers.split(',').all(|broker| is_authority(broker.trim()))
        {
            return Err(fault(
                "kafka.brokers",
                format!("are not host:port, with commas between: {brokers:?}"),
            ));
        }
        let topic = &self.topic;
        let is_topic = (1..=TOPIC_CHARS_MAX).contains(&topic.len())
            && topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !matches!(topic.as_str(), "." | "..");
        if !is_topic {
            return Err(fault("kafka.topic", "is 1 to 249 characters of A-Z a-z 0-9 . _ -"));
        }
        if !(1..=1_000).contains(&self.partitions) {
            return Err(fault("kafka.partitions", "must be 1 to 1000"));
        }
        if self.replication.is_some_and(|copies| !(1..=32).contains(&copies)) {
            return Err(fault("kafka.replication", "must be 1 to 32"));
        }
        self.check_security()
    }

    fn check_security(&self) -> Result<(), Fault> {
        let protocol = self.security_protocol;
        let tls = [
            ("kafka.tls_ca_file", self.tls_ca_file.is_some()),
            ("kafka.tls_certificate_file", self.tls_certificate_file.is_some()),
            ("kafka.tls_key_file", self.tls_key_file.is_some()),
        ];
        let sasl = [
            ("kafka.sasl_mechanism", self.sasl_mechanism.is_some()),
            ("kafka.username", self.username.is_some()),
            ("kafka.password", self.password.is_some()),
            ("kafka.password_file", self.password_file.is_some()),
        ];
        // What would not be used was meant to be.
        for (key, is_set) in tls {
            if is_set && !protocol.is_tls() {
                return Err(fault(key, "needs kafka.security_protocol to be \"ssl\" or \"sasl_ssl\""));
            }
        }
        for (key, is_set) in sasl {
            if is_set && !protocol.is_sasl() {
                return Err(fault(
                    key,
                    "needs kafka.security_protocol to be \"sasl_ssl\" or \"sasl_plaintext\"",
                ));
            }
        }
        if self.tls_certificate_file.is_some() != self.tls_key_file.is_some() {
            return Err(fault("kafka.tls_certificate_file", "and kafka.tls_key_file go together"));
        }
        if self.password.is_some() && self.password_file.is_some() {
            return Err(fault("kafka.password_file", "and kafka.password cannot both be set"));
        }
        let has_password = self.password.is_some() || self.password_file.is_some();
        if protocol.is_sasl() && (self.sasl_mechanism.is_none() || self.username.is_none() || !has_password) {
            return Err(fault(
                "kafka.security_protocol",
                "with SASL needs kafka.sasl_mechanism, kafka.username and kafka.password (or password_file)",
            ));
        }
        Ok(())
    }

    /// What the shipper is told, if there is a Kafka.
    pub(crate) fn settings(&self) -> Result<Option<KafkaSettings>, FileError> {
        let Some(brokers) = &self.brokers else { return Ok(None) };
        let password = match &self.password_file {
            Some(path) => Some(Secret::read("kafka.password_file", path)?),
            None => self.password.clone(),
        };
        // Checked before: SASL comes with all three.
        let sasl = match (self.sasl_mechanism, &self.username, password) {
            (Some(mechanism), Some(username), Some(password)) => Some(Sasl {
                mechanism: mechanism.into(),
                username: username.clone(),
                password: password.expose().to_owned(),
            }),
            _ => None,
        };
        let tls = self.security_protocol.is_tls().then(|| Tls {
            ca_file: self.tls_ca_file.clone(),
            client: self.tls_certificate_file.clone().zip(self.tls_key_file.clone()),
        });
        let if_missing = if self.create_topic {
            IfMissing::Create { partitions: self.partitions, replication: self.replication }
        } else {
            IfMissing::Wait
        };
        Ok(Some(KafkaSettings {
            brokers: brokers.clone(),
            topic: self.topic.clone(),
            if_missing,
            security: Security { tls, sasl },
        }))
    }
}
