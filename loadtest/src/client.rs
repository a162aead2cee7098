//! Client: one RTMP connection of ours: a socket and the codec's client peer.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use onair_codec::{
    ClientAction, ClientConfig, ClientEvent, ClientPeer, Input, Media, Output, PeerError, Secret,
};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::address::Address;

/// What we say we are.
const AGENT: &str = "FMLE/3.0 (compatible; Onair)";

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// To publish.
    Publish,
    /// To play.
    Play,
}

/// Why a client is not where it wants to be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The network.
    #[error("the connection: {0}")]
    Io(#[from] io::Error),
    /// The server broke the protocol.
    #[error("the server: {0}")]
    Protocol(#[from] PeerError),
    /// The server refused, and said why.
    #[error("refused: {code} ({description})")]
    Refused {
        /// The status code.
        code: String,
        /// Its text.
        description: String,
    },
    /// The server closed the connection.
    #[error("closed by the server")]
    Closed,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    socket: TcpStream,
    peer: ClientPeer,
    buffer: Box<[u8]>,
    /// What came in one read with the start status.
    early: Vec<ClientEvent>,
    /// From before the connect to the server's start status.
    started_after: Duration,
    /// From what was last sent to what came next.
    heard_after: Duration,
    /// When something was last sent.
    sent_at: Instant,
    /// From the publish or play command to the server's start status.
    answered_after: Duration,
}

impl Client {
    /// Connects and waits until the server lets us publish or play. `from` is the local address, if it matters.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or closes.
    pub async fn start(address: &Address, want: Want, from: Option<SocketAddr>) -> Result<Self, ClientError> {
        Self::start_as(AGENT, address, want, from).await
    }

    /// The same under another agent, which the server puts on record.
    ///
    /// # Errors
    /// Likewise.
    pub async fn start_as(
        agent: &str,
        address: &Address,
        want: Want,
        from: Option<SocketAddr>,
    ) -> Result<Self, ClientError> {
        let began = Instant::now();
        let to = tokio::net::lookup_host(&address.host)
            .await?
            .next()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = from {
            socket.bind(from)?;
        }
        let socket = socket.connect(to).await?;
        socket.set_nodelay(true)?;
        let name = Secret::from(address.name.as_str());
        let action = match want {
            Want::Publish => ClientAction::Publish { name },
            Want::Play => ClientAction::Play { name },
        };
        let tc_url = format!("rtmp://{}/{}", address.host, address.app);
        let mut config = ClientConfig::new(&address.app, tc_url, action);
        config.flash_version = agent.to_owned();
        let peer = ClientPeer::new(config, rand::random(), began);
        let mut client = Self {
            socket,
            peer,
            buffer: vec![0; 64 * 1024].into_boxed_slice(),
            early: Vec::new(),
            started_after: Duration::ZERO,
            heard_after: Duration::ZERO,
            sent_at: began,
            answered_after: Duration::ZERO,
        };
        let mut early = Vec::new();
        let mut started = false;
        let mut refused = None;
        while !started {
            client
                .step(|event| match event {
                    ClientEvent::Started => started = true,
                    ClientEvent::Refused { code, description } => refused = Some((code, description)),
                    other => early.push(other),
                })
                .await?;
            if let Some((code, description)) = refused.take() {
                return Err(ClientError::Refused { code, description });
            }
        }
        client.started_after = began.elapsed();
        client.answered_after = client.heard_after;
        client.early = early;
        Ok(client)
    }

    /// From before the connect to the server's start status.
    pub const fn started_after(&self) -> Duration {
        self.started_after
    }

    /// From the publish or play command to the server's start status.
    pub const fn answered_after(&self) -> Duration {
        self.answered_after
    }

    /// Where we are connected from.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends what is due, then waits for bytes of the server and hands over what they mean. Cancel-safe between messages:
    /// nothing read is lost, and what was to be written is written before the first wait.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn step(&mut self, mut on_event: impl FnMut(ClientEvent)) -> Result<(), ClientError> {
        if !self.early.is_empty() {
            self.early.drain(..).for_each(on_event);
            return Ok(());
        }
        self.flush(&mut on_event).await?;
        let n = self.socket.read(&mut self.buffer).await?;
        if n == 0 {
            return Err(ClientError::Closed);
        }
        self.heard_after = self.sent_at.elapsed();
        self.peer.handle(Instant::now(), Input::Bytes(&self.buffer[..n]))?;
        self.flush(&mut on_event).await
    }

    /// Sends media messages in one write.
    ///
    /// # Errors
    /// When the connection ends, or we do not publish.
    pub async fn send(&mut self, media: &[Media]) -> Result<(), ClientError> {
        for message in media {
            self.peer.send_media(message).map_err(|_| ClientError::Closed)?;
        }
        self.flush(&mut |_| {}).await
    }

    /// Sends bytes as they are, for tests of what a server does with them.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        Ok(self.socket.write_all(bytes).await?)
    }

    /// Says goodbye as an encoder does, and closes.
    ///
    /// # Errors
    /// When the connection ended before.
    pub async fn unpublish(mut self) -> Result<(), ClientError> {
        self.peer.unpublish();
        self.flush(&mut |_| {}).await?;
        self.socket.shutdown().await?;
        Ok(())
    }

    async fn flush(&mut self, on_event: &mut impl FnMut(ClientEvent)) -> Result<(), ClientError> {
        let mut out = Vec::new();
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Transmit(bytes) => out.extend_from_slice(&bytes),
                Output::Event(event) => on_event(event),
                Output::Close(_) => {}
            }
        }
        if !out.is_empty() {
            self.sent_at = Instant::now();
            self.socket.write_all(&out).await?;
        }
        Ok(())
    }
}
