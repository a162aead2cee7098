//! What must hold in every state, and what must be possible, so that the former is worth something.

use stateright::Property;

use crate::rules::TTL;
use crate::state::{Node, Session, State};
use crate::world::World;

pub(crate) fn all() -> Vec<Property<World>> {
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
            |world: &World, state: &State| {
                let lease = state.servers[state.primary].data.lease;
                let is_anothers = |s: Session| lease.is_some_and(|lease| lease.session != s.id);
                world.faults.freezes == 0 || !world.passes(state, &state.nodes[0]).is_some_and(is_anothers)
            },
        ),
        // What would make all of the above worthless if it were impossible.
        // Sessions of the first node are numbered from 1 on, those of the second from 5 on.
        Property::sometimes("both nodes had the room", |world: &World, state: &State| {
            // Not within a lease, nor from a holder that is always there.
            world.faults.ticks <= TTL
                || (world.faults.diligent && !world.faults.yields)
                || (state.believed & 0b1_1110 != 0 && state.believed & 0b1_1110_0000 != 0)
        }),
        Property::sometimes("somebody is believed in after a failover", |world: &World, state: &State| {
            // What the new primary answered made it so.
            let has_spoken = usize::from(state.servers[state.primary].data.run) == state.primary + 1;
            let is_over = state.primary != 0 && state.left.failovers == 0 && state.left.partitions == 0;
            let believes = |node: &Node| node.session.is_some_and(|s| state.now < s.believe_until);
            world.faults.servers == 1 || is_over && has_spoken && state.nodes.iter().any(believes)
        }),
        Property::sometimes("media rides", |world: &World, state: &State| {
            let rides = |node: &Node| {
                world.passes(state, node).is_some_and(|s| state.now >= s.believe_until && s.epoch > 0)
            };
            (world.faults.outages == 0 && world.faults.partitions == 0) || state.nodes.iter().any(rides)
        }),
        Property::sometimes("a wiped registry knows who is on air", |world: &World, state: &State| {
            world.faults.wipes == 0 || state.told.has_adopted
        }),
        Property::sometimes("a holder yields and the newcomer is granted", |world: &World, state: &State| {
            !world.faults.yields || (state.told.has_yielded && state.believed.count_ones() > 1)
        }),
        Property::sometimes("a viewer follows to the next session", |world: &World, state: &State| {
            !world.faults.viewer
                || (state.seen > 0 && state.believed.count_ones() > 1 && state.seen == state.epoch)
        }),
    ]
}
