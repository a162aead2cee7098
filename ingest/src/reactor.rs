//! Reactor: a thread that moves media. It waits for all its sockets at once and gives each pump its turn when there is something to do.
//!
//! Actors decide on the runtime's threads, media moves on these, and the two meet only for control: orders come by an [inbox], answers go
//! to the actor's mailbox. A turn never waits for anything, so that one connection's trouble is nobody else's; one that panics ends
//! alone. Readers of a room are told of news by [bell]: for those on the same thread that is a copy of a list.
//!
//! Why not a task for each connection: ADR 0024.

pub(crate) mod bell;
mod inbox;
mod wheel;

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Registry, Token};
use tokio::sync::watch;

use self::bell::{Ear, Ringer};
use self::inbox::{Inbox, Order};
use self::wheel::Wheel;

pub(crate) use self::wheel::on_grid;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;
/// The furthest that a deadline is armed. One that is further away is looked at again then; so what was armed for those who are gone is
/// forgotten soon.
const ARMED_MAX: Duration = Duration::from_secs(60);
/// What the inbox's events are known by; no connection has it.
const INBOX: Token = Token(usize::MAX);

/// What a reactor runs: a connection's pump.
pub(crate) trait Driven: Send + 'static {
    /// What its owner may tell it.
    type Command: Send;

    /// It has its place now. Its socket is to be registered with it.
    ///
    /// # Errors
    /// The operating system's; it is dropped then.
    fn begin(&mut self, place: &Place<'_>) -> io::Result<()>;
    /// What its socket is ready for.
    fn ready(&mut self, ready: Ready);
    /// Its owner says something. A turn follows.
    fn tell(&mut self, command: Self::Command, now: Instant, place: &Place<'_>);
    /// Does what there is to do, without waiting.
    fn turn(&mut self, now: Instant, place: &Place<'_>) -> Turn;
}

/// What a socket is ready for, as an event said. Of what it says once, no second event speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) reads: bool,
    pub(crate) writes: bool,
    /// The peer has closed, or something failed: behind what can be read is the end, of which no event will tell.
    pub(crate) has_ended: bool,
}

impl Ready {
    fn of(event: &Event) -> Self {
        let has_ended = event.is_read_closed() || event.is_error();
        Self {
            reads: event.is_readable() || has_ended,
            writes: event.is_writable() || event.is_write_closed(),
            has_ended,
        }
    }
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing more to do until something happens, or until then.
    Wait(Instant),
    /// There is more, after the others had their turn.
    Again,
    /// It is over, and to be dropped.
    Over,
}

/// Where a pump runs.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) token: Token,
    ringer: &'a Arc<Ringer>,
}

impl Place<'_> {
    /// By which it hears bells.
    pub(crate) fn ear(&self) -> Ear {
        Ear::new(self.ringer.clone(), self.token.0)
    }
}

/// All reactors of a node. They stop when the last clone is gone, and drop what they run.
pub(crate) struct Reactors<D: Driven>(Arc<Shared<D>>);

struct Shared<D: Driven> {
    inboxes: Vec<Arc<Inbox<D>>>,
    next: AtomicUsize,
    ids: AtomicU64,
    has_died: watch::Receiver<bool>,
}

impl<D: Driven> Clone for Reactors<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D: Driven> Reactors<D> {
    /// Starts so many threads, at least one.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let (died, has_died) = watch::channel(false);
        let died = Arc::new(died);
        let mut inboxes = Vec::new();
        for n in 0..threads.max(1) {
            let reactor = Reactor::new()?;
            inboxes.push(reactor.inbox.clone());
            let died = died.clone();
            std::thread::Builder::new().name(format!("onair-media-{n}")).spawn(move || {
                let ended = catch_unwind(AssertUnwindSafe(|| reactor.run()));
                match ended {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => tracing::error!(reactor = n, %error, "a media thread cannot go on"),
                    Err(_) => tracing::error!(reactor = n, "a media thread panicked"),
                }
                died.send_replace(true);
            })?;
        }
        let (next, ids) = (AtomicUsize::new(0), AtomicU64::new(0));
        Ok(Self(Arc::new(Shared { inboxes, next, ids, has_died })))
    }

    /// Runs `driven` until it is over, on the reactor whose turn it is. Dropping what this returns ends it.
    pub(crate) fn run(&self, driven: Box<D>) -> Running<D> {
        let at = self.0.next.fetch_add(1, Ordering::Relaxed) % self.0.inboxes.len();
        let id = self.0.ids.fetch_add(1, Ordering::Relaxed);
        let inbox = self.0.inboxes[at].clone();
        inbox.order(Order::Begin(id, driven));
        Running { remote: Remote { inbox, id }, is_over: false }
    }

    /// Resolves when one of the threads has ended by itself, which none ever should.
    pub(crate) fn died(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut has_died = self.0.has_died.clone();
        async move {
            if has_died.wait_for(|died| *died).await.is_err() {
                // They were told to stop.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl<D: Driven> Drop for Shared<D> {
    fn drop(&mut self) {
        for inbox in &self.inboxes {
            inbox.order(Order::Stop);
        }
    }
}

/// What a reactor runs, in the hands of its owner, with whom it ends.
pub(crate) struct Running<D: Driven> {
    remote: Remote<D>,
    is_over: bool,
}

impl<D: Driven> Running<D> {
    /// Tells it something.
    pub(crate) fn tell(&self, command: D::Command) {
        self.remote.tell(command);
    }

    /// By which others may tell it something.
    pub(crate) fn remote(&self) -> Remote<D> {
        Remote { inbox: self.remote.inbox.clone(), id: self.remote.id }
    }

    /// It is over: there is nothing to end any more.
    pub(crate) const fn over(&mut self) {
        self.is_over = true;
    }
}

impl<D: Driven> Drop for Running<D> {
    fn drop(&mut self) {
        if !self.is_over {
            self.remote.inbox.order(Order::End(self.remote.id));
        }
    }
}

/// Reaches what runs, or ran, on a reactor.
pub(crate) struct Remote<D: Driven> {
    inbox: Arc<Inbox<D>>,
    id: u64,
}

impl<D: Driven> Remote<D> {
    /// Tells it something. Nothing happens when it is over.
    pub(crate) fn tell(&self, command: D::Command) {
        self.inbox.order(Order::Tell(self.id, command));
    }
}

struct Reactor<D: Driven> {
    poll: Poll,
    inbox: Arc<Inbox<D>>,
    slots: Vec<Option<Slot<D>>>,
    free: Vec<usize>,
    /// Freed in this round: there may still be events for what was there.
    freed: Vec<usize>,
    places: HashMap<u64, usize>,
    wheel: Wheel,
    /// To be given a turn in this round, or the next.
    turns: Vec<usize>,
}

struct Slot<D> {
    id: u64,
    driven: Box<D>,
    /// When the wheel will give it a turn.
    armed: Option<Instant>,
}

impl<D: Driven> Reactor<D> {
    fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let inbox = Arc::new(Inbox::new(poll.registry(), INBOX)?);
        Ok(Self {
            poll,
            inbox,
            slots: Vec::new(),
            free: Vec::new(),
            freed: Vec::new(),
            places: HashMap::new(),
            wheel: Wheel::new(),
            turns: Vec::new(),
        })
    }

    fn run(mut self) -> io::Result<()> {
        self.inbox.ringer().is_here();
        let mut events = Events::with_capacity(EVENTS);
        let mut turns = Vec::new();
        loop {
            let patience = if self.turns.is_empty() {
                self.wheel.next().map(|at| at.saturating_duration_since(Instant::now()))
            } else {
                Some(Duration::ZERO)
            };
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let now = Instant::now();
            for event in &events {
                if event.token() == INBOX {
                    continue;
                }
                let at = event.token().0;
                if let Some(Some(slot)) = self.slots.get_mut(at) {
                    slot.driven.ready(Ready::of(event));
                    self.turn(at, now);
                }
            }
            let is_signalled = self.inbox.ringer().take_signal();
            if is_signalled && self.obey(now) {
                return Ok(());
            }
            std::mem::swap(&mut turns, &mut self.turns);
            self.wheel.due(now, &mut turns);
            turns.drain(..).for_each(|at| self.turn(at, now));
            // Last, so that news is written in the round that brought it.
            self.inbox.ringer().take_rung(is_signalled, &mut turns);
            if !turns.is_empty() {
                let now = Instant::now();
                turns.drain(..).for_each(|at| self.turn(at, now));
                bell::note_round(now.elapsed());
            }
            self.free.append(&mut self.freed);
        }
    }

    /// Does what others order. True when the order is to stop.
    fn obey(&mut self, now: Instant) -> bool {
        for order in self.inbox.take_orders() {
            match order {
                Order::Begin(id, driven) => self.begin(id, driven, now),
                Order::Tell(id, command) => {
                    if let Some(&at) = self.places.get(&id) {
                        self.guarded(at, |slot, place| {
                            slot.driven.tell(command, now, place);
                            Turn::Again
                        });
                        self.turn(at, now);
                    }
                }
                Order::End(id) => {
                    if let Some(&at) = self.places.get(&id) {
                        self.drop_slot(at);
                    }
                }
                Order::Stop => return true,
            }
        }
        false
    }

    fn begin(&mut self, id: u64, driven: Box<D>, now: Instant) {
        let at = self.free.pop().unwrap_or(self.slots.len());
        if at == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[at] = Some(Slot { id, driven, armed: None });
        self.places.insert(id, at);
        self.guarded(at, |slot, place| match slot.driven.begin(place) {
            Ok(()) => Turn::Again,
            Err(_) => Turn::Over,
        });
        self.turn(at, now);
    }

    fn turn(&mut self, at: usize, now: Instant) {
        match self.guarded(at, |slot, place| slot.driven.turn(now, place)) {
            Turn::Wait(until) => {
                let until = until.min(now + ARMED_MAX);
                // Deadlines mostly move away: it is armed again only when one comes nearer, or when the last has passed.
                if let Some(Some(slot)) = self.slots.get_mut(at)
                    && slot.armed.is_none_or(|armed| on_grid(until) < armed || armed <= now)
                {
                    slot.armed = Some(self.wheel.arm(at, until));
                }
            }
            Turn::Again => self.turns.push(at),
            Turn::Over => {}
        }
    }

    /// Runs `f` on a slot. What panics is dropped; so is what is over.
    fn guarded(&mut self, at: usize, f: impl FnOnce(&mut Slot<D>, &Place<'_>) -> Turn) -> Turn {
        let Some(Some(slot)) = self.slots.get_mut(at) else { return Turn::Over };
        let place = Place { registry: self.poll.registry(), token: Token(at), ringer: self.inbox.ringer() };
        // What was half done is dropped, and shared state has no half-done states: rooms unlock as they unwind.
        let turn = catch_unwind(AssertUnwindSafe(|| f(slot, &place))).unwrap_or(Turn::Over);
        if turn == Turn::Over {
            self.drop_slot(at);
        }
        turn
    }

    fn drop_slot(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::take) {
            self.places.remove(&slot.id);
            self.freed.push(at);
            // A panic of its last words is as much its own as any other.
            let _panicked = catch_unwind(AssertUnwindSafe(move || drop(slot)));
        }
    }
}

#[cfg(test)]
mod tests;
