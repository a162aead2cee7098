//! Pulls: supervisor of the tasks that follow rooms. One per room, however many players wait.
//!
//! | child | policy | what is lost | who is told |
//! |---|---|---|---|
//! | [`follow`](super::follow), a task per room | started again after [`CRASH_PAUSE`] if somebody still watches | one room's pull; its players stay | log, metric |

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use onair_cluster::RoomId;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::follow::{Wiring, follow};
use crate::task::TaskGuard;

/// The pause before a room whose task panicked is followed again: whatever made it panic may come again.
const CRASH_PAUSE: Duration = Duration::from_secs(1);

/// What the supervisor hears.
pub(crate) enum Msg {
    /// A player waits for a room.
    Wanted(RoomId),
    /// A room's task has nobody left to follow for.
    Done { room: RoomId, id: u64 },
    /// A room's task is gone, however it ended.
    Gone { room: RoomId, id: u64 },
}

/// Where players say what they want. Cheap to clone; stays the same when the supervisor is started again.
#[derive(Clone, Default)]
pub(crate) struct PullsRef(Arc<Mutex<Option<ActorRef<Msg>>>>);

impl PullsRef {
    /// A player has entered a room. A wish that nobody hears is found again when the supervisor starts anew.
    pub(crate) fn want(&self, room: &RoomId) {
        if let Some(actor) = &*self.0.lock() {
            let _gone = actor.cast(Msg::Wanted(room.clone()));
        }
    }
}

pub(crate) struct Pulls {
    pub(crate) wiring: Wiring,
    pub(crate) me: PullsRef,
}

pub(crate) struct State {
    next_id: u64,
    following: HashMap<RoomId, (u64, TaskGuard)>,
}

impl Pulls {
    fn follow(&self, me: &ActorRef<Msg>, state: &mut State, room: RoomId) {
        if state.following.contains_key(&room) {
            return;
        }
        let id = state.next_id;
        state.next_id += 1;
        let (wiring, actor, named) = (self.wiring.clone(), me.clone(), room.clone());
        let gone = Msg::Gone { room: room.clone(), id };
        let task = TaskGuard::spawn_watched(me.clone(), gone, async move {
            follow(wiring, named.clone()).await;
            let _gone = actor.cast(Msg::Done { room: named, id });
        });
        state.following.insert(room, (id, task));
    }

    fn has_players(&self, room: &RoomId) -> bool {
        self.wiring.rooms.audience(room).players > 0
    }
}

/// Forgets the task `id` of a room. False when it was forgotten before.
fn forget(state: &mut State, room: &RoomId, id: u64) -> bool {
    let is_known = state.following.get(room).is_some_and(|(known, _)| *known == id);
    if is_known {
        state.following.remove(room);
    }
    is_known
}

impl Actor for Pulls {
    type Msg = Msg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Msg>, (): ()) -> Result<State, ActorProcessingErr> {
        let mut state = State { next_id: 0, following: HashMap::new() };
        *self.me.0.lock() = Some(me.clone());
        // After a restart: those who said so to the one before.
        for room in self.wiring.rooms.watched() {
            self.follow(&me, &mut state, room);
        }
        Ok(state)
    }

    async fn handle(&self, me: ActorRef<Msg>, msg: Msg, state: &mut State) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Wanted(room) => {
                if self.has_players(&room) {
                    self.follow(&me, state, room);
                }
            }
            Msg::Done { room, id } => {
                // Somebody may have come while it made up its mind.
                if forget(state, &room, id) && self.has_players(&room) {
                    self.follow(&me, state, room);
                }
            }
            Msg::Gone { room, id } => {
                if forget(state, &room, id) {
                    self.wiring.reports.relay().crashed(&room);
                    me.send_after(CRASH_PAUSE, move || Msg::Wanted(room));
                }
            }
        }
        Ok(())
    }
}
