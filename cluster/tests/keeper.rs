//! The LeaseKeeper over the local registry, on a clock that stands still unless everybody waits.

mod support;

use std::sync::Arc;

use onair_cluster::clock::Clock;
use onair_cluster::events::EndReason;
use onair_cluster::lease::{Belief, Ending};
use onair_cluster::registry::{Registry, Released, Takeover};
use support::{Node, TokioClock, local, pass_time, put_key, room, story};

#[tokio::test(start_paused = true)]
async fn a_session_is_granted_goes_live_at_once_and_ends_with_its_reason() {
    let clock = Arc::new(TokioClock::new());
    let registry = local(&clock);
    let node = Node::start("a", registry.clone(), clock.clone());
    let room = room("demo");
    let key = put_key(&*registry, &room, Takeover::Idle).await;

    let lease = node.keeper.claim(node.claim_of(1, &key, &room)).await.unwrap();
    assert_eq!(story(&*registry, &room).await, "1:granted");
    let pass = lease.pass();
    assert_eq!(pass.check(clock.boot()), Belief::Mine);

    pass.media(clock.boot(), 1_000);
    pass.live(clock.unix());
    pass_time(1).await;
    assert_eq!(story(&*registry, &room).await, "1:granted 1:live");
    assert_eq!(node.keeper.lease_count(), 1);

    assert_eq!(lease.end(EndReason::Unpublished).await, Ending::Recorded(Released::Ended));
    assert_eq!(pass.check(clock.boot()), Belief::Over);
    assert_eq!(story(&*registry, &room).await, "1:granted 1:live 1:ended:unpublished");
    assert_eq!(node.keeper.lease_count(), 0);
    assert!(registry.lease(&room).await.unwrap().is_none());
}
