//! Connection: one peer, from accept to close. Supervised by [`Connections`](crate::connections); temporary, never restarted.
//!
//! The actor decides; its [pump] moves bytes. What must happen however this ends lives in `Drop`: the lease guard
//! releases the room, the permit gives the place back, the pump ends with its handle, and with it the socket.

mod bitrate;
pub(crate) mod outbox;
mod player;
mod plays;
mod publisher;
mod pump;
mod requests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use onair_cluster::events::EndReason;
use onair_cluster::keeper::Keeper;
use onair_cluster::lease::{Lease, LeaseSignal};
use onair_cluster::live_key::LiveKeyVerifier;
use onair_cluster::play_token::PlayVerifier;
use onair_cluster::relay_token::RelayKey;
use onair_cluster::{NodeId, RoomId, SessionId};
use onair_codec::{Event, RequestId};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::admission::Permit;
use crate::config::IngestConfig;
use crate::reactor::{Driven, Place, Reactors, Ready, Running, Turn};
use crate::relay::PullsRef;
use crate::reports::{Counted, Reports};
use crate::room::Rooms;
use crate::stop::StopReason;
use crate::task::TaskGuard;

pub(crate) use publisher::FactsChange;
use pump::{Command, Listener, Pump, Remains};
use requests::Delivery;

/// Characters of an encoder's name that are kept.
const AGENT_CHARS_MAX: usize = 128;

/// What all connections of a node share.
#[derive(Clone)]
pub(crate) struct Wiring {
    pub(crate) node: NodeId,
    pub(crate) config: Arc<IngestConfig>,
    pub(crate) rooms: Rooms,
    pub(crate) keeper: Keeper,
    pub(crate) verifier: LiveKeyVerifier,
    pub(crate) play_verifier: PlayVerifier,
    /// What other nodes show us; without it none is let in.
    pub(crate) relay_key: Option<RelayKey>,
    /// Where rooms are wanted that may be on other nodes.
    pub(crate) pulls: Option<PullsRef>,
    pub(crate) reports: Reports,
    /// What moves the media.
    pub(crate) reactors: Reactors<PumpTask>,
}

/// By which listener a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Encoders and players.
    Public,
    /// Other nodes. They may play what is published here, and nothing else.
    Relay,
}

/// What a connection starts with.
pub(crate) struct Args {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) id: u64,
    pub(crate) accepted: Instant,
    pub(crate) permit: Permit,
    pub(crate) door: Door,
}

/// What a connection hears. Never media.
pub(crate) enum Msg {
    /// From the pump: the peer wants something.
    Peer(Event),
    /// From the pump: the player has something to see.
    Watching,
    /// From the pump: facts of the running session.
    Facts(FactsChange),
    /// The registry's answer to a claim.
    Claimed { request: RequestId, room: RoomId, outcome: Delivery },
    /// The lease has something to say.
    Lease { session: SessionId, signal: LeaseSignal },
    /// The session is as old as its key allows.
    TooOld { session: SessionId },
    /// The node shuts down.
    Drain,
    /// From the pump: the running session is over, the socket closes in a moment.
    Ending(StopReason),
    /// The pump is over, and with it the socket.
    PumpStopped(Remains),
}

pub(crate) struct Connection {
    pub(crate) wiring: Wiring,
}

pub(crate) struct State {
    me: ActorRef<Msg>,
    id: u64,
    address: SocketAddr,
    door: Door,
    accepted: Instant,
    agent: String,
    permit: Permit,
    phase: Phase,
    pump: Running<PumpTask>,
    _counted: Counted,
}

enum Phase {
    /// Nothing was asked, or what was asked is over.
    Idle,
    /// A claim is with the keeper. Dropping the guard withdraws it.
    Claiming {
        request: RequestId,
        _claim: TaskGuard,
    },
    Publishing(Publishing),
    Playing {
        request: RequestId,
    },
    /// The pump was told to finish.
    Ending,
}

struct Publishing {
    request: RequestId,
    lease: Lease,
    _timer: Option<TaskGuard>,
    _counted: Counted,
}

impl Connection {
    fn on_peer(&self, state: &mut State, event: Event) {
        match event {
            Event::Connected(info) => state.agent = clean(&info.flash_version),
            Event::PublishRequested(request) => self.on_publish(state, &request),
            Event::PlayRequested(request) => self.on_play(state, &request),
            Event::Unpublished(request) => Self::on_unpublished(state, request),
            Event::PlayStopped(request) => {
                if matches!(state.phase, Phase::Playing { request: playing } if playing == request) {
                    state.phase = Phase::Idle;
                }
            }
            _ => {}
        }
    }

    fn on_signal(state: &mut State, session: SessionId, signal: LeaseSignal) {
        if !state.is_session(session) {
            return;
        }
        match signal {
            LeaseSignal::Held => {}
            LeaseSignal::Ordered(order) => {
                let text = match (order.reason, order.note.as_str()) {
                    (EndReason::Revoked, _) => "this live key was revoked".to_owned(),
                    (_, "") => "this broadcast was ended by the platform".to_owned(),
                    (_, note) => format!("this broadcast was ended by the platform: {note}"),
                };
                state.finish(StopReason::Ordered(order.reason), text);
            }
            LeaseSignal::Superseded => {
                state.finish(StopReason::Superseded, "another encoder has taken this room over".to_owned());
            }
            LeaseSignal::Lost { .. } => {
                state.finish(StopReason::Lost, "the room is no longer this encoder's".to_owned());
            }
            LeaseSignal::Abandoned => {
                let text = "the server has lost touch with its cluster; reconnect now".to_owned();
                state.finish(StopReason::Unconfirmed, text);
            }
        }
    }

    fn on_drain(state: &mut State) {
        match state.phase {
            Phase::Ending => {}
            _ => state.finish(StopReason::Drain, "the server shuts down; reconnect now".to_owned()),
        }
    }

    /// The socket is closed. Whatever was running ends with the reason the pump found.
    fn on_pump_stopped(&self, state: &mut State, remains: &Remains) {
        let Remains { reason, skipped } = remains;
        state.pump.over();
        state.end_session(reason);
        if *reason == StopReason::RequestTimeout && state.agent.contains("FMSc/1.0") {
            self.wiring.reports.key_probably_too_long(state.id, state.address);
        }
        self.wiring.reports.stopped(state.id, state.address, reason, *skipped);
        state.me.stop(None);
    }
}

impl State {
    fn is_session(&self, session: SessionId) -> bool {
        matches!(&self.phase, Phase::Publishing(publishing) if publishing.lease.card().session_id == session)
    }

    fn tell_pump(&self, command: Command) {
        self.pump.tell(Box::new(command));
    }

    /// Ends the running session, if there is one, without waiting.
    fn end_session(&mut self, reason: &StopReason) {
        if let Phase::Publishing(publishing) = std::mem::replace(&mut self.phase, Phase::Ending) {
            publishing.lease.end_detached(reason.end_reason());
        }
    }

    /// Ends whatever runs. A lease is given back *before* the socket closes, so that an encoder that comes straight back
    /// finds its room free.
    fn finish(&mut self, reason: StopReason, text: String) {
        match std::mem::replace(&mut self.phase, Phase::Ending) {
            Phase::Publishing(publishing) => {
                let pump = self.pump.remote();
                // Fenced and on its way from here on.
                let ending = publishing.lease.end(reason.end_reason());
                tokio::spawn(async move {
                    ending.await;
                    pump.tell(Box::new(Command::Finish { reason, text }));
                });
            }
            _ => self.tell_pump(Command::Finish { reason, text }),
        }
    }
}

/// An encoder's own name, fit for logs, rows and JSON.
fn clean(agent: &str) -> String {
    agent.chars().filter(|c| !c.is_control()).take(AGENT_CHARS_MAX).collect()
}

/// The pump's voice.
struct Voice(ActorRef<Msg>);

impl Listener for Voice {
    fn control(&self, event: Event) {
        let _gone = self.0.cast(Msg::Peer(event));
    }
    fn watching(&self) {
        let _gone = self.0.cast(Msg::Watching);
    }
    fn facts(&self, change: FactsChange) {
        let _gone = self.0.cast(Msg::Facts(change));
    }
    fn ending(&self, reason: StopReason) {
        let _gone = self.0.cast(Msg::Ending(reason));
    }
}

/// Says how the pump ended, even if it ended by a panic.
struct Obituary {
    me: ActorRef<Msg>,
    remains: Remains,
}

/// What a reactor runs for a connection. The socket is closed before the actor hears of it.
pub(crate) struct PumpTask {
    pump: Pump<Voice>,
    obituary: Obituary,
}

impl Driven for PumpTask {
    type Command = Box<Command>;

    fn begin(&mut self, place: &Place<'_>) -> std::io::Result<()> {
        self.pump.begin(place)
    }

    fn ready(&mut self, ready: Ready) {
        self.pump.ready(ready);
    }

    fn tell(&mut self, command: Box<Command>, now: Instant, place: &Place<'_>) {
        self.pump.obey(*command, now, place);
    }

    fn turn(&mut self, now: Instant, place: &Place<'_>) -> Turn {
        self.pump.turn(now, place).unwrap_or_else(|remains| {
            self.obituary.remains = remains;
            Turn::Over
        })
    }
}

impl Drop for Obituary {
    fn drop(&mut self) {
        let _gone = self.me.cast(Msg::PumpStopped(self.remains.clone()));
    }
}

impl Actor for Connection {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Msg>, args: Args) -> Result<State, ActorProcessingErr> {
        let counted = self.wiring.reports.connected(args.id, args.address);
        let pump = Pump::new(
            args.socket,
            self.wiring.config.clone(),
            self.wiring.reports.clone(),
            Voice(me.clone()),
        );
        let remains = Remains { reason: StopReason::Crash, skipped: 0 };
        let obituary = Obituary { me: me.clone(), remains };
        let pump = self.wiring.reactors.run(Box::new(PumpTask { pump, obituary }));
        Ok(State {
            me,
            id: args.id,
            address: args.address,
            door: args.door,
            accepted: args.accepted,
            agent: String::new(),
            permit: args.permit,
            phase: Phase::Idle,
            pump,
            _counted: counted,
        })
    }

    async fn handle(
        &self,
        _me: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Peer(event) => self.on_peer(state, event),
            Msg::Watching => state.permit.let_in(),
            Msg::Facts(change) => {
                #[cfg(feature = "fault-injection")]
                crate::faults::in_handler(&change);
                if let Phase::Publishing(publishing) = &state.phase {
                    publishing.lease.set_facts(|facts| change.apply(facts));
                }
            }
            Msg::Claimed { request, room, outcome } => {
                self.on_claimed(state, request, &room, outcome);
            }
            Msg::Lease { session, signal } => Self::on_signal(state, session, signal),
            Msg::TooOld { session } => {
                if state.is_session(session) {
                    state.finish(
                        StopReason::MaxDuration,
                        "this broadcast is as long as its key allows".to_owned(),
                    );
                }
            }
            Msg::Drain => Self::on_drain(state),
            Msg::Ending(reason) => state.end_session(&reason),
            Msg::PumpStopped(remains) => self.on_pump_stopped(state, &remains),
        }
        Ok(())
    }
}
