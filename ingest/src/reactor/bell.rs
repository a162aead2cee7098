//! Bell: how a room's readers are told that there is something new.
//!
//! Those who listen are kept by reactor, as the list of places that each must give a turn. Ringing is handing over that list: on the
//! reactor's own thread without a lock, elsewhere with one lock and at most one wake-up for all.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mio::{Registry, Token, Waker};
use parking_lot::Mutex;

/// Numbers for those who are no reactor's.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The reactor that runs on this thread, and whom bells have rung for here.
    static HERE: RefCell<(usize, Vec<usize>)> = const { RefCell::new((usize::MAX, Vec::new())) };
    /// How long the last who heard a bell here had to wait for its turn.
    static LAST_ROUND: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// How long it took lately until the last who heard a bell on this thread had its turn. Zero on threads that are no reactor's.
pub(crate) fn last_round() -> Duration {
    LAST_ROUND.get()
}

/// Notes how long it took now. One round counts a quarter, so that one that was interrupted changes little.
pub(super) fn note_round(took: Duration) {
    LAST_ROUND.set((LAST_ROUND.get() * 3 + took) / 4);
}

/// What gives a reactor's pumps their turn when a bell rings.
#[derive(Debug)]
pub(crate) struct Ringer {
    number: usize,
    /// Rung for by other threads.
    rung: Mutex<Vec<usize>>,
    /// There is something in `rung`, or an order; the reactor has been woken, or is about to look.
    signalled: AtomicBool,
    waker: Waker,
}

impl Ringer {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            rung: Mutex::default(),
            signalled: AtomicBool::new(false),
            waker: Waker::new(registry, token)?,
        })
    }

    /// Its reactor runs on this thread from now on.
    pub(super) fn is_here(&self) {
        HERE.with_borrow_mut(|here| *here = (self.number, Vec::new()));
    }

    fn ring(&self, places: &[usize]) {
        let was_here = HERE.with_borrow_mut(|(number, rung)| {
            let is_here = *number == self.number;
            if is_here {
                rung.extend_from_slice(places);
            }
            is_here
        });
        if !was_here {
            self.rung.lock().extend_from_slice(places);
            self.signal();
        }
    }

    /// Wakes the reactor, unless somebody has.
    pub(super) fn signal(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            // An event counter that cannot be written: it looks when the next event or deadline wakes it.
            tracing::error!(%error, "a media thread could not be woken");
        }
    }

    /// Whether it was woken since the last call. What woke it is to be looked for after this.
    pub(super) fn take_signal(&self) -> bool {
        self.signalled.swap(false, Ordering::AcqRel)
    }

    /// Whom bells have rung for: on this thread, and elsewhere too if so.
    pub(super) fn take_rung(&self, elsewhere_too: bool, into: &mut Vec<usize>) {
        HERE.with_borrow_mut(|(_, rung)| into.append(rung));
        if elsewhere_too {
            into.append(&mut self.rung.lock());
            // They may have rung often since we looked.
            into.sort_unstable();
            into.dedup();
        }
    }
}

/// By which one pump hears a bell.
#[derive(Clone, Debug)]
pub(crate) struct Ear {
    ringer: Arc<Ringer>,
    place: usize,
}

impl Ear {
    pub(super) const fn new(ringer: Arc<Ringer>, place: usize) -> Self {
        Self { ringer, place }
    }
}

/// A room's bell.
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<Vec<(Arc<Ringer>, Vec<usize>)>>);

impl Bell {
    /// From now on `ear` hears it. What is there already it must look for itself, after this.
    pub(crate) fn listen(&self, ear: &Ear) {
        let mut lists = self.0.lock();
        match lists.iter_mut().find(|(ringer, _)| ringer.number == ear.ringer.number) {
            Some((_, places)) => places.push(ear.place),
            None => lists.push((ear.ringer.clone(), vec![ear.place])),
        }
    }

    /// Undoes one [`Bell::listen`].
    pub(crate) fn leave(&self, ear: &Ear) {
        let mut lists = self.0.lock();
        let Some(at) = lists.iter().position(|(ringer, _)| ringer.number == ear.ringer.number) else {
            return;
        };
        let places = &mut lists[at].1;
        // From behind: who came last leaves first, more often than not.
        if let Some(found) = places.iter().rposition(|place| *place == ear.place) {
            places.swap_remove(found);
        }
        if places.is_empty() {
            lists.swap_remove(at);
        }
    }

    /// There is something new for all who listen.
    pub(crate) fn ring(&self) {
        for (ringer, places) in &*self.0.lock() {
            ringer.ring(places);
        }
    }
}

/// Ears of no reactor, for tests: they say what was rung for them.
#[cfg(test)]
pub(crate) struct Ears {
    _poll: mio::Poll,
    ringer: Arc<Ringer>,
}

#[cfg(test)]
impl Ears {
    pub(crate) fn new() -> Self {
        let poll = mio::Poll::new().unwrap();
        let ringer = Arc::new(Ringer::new(poll.registry(), Token(0)).unwrap());
        Self { _poll: poll, ringer }
    }

    pub(crate) fn ear(&self, place: usize) -> Ear {
        Ear::new(self.ringer.clone(), place)
    }

    /// The places that bells have rung for since the last call.
    pub(crate) fn heard(&self) -> Vec<usize> {
        std::mem::take(&mut self.ringer.rung.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_is_heard_by_all_who_listen_and_by_nobody_else() {
        let (bell, one, other) = (Bell::default(), Ears::new(), Ears::new());
        let ears = [one.ear(1), one.ear(2), other.ear(1)];
        ears.iter().for_each(|ear| bell.listen(ear));
        bell.ring();
        assert_eq!((one.heard(), other.heard()), (vec![1, 2], vec![1]));
        bell.leave(&ears[0]);
        bell.leave(&ears[2]);
        bell.leave(&ears[2]);
        bell.ring();
        assert_eq!((one.heard(), other.heard()), (vec![2], vec![]));
    }

    #[test]
    fn on_its_own_thread_a_reactor_is_not_woken() {
        let (bell, ears) = (Bell::default(), Ears::new());
        bell.listen(&ears.ear(3));
        ears.ringer.is_here();
        bell.ring();
        assert!(!ears.ringer.take_signal() && ears.heard().is_empty());
        let mut rung = Vec::new();
        ears.ringer.take_rung(false, &mut rung);
        assert_eq!(rung, [3]);
        std::thread::scope(|scope| drop(scope.spawn(|| bell.ring())));
        assert!(ears.ringer.take_signal());
        ears.ringer.take_rung(true, &mut rung);
        assert_eq!(rung, [3]);
    }
}
