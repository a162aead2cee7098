//! Life: what a worker does with a client when something happens to it: it comes, is accepted, sends, leaves, comes back.

use std::sync::atomic::Ordering;

use rand::Rng;

use super::client::{Client, micros};
use super::holders::OVERLAP_MAX;
use super::link::{Happening, Link};
use super::outbox::{Part, SLICES_MAX};
use super::watch::Watch;
use super::worker::{Overlap, RUN, Timer, What, Worker};
use crate::client::Want;
use crate::media::clip::{Track, stamp_head};
use crate::media::{Stamp, now_micros};
use crate::plan::{Again, Leaving};

/// Messages in one write, at two slices each at most, and one for what follows the last large one.
const MESSAGES_MAX: usize = SLICES_MAX / 2 - 1;
/// The body of a message that is copied rather than referred to.
const COPIED_MAX: usize = 8 * 1024;
/// How long the server may take to close after a goodbye.
const CLOSE_MAX: u64 = 1_000_000;
/// Who has published for so long has certainly been noticed.
const CERTAIN: u64 = 1_000_000;

impl Worker {
    pub(super) fn on_timer(&mut self, deadline: u64, timer: Timer) {
        let Timer { client: at, generation, what } = timer;
        if self.clients[at].generation != generation {
            return;
        }
        match what {
            What::Begin => self.begin(at),
            What::Media => self.send_media(at, deadline),
            What::Leave => self.leave(at),
            What::Patience if !self.clients[at].is_in() => self.ended(at, false, "no answer in time"),
            What::Patience => {}
            What::Close => self.left(at),
        }
    }

    fn begin(&mut self, at: usize) {
        if self.stage != RUN {
            self.clients[at].is_done = true;
            return;
        }
        let now = now_micros();
        let job = &self.shared.job;
        let client = &mut self.clients[at];
        client.generation += 1;
        client.attempts += 1;
        client.began = now;
        if client.first_try.is_none() {
            client.first_try = Some(now);
            client.is_taking_over = client.ghost.is_some();
        }
        client.is_leaving = false;
        client.is_over = false;
        let target = &job.targets[client.plan.target];
        let door = match client.plan.want {
            Want::Publish => target.publish.as_ref(),
            Want::Play => target.play.as_ref(),
        };
        let Some(door) = door else {
            client.is_done = true;
            return;
        };
        let turn = client.number + client.attempts;
        let to = door.to[turn % door.to.len()];
        let from = (!job.from.is_empty()).then(|| job.from[turn % job.from.len()]);
        self.tally.counts.attempts += 1;
        let patience = micros(job.patience);
        let open = |from| Link::open(to, from, door.requests.clone(), job.acks);
        let opened = match from {
            Some(from) => self.shared.ports.open(from, |from| open(Some(from))),
            None => open(None),
        };
        let opened = opened.and_then(|mut link| self.register(at, &mut link).map(|()| link));
        match opened {
            Ok(link) => {
                self.clients[at].link = Some(link);
                self.set(at, now + patience, What::Patience);
            }
            Err(e) => self.ended(at, false, &format!("connect: {}", e.kind())),
        }
    }

    pub(super) fn on_happening(&mut self, at: usize, happening: Happening, now: u64) {
        let client = &mut self.clients[at];
        if client.link.is_none() || client.is_leaving {
            return;
        }
        match happening {
            Happening::Connected => self.tally.connect.note(now.saturating_sub(client.began)),
            Happening::Requested => client.watch = Watch::since(now),
            Happening::Started if client.plan.want == Want::Publish => self.publish_started(at, now),
            Happening::Started => {
                self.tally.play_start.note(now.saturating_sub(client.began));
                self.tally.counts.plays += 1;
                client.failures = 0;
                client.first_try = None;
                client.out_since = None;
                self.stay(at, now);
            }
            Happening::Refused(why) => self.ended(at, true, &format!("refused: {why}")),
            Happening::Over => client.is_over = true,
            Happening::Picture(stamp) => {
                let room = client.plan.target as u64;
                // Pictures of one read do not all arrive at the moment of the event.
                client.watch.picture(stamp, room, now_micros(), &mut self.tally);
            }
        }
    }

    fn publish_started(&mut self, at: usize, now: u64) {
        let publish = self.shared.publishes.fetch_add(1, Ordering::Relaxed) + 1;
        let client = &mut self.clients[at];
        let target = client.plan.target;
        client.publish = publish;
        client.started = now;
        client.next = [0, 0];
        client.failures = 0;
        self.tally.publish_start.note(now.saturating_sub(client.began));
        self.tally.counts.publishes += 1;
        self.tally.counts.rivals_accepted += u64::from(client.plan.is_rival);
        self.published[target].accepted += 1;
        if let Some(since) = client.out_since.take() {
            self.tally.reconnect.note(now.saturating_sub(since));
        }
        if let (true, Some(first)) = (client.is_taking_over, client.first_try) {
            self.tally.takeover.note(now.saturating_sub(first));
        }
        client.first_try = None;
        for older in self.holders.accepted(target, at, publish) {
            self.overlaps.push(Overlap { due: now + OVERLAP_MAX, target, publish: older });
        }
        if let (Some(clip), Some(link)) = (client.plan.clip.clone(), client.link.as_mut()) {
            let opening = clip.opening(link.message_stream_id());
            self.tally.counts.sent_bytes += opening.len() as u64;
            if let Err(gone) = link.say(&[Part::Own(&opening)]) {
                return self.on_gone(at, &gone);
            }
            self.set(at, now, What::Media);
        }
        self.stay(at, now);
    }

    fn stay(&mut self, at: usize, now: u64) {
        match self.clients[at].stay(&mut self.chance) {
            None => {}
            Some(0) => self.leave(at),
            Some(time) => self.set(at, now + time, What::Leave),
        }
    }

    /// Writes all that is due, and sets the timer for what comes next.
    fn send_media(&mut self, at: usize, deadline: u64) {
        let now = now_micros();
        let client = &mut self.clients[at];
        let (Some(link), Some(clip), false) =
            (client.link.as_mut(), client.plan.clip.clone(), client.is_leaving)
        else {
            return;
        };
        self.tally.lateness.note(now.saturating_sub(deadline));
        let room = client.plan.target as u64;
        loop {
            self.heads.clear();
            // What is small is copied behind its head, so that as a rule there is one slice; what is large is referred to.
            let mut bodies = [(0, None); MESSAGES_MAX];
            let (mut count, mut large) = (0, 0);
            while count < MESSAGES_MAX
                && let Some((due, track, number)) = clip.next(client.next)
                && client.started + due <= now
            {
                let item = clip.item(track, number);
                if track == Track::Video {
                    let stamp = Stamp { room, source: client.publish, number, sent: now };
                    stamp_head(&mut self.heads, &item.head, &stamp);
                    self.tally.counts.sent_pictures += 1;
                    client.next[0] = number + 1;
                } else {
                    self.heads.extend_from_slice(&item.head);
                    client.next[1] = number + 1;
                }
                if item.body.len() <= COPIED_MAX {
                    self.heads.extend_from_slice(&item.body);
                } else {
                    bodies[large] = (self.heads.len(), Some(&item.body));
                    large += 1;
                }
                self.tally.counts.sent_bytes += item.bytes() as u64;
                count += 1;
            }
            if count == 0 {
                break;
            }
            let mut parts = [Part::Own(&[]); SLICES_MAX];
            let (mut filled, mut from) = (0, 0);
            for (to, body) in &bodies[..large] {
                parts[filled] = Part::Own(&self.heads[from..*to]);
                filled += 1;
                if let Some(body) = body {
                    parts[filled] = Part::Shared(body);
                    filled += 1;
                }
                from = *to;
            }
            if from < self.heads.len() {
                parts[filled] = Part::Own(&self.heads[from..]);
                filled += 1;
            }
            if let Err(gone) = link.say(&parts[..filled]) {
                return self.on_gone(at, &gone);
            }
        }
        if let Some((due, _, _)) = self.clients[at].next_message() {
            self.set(at, due, What::Media);
        }
    }

    /// Leaves as planned.
    fn leave(&mut self, at: usize) {
        let leave = match self.clients[at].plan.leave {
            Leaving::Any => match self.chance.random_range(0..5) {
                0 | 1 => Leaving::Goodbye,
                2 => Leaving::Close,
                3 => Leaving::Reset,
                _ => Leaving::Freeze,
            },
            other => other,
        };
        self.leave_by(at, leave);
    }

    /// Leaves with a goodbye, never to come back.
    pub(super) fn leave_for_good(&mut self, at: usize) {
        self.clients[at].plan.again = Again::Never;
        if self.clients[at].is_in() {
            self.leave_by(at, Leaving::Goodbye);
        } else if !self.clients[at].is_leaving {
            self.clients[at].link = None;
            self.clients[at].is_done = true;
        }
    }

    fn leave_by(&mut self, at: usize, leave: Leaving) {
        let now = now_micros();
        let Some(mut link) = self.clients[at].link.take() else { return };
        self.note_published(at, leave == Leaving::Goodbye, now);
        let (target, publish) = (self.clients[at].plan.target, self.clients[at].publish);
        if leave != Leaving::Freeze {
            self.holders.gone(target, publish);
        }
        let client = &mut self.clients[at];
        client.publish = 0;
        client.out_since = Some(now);
        match leave {
            Leaving::Goodbye if link.goodbye().is_ok() => {
                client.link = Some(link);
                client.is_leaving = true;
                client.generation += 1;
                self.set(at, now + CLOSE_MAX, What::Close);
                return;
            }
            Leaving::Reset => link.reset(),
            Leaving::Freeze => {
                self.drop_ghost(at);
                if self.register_ghost(at, &mut link).is_ok() {
                    self.clients[at].ghost = Some((link, publish));
                } else {
                    self.holders.gone(target, publish);
                }
            }
            _ => drop(link),
        }
        self.left(at);
    }

    /// It is out, as it wanted to be.
    fn left(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.link = None;
        client.is_leaving = false;
        self.again(at);
    }

    /// Somebody else of ours is asking for the address of this publisher right now.
    fn is_wanted_by_another(&self, at: usize) -> bool {
        let target = self.clients[at].plan.target;
        let asks = |client: &Client| {
            client.plan.target == target
                && client.plan.want == Want::Publish
                && client.link.is_some()
                && client.publish == 0
        };
        self.clients.iter().enumerate().any(|(other, client)| other != at && asks(client))
    }

    /// The connection ended, or never came to be, and that was not our wish.
    pub(super) fn ended(&mut self, at: usize, was_refused: bool, why: &str) {
        let now = now_micros();
        if self.clients[at].is_leaving {
            return self.left(at);
        }
        let was_in = self.clients[at].publish != 0;
        self.note_published(at, false, now);
        let client = &mut self.clients[at];
        client.link = None;
        let (target, publish, want) = (client.plan.target, client.publish, client.plan.want);
        client.publish = 0;
        client.failures += u32::from(!was_in);
        if was_in {
            client.out_since = Some(now);
        }
        // A server may cut the one before it tells the other that it is let in.
        let is_taken_over =
            was_in && (self.holders.is_succeeded(target, publish) || self.is_wanted_by_another(at));
        let client = &self.clients[at];
        let counts = &mut self.tally.counts;
        self.holders.gone(target, publish);
        // A player who comes again by itself waits for a room that is off air; that is no failure.
        let is_waiting = want == Want::Play && client.plan.again != Again::Never;
        if self.stage != RUN || (client.is_over && want == Want::Play) {
            // What ends with the run ends as it should; and so does what is watched.
        } else if client.plan.is_rival && was_refused {
            counts.rivals_refused += 1;
        } else if is_taken_over {
            counts.taken_over += 1;
        } else if was_refused && want == Want::Publish && self.holders.is_held(target) {
            counts.busy += 1;
        } else {
            if !is_waiting {
                *(if was_refused { &mut counts.refused } else { &mut counts.dropped }) += 1;
            }
            let who = if want == Want::Publish { "publisher" } else { "player" };
            self.tally.problem(&format!("{who}: {why}"));
        }
        self.again(at);
    }

    fn again(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.generation += 1;
        match client.pause(&mut self.chance) {
            Some(pause) if self.stage == RUN => self.set(at, now_micros() + pause, What::Begin),
            _ => client.is_done = true,
        }
    }

    /// Notes whether the server must know of a publish that is over now.
    fn note_published(&mut self, at: usize, said_goodbye: bool, now: u64) {
        let client = &self.clients[at];
        let is_long = now.saturating_sub(client.started) > CERTAIN;
        if client.publish != 0 && client.next[0] > 0 && (said_goodbye || is_long) {
            self.published[client.plan.target].certain += 1;
        }
    }

    /// The server closed a frozen connection, or we do at last.
    pub(super) fn drop_ghost(&mut self, at: usize) {
        if let Some((_, publish)) = self.clients[at].ghost.take() {
            self.holders.gone(self.clients[at].plan.target, publish);
        }
    }
}
