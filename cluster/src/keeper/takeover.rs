//! Takeover: whether a holder yields to a newcomer. Decided where the silence of the holder's media is known first hand.

use crate::events::SessionCard;
use crate::registry::{LeaseTimes, Takeover, Want};
use crate::time::BootTime;

/// What the holder's node makes of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Give the room up now.
    Yield,
    /// Never, on this wish.
    Ignore,
    /// If the holder stays silent, yield then.
    LookAt(BootTime),
}

/// Judges `want` against a holder whose last media (or else grant) was at `silent_since`.
pub(crate) fn decide(
    want: &Want,
    holder: &SessionCard,
    silent_since: BootTime,
    times: &LeaseTimes,
    now: BootTime,
) -> Verdict {
    let patience = match want.takeover {
        Takeover::Never => return Verdict::Ignore,
        Takeover::Always => return Verdict::Yield,
        Takeover::Idle if want.is_ghost_of(holder) => times.ghost_after,
        Takeover::Idle => times.idle_after,
    };
    let at = silent_since.plus(patience);
    if at <= now { Verdict::Yield } else { Verdict::LookAt(at) }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::ids::{Epoch, LiveKeyId, NodeId, ProducerId, RoomId, SessionId};
    use crate::time::UnixMs;

    fn holder() -> SessionCard {
        SessionCard {
            session_id: SessionId(1),
            room_id: RoomId::parse("demo").unwrap(),
            producer_id: ProducerId::parse("p").unwrap(),
            live_key_id: LiveKeyId::parse("49k").unwrap(),
            epoch: Epoch(1),
            node_id: NodeId::parse("a").unwrap(),
            client_addr: IpAddr::from([127, 0, 0, 1]),
            client_agent: String::new(),
            granted_at: UnixMs(0),
        }
    }

    fn verdict(takeover: Takeover, key: &str, addr: [u8; 4], silence: Duration) -> Verdict {
        let want = Want {
            session_id: SessionId(2),
            node_id: NodeId::parse("b").unwrap(),
            live_key_id: LiveKeyId::parse(key).unwrap(),
            client_addr: IpAddr::from(addr),
            takeover,
            until: UnixMs(2_000),
        };
        let since = BootTime(7_000_000_000);
        decide(&want, &holder(), since, &LeaseTimes::default(), since.plus(silence))
    }

    #[test]
    fn a_holder_yields_to_a_stranger_after_five_silent_seconds_and_to_its_own_ghost_after_one() {
        let ms = Duration::from_millis;
        let since = BootTime(7_000_000_000);
        let (own, far) = ([127, 0, 0, 1], [127, 0, 0, 2]);
        assert_eq!(verdict(Takeover::Idle, "49k", own, ms(999)), Verdict::LookAt(since.plus(ms(1_000))));
        assert_eq!(verdict(Takeover::Idle, "49k", own, ms(1_000)), Verdict::Yield);
        for (key, addr) in [("49k", far), ("49other", own)] {
            assert_eq!(verdict(Takeover::Idle, key, addr, ms(4_999)), Verdict::LookAt(since.plus(ms(5_000))));
            assert_eq!(verdict(Takeover::Idle, key, addr, ms(5_000)), Verdict::Yield);
        }
        assert_eq!(verdict(Takeover::Never, "49k", own, ms(60_000)), Verdict::Ignore);
        assert_eq!(verdict(Takeover::Always, "49k", far, ms(0)), Verdict::Yield);
    }
}
