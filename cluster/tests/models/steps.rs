//! What may happen next, in a given state of the world.

use crate::rules::{Promotion, TTL};
use crate::state::{Node, State};
use crate::world::World;

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

impl World {
    /// All of them.
    pub(crate) fn collect_steps(&self, state: &State, steps: &mut Vec<Step>) {
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

    /// What a node may do, and what may happen to it.
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
