//! Opening one connection, and one exchange on it: commands out, answers in, all within a given time.

use std::fs;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo,
    RedisConnectionInfo, TlsCertificates, Value,
};

use super::error::ConnectError;
use super::settings::{Credentials, Endpoint, RedisSettings};
use super::trouble::Trouble;

/// Opens connections, with the cluster's credentials and certificates.
#[derive(Clone)]
pub(super) struct Dialer {
    credentials: Credentials,
    database: i64,
    tls: Option<TlsCertificates>,
}

/// How a connection is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// With our credentials.
    Data,
    /// Sentinels speak RESP2, know no databases, and often no users either.
    Sentinel { with_credentials: bool },
}

impl Dialer {
    /// Reads the file of certificates, if one is set.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, ConnectError> {
        let tls = if settings.url.has_tls {
            // One crypto library for the process; without this a dependency that brings another makes rustls panic.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let read =
                |file| fs::read(file).map_err(|error| ConnectError::Certificates { why: error.to_string() });
            Some(TlsCertificates {
                client_tls: None,
                root_cert: settings.ca_file.as_ref().map(read).transpose()?,
            })
        } else {
            None
        };
        let dialer = Self { credentials: settings.credentials(), database: settings.url.database, tls };
        let nowhere = Endpoint { host: "localhost".to_owned(), port: 0 };
        dialer
            .client(&nowhere, Protocol::Data)
            .map_err(|trouble| ConnectError::Certificates { why: trouble.text().to_owned() })?;
        Ok(dialer)
    }

    /// Whether Sentinels may be tried with a user or password.
    pub(super) fn has_credentials(&self) -> bool {
        self.credentials.password.is_some()
    }

    /// A connection whose pushed messages go to `on_push`, opened within `within`.
    pub(super) async fn open_with(
        &self,
        endpoint: &Endpoint,
        protocol: Protocol,
        within: Duration,
        on_push: Option<impl Fn(PushInfo) -> Result<(), redis::aio::SendError> + Send + Sync + 'static>,
    ) -> Result<MultiplexedConnection, Trouble> {
        let client = self.client(endpoint, protocol)?;
        // Every exchange is timed by us; the crate's own times would cut a WAIT or a long read short.
        let mut config =
            AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(Some(within));
        if let Some(on_push) = on_push {
            config = config.set_push_sender(on_push);
        }
        let opening = client.get_multiplexed_async_connection_with_config(&config);
        match tokio::time::timeout(within, opening).await {
            Ok(opened) => Ok(opened?),
            Err(_) => Err(Trouble::Gone(format!("no connection within {within:?}"))),
        }
    }

    /// The same without pushed messages.
    pub(super) async fn open(
        &self,
        endpoint: &Endpoint,
        protocol: Protocol,
        within: Duration,
    ) -> Result<MultiplexedConnection, Trouble> {
        let nobody = None::<fn(PushInfo) -> Result<(), redis::aio::SendError>>;
        self.open_with(endpoint, protocol, within, nobody).await
    }

    fn client(&self, endpoint: &Endpoint, protocol: Protocol) -> Result<Client, Trouble> {
        let (host, port) = (endpoint.host.clone(), endpoint.port);
        let addr = match &self.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        // Redis 7.2 wants to be told the library; older ones call that an error, and it needs a right of its own.
        let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
        let is_known = match protocol {
            Protocol::Data => {
                login = login.set_protocol(ProtocolVersion::RESP3).set_db(self.database);
                true
            }
            Protocol::Sentinel { with_credentials } => with_credentials,
        };
        if is_known {
            if let Some(username) = &self.credentials.username {
                login = login.set_username(username);
            }
            if let Some(password) = &self.credentials.password {
                login = login.set_password(password.expose());
            }
        }
        let info = addr
            .into_connection_info()?
            .set_redis_settings(login)
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        match &self.tls {
            None => Ok(Client::open(info)?),
            Some(certificates) => Ok(Client::build_with_tls(info, certificates.clone())?),
        }
    }
}

/// Sends the commands in one write and returns their answers in order; an error of one is a [`Value::ServerError`] in its
/// place. When `within` has passed, the answers are lost and the connection must not be used again.
pub(super) async fn exchange(
    connection: &MultiplexedConnection,
    commands: impl IntoIterator<Item = Cmd>,
    within: Duration,
) -> Result<Vec<Value>, Trouble> {
    let mut pipeline = redis::Pipeline::new();
    for command in commands {
        pipeline.add_command(command);
    }
    let mut connection = connection.clone();
    let answers = connection.send_packed_commands(&pipeline, 0, pipeline.len());
    match tokio::time::timeout(within, answers).await {
        Ok(answers) => Ok(answers?),
        Err(_) => Err(Trouble::Gone(format!("no answer within {within:?}"))),
    }
}

/// A field of an answer to `INFO`.
pub(super) fn info_field<'a>(info: &'a str, field: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
}

/// An answer that is a text.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        Value::Okay => Some("OK"),
        _ => None,
    }
}
