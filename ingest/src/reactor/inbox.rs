//! Inbox: what other threads order of a reactor, and the one way to wake it.

use std::io;
use std::sync::Arc;

use mio::{Registry, Token};
use parking_lot::Mutex;

use super::Driven;
use super::bell::Ringer;

/// What a reactor can be told.
pub(super) enum Order<D: Driven> {
    /// To run this.
    Begin(u64, Box<D>),
    /// Something for what it runs.
    Tell(u64, D::Command),
    /// To drop it.
    End(u64),
    /// To drop all, and end.
    Stop,
}

/// Orders, in the order in which they came. As many as there are: an actor gives a handful in a connection's life, each in answer to
/// something that this very reactor told it.
pub(super) struct Inbox<D: Driven> {
    orders: Mutex<Vec<Order<D>>>,
    ringer: Arc<Ringer>,
}

impl<D: Driven> Inbox<D> {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self { orders: Mutex::default(), ringer: Arc::new(Ringer::new(registry, token)?) })
    }

    pub(super) fn order(&self, order: Order<D>) {
        self.orders.lock().push(order);
        self.ringer.signal();
    }

    pub(super) const fn ringer(&self) -> &Arc<Ringer> {
        &self.ringer
    }

    pub(super) fn take_orders(&self) -> Vec<Order<D>> {
        std::mem::take(&mut *self.orders.lock())
    }
}
