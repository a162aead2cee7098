//! The world of one room: how it begins, and what becomes of it by every [`Step`].

use stateright::{Model, Property};

use crate::properties;
use crate::registry::{Answer, Data, Op};
use crate::rules::{Faults, Rules, TTL};
use crate::state::{Call, Done, Left, Node, Server, Session, State, Told};
use crate::steps::Step;

/// What goes, and what may go wrong.
pub(crate) struct World {
    pub(crate) rules: Rules,
    pub(crate) faults: Faults,
}

/// A bound on what servers write while they replicate, since a wish and a renewal can follow each other for ever.
const OFFSET_MAX: u8 = 6;

impl World {
    fn time(&self, server: usize, now: u8) -> u8 {
        // Not from zero: nothing is older than the servers.
        1 + now + if server == 0 { 0 } else { self.faults.skew }
    }

    fn rides(&self, node: &Node) -> bool {
        self.rules.failures_to_ride.is_some_and(|needed| node.failures >= needed)
    }

    /// The session whose media a node passes on.
    pub(crate) fn passes(&self, state: &State, node: &Node) -> Option<Session> {
        let session = node.session.filter(|_| !node.is_frozen)?;
        (state.now < session.believe_until || self.rides(node)).then_some(session)
    }

    /// Whom a node's calls reach.
    pub(crate) fn server_of(state: &State, node: usize) -> Option<usize> {
        let server = if node == 0 { state.stale.unwrap_or(state.primary) } else { state.primary };
        (!state.is_away && state.servers[server].is_up).then_some(server)
    }

    fn execute(&self, state: &mut State, node: usize, op: Op) -> Option<Done> {
        let server = Self::server_of(state, node)?;
        let time = self.time(server, state.now);
        let before = state.servers[server].data;
        let run = u8::try_from(server).unwrap() + 1;
        let (answer, effect) = state.servers[server].data.execute(&self.rules, time, run, op);
        if self.faults.servers > 1 && state.servers[server].data != before {
            state.servers[server].offset += 1;
        }
        let held = |id| state.nodes.iter().any(|n| !n.is_frozen && n.session.is_some_and(|s| s.id == id));
        state.told.was_wronged |= self.faults.diligent && effect.buried.is_some_and(held);
        state.told.has_risen |= effect.has_risen;
        state.told.has_adopted |= effect.has_adopted;
        let offset = state.servers[server].offset;
        let has_it = |at: usize, replica: &Server| {
            at != server
                && server == state.primary
                && replica.is_up
                && Some(at) != state.stale
                && replica.offset >= offset
        };
        let is_confirmed = self.faults.servers == 1
            || state.servers.iter().enumerate().any(|(at, replica)| has_it(at, replica));
        Some(Done { answer, server, offset, is_confirmed })
    }

    fn deliver(&self, state: &mut State, at: usize) -> Option<()> {
        let now = state.now;
        let call = state.nodes[at].call.take()?;
        let done = call.done?;
        let node = &mut state.nodes[at];
        node.failures = 0;
        if self.faults.diligent {
            node.answered_at = call.sent;
        }
        let is_good = done.is_confirmed || !self.rules.confirm;
        let until = TTL + if self.rules.from_sending { call.sent } else { now };
        match (done.answer, call.op) {
            (Answer::Granted(epoch), Op::Acquire(id)) if node.claiming == Some(id) && is_good => {
                node.claiming = None;
                node.session = Some(Session { id, epoch, believe_until: until });
            }
            (Answer::Kept { is_wanted }, Op::Renew(id, _)) => {
                let session = node.session.as_mut().filter(|session| session.id == id)?;
                if is_good {
                    session.believe_until = session.believe_until.max(until);
                } else {
                    // Answered without replicas: media rides.
                    node.failures = self.rules.failures_to_ride.unwrap_or(0);
                }
                node.is_wanted = is_wanted && self.faults.yields;
            }
            (Answer::Lost, Op::Renew(id, _)) if node.session.is_some_and(|s| s.id == id) => {
                node.session = None;
            }
            (Answer::Released, Op::Release(..)) => {
                node.ending = None;
                node.session = None;
            }
            (Answer::Ended, _) => node.claiming = None,
            _ => {}
        }
        if let Some(session) = node.session.filter(|session| now < session.believe_until)
            && state.believed & (1 << session.id) == 0
        {
            state.told.epochs_fell |= state.believed != 0 && session.epoch <= state.epoch;
            state.believed |= 1 << session.id;
            state.epoch = state.epoch.max(session.epoch);
        }
        Some(())
    }

    fn promote(&self, state: &mut State, to: usize, is_partition: bool) {
        if is_partition {
            state.left.partitions -= 1;
            state.stale = Some(state.primary);
        } else {
            state.left.failovers -= 1;
            state.servers[state.primary].is_up = false;
        }
        state.primary = to;
    }
}

impl Model for World {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut data = Data::default();
        // The shard has been there for ever, and closed to nobody.
        data.look(&Rules { blank: false, ..self.rules }, self.time(0, 0), 1);
        let server = Server { data, offset: 0, is_up: true };
        let f = &self.faults;
        vec![State {
            now: 0,
            servers: vec![server; usize::from(f.servers)],
            primary: 0,
            stale: None,
            is_away: false,
            nodes: [Node::default(); 2],
            left: Left {
                failovers: f.failovers,
                partitions: f.partitions,
                losses: f.losses,
                strays: f.strays,
                freezes: f.freezes,
                crashes: f.crashes,
                outages: f.outages,
                wipes: f.wipes,
            },
            believed: 0,
            epoch: 0,
            seen: 0,
            told: Told::default(),
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        self.collect_steps(state, steps);
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        let now = state.now;
        let send = |node: &mut Node, op| node.call = Some(Call { op, sent: now, done: None });
        match step {
            Step::Tick => {
                state.now += 1;
                if !state.is_away {
                    // The Manager looks at every shard.
                    for at in [Some(state.primary), state.stale].into_iter().flatten() {
                        let time = self.time(at, state.now);
                        state.servers[at].data.look(&self.rules, time, u8::try_from(at).unwrap() + 1);
                    }
                }
            }
            Step::Claim(at) => {
                let node = &mut state.nodes[at];
                let id = node.claiming.unwrap_or_else(|| {
                    node.started += 1;
                    u8::try_from(at).unwrap() * 4 + node.started
                });
                node.claiming = Some(id);
                send(node, Op::Acquire(id));
            }
            Step::GiveUp(at) => state.nodes[at].claiming = None,
            Step::Renew(at) => {
                let node = &mut state.nodes[at];
                let session = node.session?;
                send(node, Op::Renew(session.id, session.epoch));
            }
            Step::Release(at) | Step::Yield(at) => {
                state.told.has_yielded |= matches!(step, Step::Yield(_));
                let node = &mut state.nodes[at];
                let session = node.session?;
                node.ending = Some((session.id, session.epoch));
                node.is_wanted = false;
                if self.rules.stops_first {
                    node.session = None;
                }
                send(node, Op::Release(session.id, session.epoch));
            }
            Step::SayAgain(at) => {
                let node = &mut state.nodes[at];
                let (id, epoch) = node.ending?;
                send(node, Op::Release(id, epoch));
            }
            Step::Execute(at) => {
                let op = state.nodes[at].call?.op;
                let done = self.execute(&mut state, at, op)?;
                state.nodes[at].call.as_mut()?.done = Some(done);
            }
            Step::Arrive(at) => {
                let op = state.nodes[at].stray.take()?;
                self.execute(&mut state, at, op)?;
            }
            Step::Deliver(at) => self.deliver(&mut state, at)?,
            Step::Lose(at) | Step::LoseForNow(at) => {
                if Self::server_of(&state, at).is_some() || state.nodes[at].call?.done.is_some() {
                    state.left.losses = state.left.losses.checked_sub(1)?;
                }
                let node = &mut state.nodes[at];
                let call = node.call.take()?;
                if matches!(step, Step::LoseForNow(_)) {
                    state.left.strays = state.left.strays.checked_sub(1)?;
                    node.stray = Some(call.op);
                }
                node.failures = (node.failures + 1).min(self.rules.failures_to_ride.unwrap_or(0));
            }
            Step::Show(at) => {
                let epoch = self.passes(&state, &state.nodes[at])?.epoch;
                if epoch < state.seen && self.rules.viewers_refuse {
                    return None;
                }
                state.told.viewer_went_back |= epoch < state.seen;
                state.seen = epoch;
            }
            Step::Freeze => {
                state.left.freezes -= 1;
                state.nodes[0].is_frozen = true;
            }
            Step::Thaw => {
                state.nodes[0].is_frozen = false;
                // A call that was under way has its answer, or none that proves anything.
                state.nodes[0].failures = 0;
            }
            Step::Crash(at) => {
                state.left.crashes -= 1;
                state.nodes[at] = Node { started: state.nodes[at].started, ..Node::default() };
            }
            Step::Replicate(at) => {
                state.servers[at] = state.servers[state.primary];
                let (primary, offset) = (state.primary, state.servers[at].offset);
                for call in state.nodes.iter_mut().filter_map(|node| node.call.as_mut()) {
                    if let Some(done) = call.done.as_mut().filter(|done| done.server == primary) {
                        done.is_confirmed |= done.offset <= offset;
                    }
                }
            }
            Step::Promote { to, is_partition } => self.promote(&mut state, to, is_partition),
            Step::Rejoin(at) => {
                state.servers[at] = Server { is_up: true, ..state.servers[state.primary] };
                if state.stale == Some(at) {
                    state.stale = None;
                }
            }
            Step::GoAway => {
                state.left.outages -= 1;
                state.is_away = true;
            }
            Step::ComeBack => state.is_away = false,
            Step::Wipe => {
                state.left.wipes -= 1;
                for server in &mut state.servers {
                    server.data = Data::default();
                }
            }
        }
        if self.faults.instant
            && let Step::Claim(at) | Step::Renew(at) | Step::Release(at) | Step::SayAgain(at) = step
            && let Some(op) = state.nodes[at].call.map(|call| call.op)
            && let Some(done) = self.execute(&mut state, at, op)
        {
            state.nodes[at].call.as_mut()?.done = Some(done);
        }
        (state != *before).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.servers.iter().all(|server| server.offset <= OFFSET_MAX)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
