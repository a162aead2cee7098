//! Pull: one RTMP connection to the node that holds a room, from the name lookup to its end. Everything on the way has a deadline.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use onair_cluster::directory::OnAir;
use onair_cluster::relay_token::RelayPass;
use onair_cluster::{RoomId, UnixMs};
use onair_codec::{
    ClientAction, ClientConfig, ClientEvent, ClientPeer, Close, Input, Output, PeerError, Secret,
};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use super::follow::Wiring;
use super::intake::Intake;
use super::networks::Network;
use super::socket::{Ready, Socket};
use crate::connection::outbox::Outbox;
use crate::read_buffer::{self, READS_PER_TURN};
use crate::reports::Counted;

/// A name of the cluster's own network is resolved in milliseconds, or not at all.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for a connect. A node that is gone without a word does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A frozen node's kernel still accepts: it is its silence afterwards that gives it away.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// From the connection on, until the other node lets us in.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
/// Far enough to mean never.
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// How we name ourselves.
const AGENT: &str = "Onair relay";
/// The code with which a play ends that was meant to.
const PLAY_STOP: &str = "NetStream.Play.Stop";

/// Why a pull is over, or did not come to be.
#[derive(Debug)]
pub(crate) enum PullEnd {
    /// The broadcast ended, and was meant to.
    Over,
    /// The other node closed: the session is over there, or the node is.
    Closed,
    /// No media for too long.
    Silent,
    /// The room has a higher epoch elsewhere.
    Moved,
    /// The room has a higher epoch, or a publisher here.
    Fenced,
    /// What was found is older than what was seen: it is not pulled.
    Older,
    /// Nobody watches any more.
    NoPlayers,
    /// The other node refused us, with this code.
    Refused(String),
    /// The other node says no address for pulls, or none that can be resolved.
    NoAddress,
    /// Its address lies outside the networks where nodes may be.
    ForeignAddress(SocketAddr),
    /// It cannot be reached, or does not answer in time.
    Unreachable(io::Error),
    /// It does not speak as it should.
    Protocol(PeerError),
}

impl PullEnd {
    /// A label from a closed set, for metrics and logs.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Over => "over",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Moved => "moved",
            Self::Fenced => "fenced",
            Self::Older => "older_epoch",
            Self::NoPlayers => "no_players",
            Self::Refused(_) => "refused",
            Self::NoAddress => "no_address",
            Self::ForeignAddress(_) => "foreign_address",
            Self::Unreachable(_) => "unreachable",
            Self::Protocol(_) => "protocol_error",
        }
    }

    /// Whether this is the course of things, and not something an operator should look at.
    pub(crate) const fn is_expected(&self) -> bool {
        matches!(self, Self::Over | Self::Closed | Self::Moved | Self::Fenced | Self::NoPlayers)
    }
}

impl fmt::Display for PullEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code) => write!(f, "refused: {code}"),
            Self::ForeignAddress(address) => write!(f, "{address} is in none of the cluster's networks"),
            Self::Unreachable(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            other => f.write_str(other.label()),
        }
    }
}

/// A connection that is made, or being made.
pub(super) struct Pull<'a> {
    wiring: &'a Wiring,
    room: &'a RoomId,
    on_air: &'a OnAir,
    socket: Socket,
    peer: ClientPeer,
    outbox: Outbox,
    received: u64,
    counted: Option<Counted>,
}

/// Pulls one epoch of a room until it is over. What was received stands in `intake`, also when this is dropped.
pub(super) async fn pull(
    wiring: &Wiring,
    room: &RoomId,
    on_air: &OnAir,
    intake: &mut Option<Intake>,
) -> PullEnd {
    match Pull::connect(wiring, room, on_air).await {
        Ok(mut pull) => pull.run(intake).await,
        Err(end) => end,
    }
}

impl<'a> Pull<'a> {
    async fn connect(wiring: &'a Wiring, room: &'a RoomId, on_air: &'a OnAir) -> Result<Self, PullEnd> {
        let host = on_air.relay.as_deref().ok_or(PullEnd::NoAddress)?;
        let address = resolve(host, &wiring.config.relay_networks).await?;
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let socket = connecting
            .map_err(|_| PullEnd::Unreachable(io::ErrorKind::TimedOut.into()))?
            .map_err(PullEnd::Unreachable)?;
        socket.set_nodelay(true).map_err(PullEnd::Unreachable)?;
        let pass = RelayPass { node: wiring.node.clone(), room: room.clone(), epoch: on_air.epoch };
        // The token is made after the connect: its half minute is for the request alone.
        let token = wiring
            .key
            .mint(&pass, UnixMs::now())
            .map_err(|error| PullEnd::Unreachable(io::Error::other(error.to_string())))?;
        let name = Secret::from(format!("live?token={}", token.expose()));
        let config = ClientConfig {
            limits: wiring.config.limits.clone(),
            flash_version: AGENT.to_owned(),
            handshake_timeout: HANDSHAKE_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            ..ClientConfig::new(room.as_str(), format!("rtmp://{host}/{room}"), ClientAction::Play { name })
        };
        let peer = ClientPeer::new(config, rand::random(), Instant::now());
        let (socket, outbox) = (Socket::new(socket), Outbox::default());
        Ok(Self { wiring, room, on_air, socket, peer, outbox, received: 0, counted: None })
    }

    async fn run(&mut self, intake: &mut Option<Intake>) -> PullEnd {
        loop {
            let now = Instant::now();
            if let Some(end) = self.drain(intake, now) {
                return end;
            }
            if let Err(error) = self.outbox.write_to(|slices| self.socket.try_write_vectored(slices)) {
                return PullEnd::Unreachable(error);
            }
            let silent_at = match &*intake {
                Some(intake) if self.counted.is_some() => intake.heard() + self.wiring.config.relay_silence,
                _ => now + NEVER,
            };
            if silent_at <= now {
                return PullEnd::Silent;
            }
            let deadline = self.peer.poll_timeout().map_or(silent_at, |at| at.min(silent_at));
            let (socket, writes) = (&self.socket, !self.outbox.is_empty());
            let mut input = Ok(false);
            tokio::select! {
                ready = poll_fn(|cx| socket.poll_ready(cx, writes)) => {
                    input = match ready {
                        Ok(Ready::Read) => self.read(intake),
                        Ok(Ready::Write) => Ok(false),
                        Err(error) => Err(PullEnd::Unreachable(error)),
                    };
                }
                () = sleep_until(deadline.into()) => {
                    if let Err(error) = self.peer.handle(Instant::now(), Input::Timeout) {
                        input = Err(PullEnd::Protocol(error));
                    }
                }
            }
            match input {
                // Others get their turn.
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => {}
                Err(end) => return end,
            }
        }
    }

    /// Reads what is there, a bounded number of times. True when there may be more.
    fn read(&mut self, intake: &mut Option<Intake>) -> Result<bool, PullEnd> {
        for _ in 0..READS_PER_TURN {
            let now = Instant::now();
            let more = read_buffer::with(|buffer| match self.socket.try_read(buffer) {
                Ok(0) => Err(PullEnd::Closed),
                Ok(n) => {
                    self.peer.handle(now, Input::Bytes(&buffer[..n])).map_err(PullEnd::Protocol)?;
                    Ok(n == buffer.len())
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                // A node that was killed resets.
                Err(_) if self.counted.is_some() => Err(PullEnd::Closed),
                Err(error) => Err(PullEnd::Unreachable(error)),
            })?;
            if let Some(end) = self.drain(intake, now) {
                return Err(end);
            }
            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes everything the state machine has to say. Why the pull is over, if it is.
    fn drain(&mut self, intake: &mut Option<Intake>, now: Instant) -> Option<PullEnd> {
        let mut end = None;
        while let Some(output) = self.peer.poll_output() {
            let said = match output {
                Output::Transmit(bytes) => {
                    self.outbox.push(bytes);
                    None
                }
                Output::Event(event) => self.on_event(event, intake, now),
                Output::Close(close) => Some(match close {
                    Close::HandshakeTimeout | Close::RequestTimeout => {
                        PullEnd::Unreachable(io::ErrorKind::TimedOut.into())
                    }
                    _ => PullEnd::Closed,
                }),
            };
            end = end.or(said);
        }
        if self.received > 0 {
            self.wiring.reports.relay().received(std::mem::take(&mut self.received));
        }
        end
    }

    fn on_event(&mut self, event: ClientEvent, intake: &mut Option<Intake>, now: Instant) -> Option<PullEnd> {
        match event {
            ClientEvent::Started => self.begin(intake, now).err(),
            ClientEvent::Media(media) => {
                self.received += media.payload.len() as u64;
                let intake = intake.as_mut()?;
                intake.media(media, now).err().map(|_fenced| PullEnd::Fenced)
            }
            ClientEvent::Refused { code, .. } => Some(PullEnd::Refused(code)),
            ClientEvent::Ended { code } if code == PLAY_STOP => Some(PullEnd::Over),
            // Anything else it says of an end, it follows up by closing.
            _ => None,
        }
    }

    /// The other node lets us have the epoch.
    fn begin(&mut self, intake: &mut Option<Intake>, now: Instant) -> Result<(), PullEnd> {
        let (room, epoch) = (self.room, self.on_air.epoch);
        match intake.as_mut().filter(|intake| intake.epoch() == epoch) {
            Some(intake) => intake.begin_connection(now),
            None => {
                // The old one goes first: two sources never share a room.
                drop(intake.take());
                let source = self.wiring.rooms.relay(room, epoch, now).ok_or(PullEnd::Fenced)?;
                *intake = Some(Intake::new(source, epoch, self.wiring.config.limits.amf, now));
            }
        }
        let peer = self.socket.peer_addr().map_err(PullEnd::Unreachable)?;
        let counted = self.wiring.reports.relay().pulling(room, epoch, &self.on_air.node_id, peer);
        self.counted = Some(counted);
        Ok(())
    }
}

/// The first of a host's addresses that lies in one of the networks. Connecting to the very address that was checked leaves a name
/// nothing to change in between.
async fn resolve(host: &str, networks: &[Network]) -> Result<SocketAddr, PullEnd> {
    let found = timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(host)).await;
    let addresses: Vec<SocketAddr> = found
        .map_err(|_| PullEnd::Unreachable(io::ErrorKind::TimedOut.into()))?
        .map_err(PullEnd::Unreachable)?
        .collect();
    let is_allowed = |address: &&SocketAddr| networks.iter().any(|network| network.contains(address.ip()));
    match addresses.iter().find(is_allowed) {
        Some(address) => Ok(*address),
        None => {
            Err(addresses.first().map_or(PullEnd::NoAddress, |address| PullEnd::ForeignAddress(*address)))
        }
    }
}
