//! The world of one room: servers, two nodes that publish into it, a viewer, and everything that may go wrong between them.

use stateright::{Model, Property};

use crate::registry::{Answer, Data, Op, SessionId};
use crate::rules::{Faults, Promotion, Rules, TTL};

pub(crate) struct World {
    pub(crate) rules: Rules,
    pub(crate) faults: Faults,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    now: u8,
    servers: Vec<Server>,
    primary: usize,
    /// A primary of the past that still serves the first node.
    stale: Option<usize>,
    is_away: bool,
    nodes: [Node; 2],
    left: Left,
    /// Sessions that were ever believed in, as bits, and the highest of their epochs.
    believed: u16,
    epoch: u8,
    /// The highest epoch that the viewer has seen.
    seen: u8,
    told: Told,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Server {
    data: Data,
    /// How much it has written; replicas copy this with the data.
    offset: u8,
    is_up: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    started: u8,
    claiming: Option<SessionId>,
    session: Option<Session>,
    /// A session given back, until the registry has said so.
    ending: Option<(SessionId, u8)>,
    call: Option<Call>,
    /// A request that was given up and is still on its way.
    stray: Option<Op>,
    is_frozen: bool,
    is_wanted: bool,
    failures: u8,
    answered_at: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Session {
    id: SessionId,
    epoch: u8,
    believe_until: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Call {
    op: Op,
    sent: u8,
    done: Option<Done>,
}

/// Executed, with the answer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Done {
    answer: Answer,
    server: usize,
    offset: u8,
    is_confirmed: bool,
}

/// How often each fault may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Left {
    failovers: u8,
    partitions: u8,
    losses: u8,
    strays: u8,
    freezes: u8,
    crashes: u8,
    outages: u8,
    wipes: u8,
}

/// What happened that must not, or should be possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Told {
    epochs_fell: bool,
    viewer_went_back: bool,
    has_risen: bool,
    was_wronged: bool,
    has_adopted: bool,
    has_yielded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Tick,
    Claim(usize),
    GiveUp(usize),
    Renew(usize),
    Release(usize),
    Yield(usize),
    SayAgain(usize),
    Execute(usize),
    Deliver(usize),
    Lose(usize),
    LoseForNow(usize),
    Arrive(usize),
    Show(usize),
    Freeze,
    Thaw,
    Crash(usize),
    Replicate(usize),
    Promote { to: usize, is_partition: bool },
    Rejoin(usize),
    GoAway,
    ComeBack,
    Wipe,
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

    fn passes(&self, state: &State, node: &Node) -> Option<Session> {
        let session = node.session.filter(|_| !node.is_frozen)?;
        (state.now < session.believe_until || self.rides(node)).then_some(session)
    }

    /// Whom a node's calls reach.
    fn server_of(state: &State, node: usize) -> Option<usize> {
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

    fn node_steps(&self, state: &State, at: usize, steps: &mut Vec<Step>) {
        let node = &state.nodes[at];
        if node.stray.is_some() {
            steps.push(Step::Arrive(at));
        }
        if let Some(call) = node.call.filter(|call| call.done.is_none()) {
            // What is on its way is executed even while its sender stands still.
            steps.push(Step::Execute(at));
            if state.left.strays > 0 && state.left.losses > 0 && node.stray.is_none() && call.sent < state.now
            {
                steps.push(Step::LoseForNow(at));
            }
        }
        if node.is_frozen {
            return;
        }
        if let Some(call) = node.call {
            if call.done.is_some() {
                steps.push(Step::Deliver(at));
            }
            let is_unreachable = Self::server_of(state, at).is_none() && call.done.is_none();
            if state.left.losses > 0 || is_unreachable {
                steps.push(Step::Lose(at));
            }
        } else if node.ending.is_some() {
            steps.push(Step::SayAgain(at));
        } else if node.session.is_some() {
            // Twice in a tick says nothing new, unless somebody asks for the room.
            let is_stale = node.session.is_some_and(|s| s.believe_until < state.now + TTL);
            if is_stale || self.faults.yields {
                steps.push(Step::Renew(at));
            }
            if self.faults.releases {
                steps.push(Step::Release(at));
            }
            if node.is_wanted {
                steps.push(Step::Yield(at));
            }
        } else if node.claiming.is_some() || node.started < self.faults.sessions {
            steps.push(Step::Claim(at));
            if node.claiming.is_some() && node.started < self.faults.sessions {
                steps.push(Step::GiveUp(at));
            }
        }
        if self.faults.viewer && self.passes(state, node).is_some_and(|s| s.epoch != state.seen) {
            steps.push(Step::Show(at));
        }
        if state.left.crashes > 0 && node.session.is_some() {
            steps.push(Step::Crash(at));
        }
    }

    fn server_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let primary = &state.servers[state.primary];
        let replicas = || {
            (0..state.servers.len())
                .filter(|at| *at != state.primary && Some(*at) != state.stale && state.servers[*at].is_up)
        };
        let furthest = replicas().map(|at| state.servers[at].offset).max();
        for at in replicas() {
            if state.servers[at] != *primary {
                steps.push(Step::Replicate(at));
            }
            let may_win =
                self.rules.promotion == Promotion::Any || Some(state.servers[at].offset) == furthest;
            if may_win && state.stale.is_none() {
                if state.left.failovers > 0 {
                    steps.push(Step::Promote { to: at, is_partition: false });
                }
                if state.left.partitions > 0 {
                    steps.push(Step::Promote { to: at, is_partition: true });
                }
            }
        }
        for at in 0..state.servers.len() {
            if Some(at) == state.stale || !state.servers[at].is_up {
                steps.push(Step::Rejoin(at));
            }
        }
        if state.is_away {
            steps.push(Step::ComeBack);
        } else if state.left.outages > 0 {
            steps.push(Step::GoAway);
        }
        if state.left.wipes > 0 {
            steps.push(Step::Wipe);
        }
    }

    /// Whether the time may go on.
    fn may_tick(&self, state: &State) -> bool {
        let is_late = |node: &Node| node.session.is_some() && node.answered_at < state.now;
        // Calls take less than a tick, or have failed.
        let is_overdue = |node: &Node| node.call.is_some_and(|call| call.sent < state.now);
        let awake = || state.nodes.iter().filter(|node| !node.is_frozen);
        state.now < self.faults.ticks
            && !awake().any(is_overdue)
            && (!self.faults.diligent || state.is_away || !awake().any(is_late))
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
        if self.may_tick(state) {
            steps.push(Step::Tick);
        }
        for at in 0..2 {
            self.node_steps(state, at, steps);
        }
        if state.nodes[0].is_frozen {
            steps.push(Step::Thaw);
        } else if state.left.freezes > 0 && state.nodes[0].session.is_some() {
            steps.push(Step::Freeze);
        }
        self.server_steps(state, steps);
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
        vec![
            Property::always("one believer", |_, state: &State| {
                let believes = |node: &Node| node.session.is_some_and(|s| state.now < s.believe_until);
                !state.nodes.iter().all(believes)
            }),
            Property::always("epochs rise", |_, state: &State| !state.told.epochs_fell),
            Property::always("ended is final", |_, state: &State| !state.told.has_risen),
            Property::always("viewers go forward", |_, state: &State| !state.told.viewer_went_back),
            Property::always("nobody is dead because the registry was", |_, state: &State| {
                !state.told.was_wronged
            }),
            Property::always(
                "a thawed node passes nothing of what is another's",
                |world: &Self, state: &State| {
                    let lease = state.servers[state.primary].data.lease;
                    let is_anothers = |s: Session| lease.is_some_and(|lease| lease.session != s.id);
                    world.faults.freezes == 0
                        || !world.passes(state, &state.nodes[0]).is_some_and(is_anothers)
                },
            ),
            // What would make all of the above worthless if it were impossible.
            // Sessions of the first node are numbered from 1 on, those of the second from 5 on.
            Property::sometimes("both nodes had the room", |world: &Self, state: &State| {
                // Not within a lease, nor from a holder that is always there.
                world.faults.ticks <= TTL
                    || (world.faults.diligent && !world.faults.yields)
                    || (state.believed & 0b1_1110 != 0 && state.believed & 0b1_1110_0000 != 0)
            }),
            Property::sometimes("somebody is believed in after a failover", |world: &Self, state: &State| {
                // What the new primary answered made it so.
                let has_spoken = usize::from(state.servers[state.primary].data.run) == state.primary + 1;
                let is_over = state.primary != 0 && state.left.failovers == 0 && state.left.partitions == 0;
                let believes = |node: &Node| node.session.is_some_and(|s| state.now < s.believe_until);
                world.faults.servers == 1 || is_over && has_spoken && state.nodes.iter().any(believes)
            }),
            Property::sometimes("media rides", |world: &Self, state: &State| {
                let rides = |node: &Node| {
                    world.passes(state, node).is_some_and(|s| state.now >= s.believe_until && s.epoch > 0)
                };
                (world.faults.outages == 0 && world.faults.partitions == 0) || state.nodes.iter().any(rides)
            }),
            Property::sometimes("a wiped registry knows who is on air", |world: &Self, state: &State| {
                world.faults.wipes == 0 || state.told.has_adopted
            }),
            Property::sometimes(
                "a holder yields and the newcomer is granted",
                |world: &Self, state: &State| {
                    !world.faults.yields || (state.told.has_yielded && state.believed.count_ones() > 1)
                },
            ),
            Property::sometimes("a viewer follows to the next session", |world: &Self, state: &State| {
                !world.faults.viewer
                    || (state.seen > 0 && state.believed.count_ones() > 1 && state.seen == state.epoch)
            }),
        ]
    }
}
