//! Worker: one thread that serves many thousand clients: it waits for sockets and deadlines, and once a second tells what it
//! counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::time::{ClockId, clock_gettime};

use super::client::{Client, micros};
use super::holders::Holders;
use super::link::{Gone, Happening, Link};
use super::ports::Ports;
use super::wheel::Wheel;
use crate::client::Want;
use crate::measure::{Counts, Gauges, Interval, Published, Tally};
use crate::media::now_micros;
use crate::plan::{Job, Plan};

/// Bytes read at once, shared by all connections of a worker.
const READ_BYTES: usize = 256 * 1024;
const EVENTS: usize = 1024;
/// After so many turns in one millisecond the next one waits, so that it finds more to do: a thread that is woken for each message
/// spends most of its time on falling asleep, and makes the server pay for waking it.
const TURNS_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_micros(200);
/// Who is on the way to being accepted is never kept waiting, nor is anybody for so many microseconds after that.
const TALK: u64 = 50_000;
/// The stages of a run.
pub(super) const RUN: u8 = 0;
pub(super) const PUBLISHERS_LEAVE: u8 = 1;
pub(super) const ALL_LEAVE: u8 = 2;

/// What all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) job: Job,
    /// How far the run is.
    pub(super) stage: AtomicU8,
    /// The number of the last accepted publish. It begins anywhere, so that runs at the same server differ.
    pub(super) publishes: AtomicU64,
    /// Bytes written by publishers and read by players so far.
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) ports: Ports,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Begin,
    Media,
    Leave,
    /// The server has had time enough to accept us.
    Patience,
    /// It has had time enough to close.
    Close,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    pub(super) client: usize,
    pub(super) generation: u32,
    pub(super) what: What,
}

/// A publisher that should be gone by then, since another one was accepted.
pub(super) struct Overlap {
    pub(super) due: u64,
    pub(super) target: usize,
    pub(super) publish: u64,
}

/// One thread's share of a run.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) clients: Vec<Client>,
    pub(super) poll: Poll,
    pub(super) wheel: Wheel<Timer>,
    pub(super) tally: Tally,
    pub(super) chance: StdRng,
    pub(super) holders: Holders,
    pub(super) overlaps: Vec<Overlap>,
    pub(super) published: Vec<Published>,
    /// Heads of messages while they are stamped.
    pub(super) heads: Vec<u8>,
    pub(super) stage: u8,
    buffer: Vec<u8>,
    happenings: Vec<Happening>,
    /// Bytes of this second's tally that the others know of.
    counted: (u64, u64),
    number: usize,
    /// The present millisecond, and the turns in it.
    turns: (u64, u32),
    /// When somebody who was not yet accepted was last heard of.
    talked_at: u64,
}

impl Worker {
    /// A worker of these clients.
    pub(super) fn new(number: usize, shared: Arc<Shared>, plans: Vec<(usize, Plan)>) -> io::Result<Self> {
        let now = now_micros();
        let mut wheel = Wheel::new(now);
        let mut clients = Vec::with_capacity(plans.len());
        for (at, (number, plan)) in plans.into_iter().enumerate() {
            wheel.set(now + micros(plan.begin), Timer { client: at, generation: 0, what: What::Begin });
            clients.push(Client::new(number, plan));
        }
        let published =
            (0..shared.job.targets.len()).map(|target| Published { target, ..Published::default() });
        Ok(Self {
            clients,
            poll: Poll::new()?,
            wheel,
            tally: Tally::default(),
            chance: StdRng::seed_from_u64(shared.job.seed.wrapping_add(number as u64)),
            holders: Holders::default(),
            overlaps: Vec::new(),
            published: published.collect(),
            heads: Vec::new(),
            stage: RUN,
            buffer: vec![0; READ_BYTES],
            happenings: Vec::new(),
            counted: (0, 0),
            number,
            turns: (0, 0),
            talked_at: now,
            shared,
        })
    }

    /// Runs to the end. Each second, and at the end, an interval goes to `out`.
    pub(super) fn run(mut self, out: &SyncSender<Interval>) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut due = Vec::new();
        let mut second = now_micros() + 1_000_000;
        let (mut cpu, mut since) = (thread_cpu(), now_micros());
        loop {
            let paused = self.pause();
            match self.poll.poll(&mut events, Some(self.wheel.idle(now_micros()))) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let began = now_micros();
            for event in &events {
                self.on_event(event, began);
            }
            let now = now_micros();
            self.wheel.turn(now, &mut due);
            for (deadline, timer) in due.drain(..) {
                self.on_timer(deadline, timer);
            }
            self.on_stage();
            self.count_traffic();
            let now = now_micros();
            self.tally.turn.note(now - began + paused);
            let is_over = self.stage == ALL_LEAVE;
            if now >= second || is_over {
                second = now + 1_000_000;
                let (cpu_before, since_before) = (cpu, since);
                (cpu, since) = (thread_cpu(), now);
                #[allow(clippy::cast_precision_loss, reason = "microseconds of a second or so")]
                let share = (cpu - cpu_before) as f64 / (since - since_before).max(1) as f64;
                self.check_overlaps(now);
                let interval = self.interval(share, is_over);
                // Nobody listens any more: then there is nobody to work for, either.
                if out.send(interval).is_err() || is_over {
                    return Ok(());
                }
            }
        }
    }

    /// Waits a little if turns come so fast that this spares many of them. How long it was, in microseconds.
    fn pause(&mut self) -> u64 {
        let now = now_micros();
        let millisecond = now / 1000;
        if self.turns.0 == millisecond {
            self.turns.1 += 1;
        } else {
            self.turns = (millisecond, 0);
        }
        if self.turns.1 <= TURNS_MAX || now.saturating_sub(self.talked_at) <= TALK {
            return 0;
        }
        thread::sleep(PAUSE);
        now_micros() - now
    }

    fn on_event(&mut self, event: &Event, now: u64) {
        let (at, is_ghost) = (event.token().0 / 2, event.token().0 % 2 == 1);
        let Self { clients, buffer, happenings, tally, talked_at, .. } = self;
        let Some(client) = clients.get_mut(at) else { return };
        let link = if is_ghost { client.ghost.as_mut().map(|(link, _)| link) } else { client.link.as_mut() };
        let Some(link) = link else { return };
        let is_player = client.plan.want == Want::Play;
        if !link.is_started() {
            *talked_at = now;
        }
        let received = link.received();
        let mut handled = Ok(());
        if event.is_writable() {
            handled = link.on_writable();
        }
        if handled.is_ok() && event.is_readable() {
            handled = link.on_readable(buffer, event.is_read_closed(), happenings);
        }
        if is_player {
            tally.counts.received_bytes += link.received() - received;
        }
        if is_ghost {
            self.happenings.clear();
            if handled.is_err() {
                self.drop_ghost(at);
            }
            return;
        }
        let mut happenings = std::mem::take(&mut self.happenings);
        for happening in happenings.drain(..) {
            self.on_happening(at, happening, now);
        }
        self.happenings = happenings;
        // What it said just before it closed may have ended it already.
        if let Err(gone) = handled
            && self.clients[at].link.is_some()
        {
            self.on_gone(at, &gone);
        }
    }

    /// The server, or the network, has ended it.
    pub(super) fn on_gone(&mut self, at: usize, gone: &Gone) {
        self.ended(at, false, &gone.to_string());
    }

    fn on_stage(&mut self) {
        let stage = self.shared.stage.load(Ordering::Relaxed);
        if stage == self.stage {
            return;
        }
        self.stage = stage;
        for at in 0..self.clients.len() {
            let client = &self.clients[at];
            if stage == PUBLISHERS_LEAVE && client.plan.want == Want::Publish {
                self.leave_for_good(at);
            } else if stage == ALL_LEAVE {
                self.drop_ghost(at);
                self.clients[at].link = None;
            }
        }
    }

    fn check_overlaps(&mut self, now: u64) {
        let Self { overlaps, holders, tally, .. } = self;
        overlaps.retain(|overlap| {
            let is_due = now >= overlap.due;
            if is_due && holders.holds(overlap.target, overlap.publish) {
                tally.counts.two_publishers += 1;
            }
            !is_due
        });
    }

    /// Tells the others what was moved since the last turn.
    fn count_traffic(&mut self) {
        let Counts { sent_bytes, received_bytes, .. } = self.tally.counts;
        self.shared.sent.fetch_add(sent_bytes - self.counted.0, Ordering::Relaxed);
        self.shared.received.fetch_add(received_bytes - self.counted.1, Ordering::Relaxed);
        self.counted = (sent_bytes, received_bytes);
    }

    fn interval(&mut self, cpu: f64, is_last: bool) -> Interval {
        let mut gauges = Gauges { cpu, ..Gauges::default() };
        for client in &self.clients {
            match (client.is_in(), client.plan.want) {
                (true, Want::Publish) => gauges.publishers += 1,
                (true, Want::Play) => gauges.players += 1,
                (false, _) if client.link.is_some() && !client.is_leaving => gauges.pending += 1,
                _ => {}
            }
        }
        let ended = is_last.then(|| std::mem::take(&mut self.published));
        self.counted = (0, 0);
        Interval { worker: self.number, gauges, tally: std::mem::take(&mut self.tally), ended }
    }

    /// Makes a socket known to the poll.
    pub(super) fn register(&self, at: usize, link: &mut Link) -> io::Result<()> {
        self.poll.registry().register(
            &mut link.socket,
            Token(at * 2),
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// The same connection, from now on as a ghost.
    pub(super) fn register_ghost(&self, at: usize, link: &mut Link) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().reregister(&mut link.socket, Token(at * 2 + 1), interest)
    }

    /// Sets a timer of the client's present connection.
    pub(super) fn set(&mut self, at: usize, due: u64, what: What) {
        let generation = self.clients[at].generation;
        self.wheel.set(due, Timer { client: at, generation, what });
    }
}

/// Microseconds of CPU that this thread has used.
fn thread_cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_nsec / 1000).unwrap_or(0)
}
