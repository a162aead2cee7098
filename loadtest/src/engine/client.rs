//! Client: where one client of the plan stands between its begin and its end.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::link::Link;
use super::watch::Watch;
use crate::media::clip::Track;
use crate::plan::{Again, Plan, Stay};

/// The longest pause of a client that comes back as OBS does, in microseconds.
const OBS_PAUSE_MAX: f64 = 60e6;

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) plan: Plan,
    /// Its number in the whole run.
    pub(super) number: usize,
    /// Tells timers of this connection from those of earlier ones.
    pub(super) generation: u32,
    pub(super) link: Option<Link>,
    /// Said goodbye, waits for the server to close.
    pub(super) is_leaving: bool,
    /// Not coming back.
    pub(super) is_done: bool,
    /// A frozen connection that the server may still believe in, and the publish it stands for.
    pub(super) ghost: Option<(Link, u64)>,
    pub(super) attempts: usize,
    /// Attempts in a row that came to nothing.
    pub(super) failures: u32,
    /// When this attempt began, and the first one since the client is out.
    pub(super) began: u64,
    pub(super) first_try: Option<u64>,
    /// The server still held the frozen connection when that was.
    pub(super) is_taking_over: bool,
    /// Since when it is out, having been in before.
    pub(super) out_since: Option<u64>,
    /// The number of its accepted publish, greater than those of all before; 0 when there is none.
    pub(super) publish: u64,
    pub(super) started: u64,
    /// The next picture and the next sound.
    pub(super) next: [u64; 2],
    pub(super) watch: Watch,
    /// The broadcast that it watches is over.
    pub(super) is_over: bool,
}

impl Client {
    pub(super) fn new(number: usize, plan: Plan) -> Self {
        Self {
            plan,
            number,
            generation: 0,
            link: None,
            is_leaving: false,
            is_done: false,
            ghost: None,
            attempts: 0,
            failures: 0,
            began: 0,
            first_try: None,
            is_taking_over: false,
            out_since: None,
            publish: 0,
            started: 0,
            next: [0, 0],
            watch: Watch::default(),
            is_over: false,
        }
    }

    /// Whether the server has granted what it wants.
    pub(super) fn is_in(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_started)
    }

    /// The message that is due next, and when.
    pub(super) fn next_message(&self) -> Option<(u64, Track, u64)> {
        let clip = self.plan.clip.as_ref()?;
        clip.next(self.next).map(|(due, track, number)| (self.started + due, track, number))
    }

    /// How long it stays, in microseconds.
    pub(super) fn stay(&self, chance: &mut StdRng) -> Option<u64> {
        match self.plan.stay {
            Stay::Forever => None,
            Stay::No => Some(0),
            Stay::For(time) => Some(micros(time)),
            Stay::About(mean) => {
                // Exponential: what leaves does so whatever its age. At least long enough to have been there.
                let share = -(1.0 - chance.random::<f64>()).ln();
                Some(micros(mean.mul_f64(share.min(10.0))).max(500_000))
            }
        }
    }

    /// How long it stays away, in microseconds; `None` for ever.
    pub(super) fn pause(&self, chance: &mut StdRng) -> Option<u64> {
        match self.plan.again {
            Again::Never => None,
            // Who is turned away at once must not spin.
            Again::AtOnce if self.failures > 0 => Some(100_000),
            Again::AtOnce => Some(0),
            Again::Between(from, to) => Some(chance.random_range(micros(from)..=micros(to.max(from)))),
            Again::LikeObs => {
                let grown = 2e6 * 1.5_f64.powi(i32::try_from(self.failures).unwrap_or(20).min(20));
                Some(micros(Duration::from_secs_f64(grown.min(OBS_PAUSE_MAX) / 1e6)))
            }
        }
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rand::SeedableRng;

    use super::*;
    use crate::client::Want;
    use crate::media::clip::Clip;

    #[test]
    fn a_client_like_obs_comes_back_2_5_9_and_a_half_and_16_seconds_after_the_drop() {
        let plan = Plan { again: Again::LikeObs, ..Plan::steady(0, Want::Publish, Duration::ZERO, None) };
        let mut client = Client::new(0, plan);
        let mut chance = StdRng::seed_from_u64(1);
        let mut at = 0;
        let tries: Vec<_> = (0..4)
            .map(|failures| {
                client.failures = failures;
                at += client.pause(&mut chance).unwrap();
                at / 1000
            })
            .collect();
        assert_eq!(tries, [2000, 5000, 9500, 16_250]);
    }

    #[test]
    fn messages_are_due_by_absolute_times_in_the_order_of_their_tracks() {
        let clip = Arc::new(Clip::of_kbps(1000, 30, 2.0, 4096));
        let mut client = Client::new(0, Plan::steady(0, Want::Publish, Duration::ZERO, Some(clip)));
        client.started = 1_000_000;
        let mut last = 0;
        for _ in 0..100_000 {
            let (due, track, number) = client.next_message().unwrap();
            assert!(due >= last);
            last = due;
            client.next[usize::from(track == Track::Audio)] = number + 1;
        }
        let [pictures, sounds] = client.next;
        let seconds = (last - 1_000_000) as f64 / 1e6;
        assert!(
            (pictures as f64 / seconds - 30.0).abs() < 0.01
                && (sounds as f64 / seconds - 46.875).abs() < 0.01
        );
    }
}
