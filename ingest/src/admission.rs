//! Admission: how many connections there may be, in all and not yet let in per address. Counted by permits that give
//! themselves back.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

/// The counters of one node.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    counts: Arc<Counts>,
    connections_max: usize,
    pending_per_address_max: usize,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    /// Connections of an address that asked for nothing yet, or were not yet granted it.
    pending: DashMap<IpAddr, usize>,
}

/// Why a connection is closed before a byte is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The node has all the connections it may have.
    Node,
    /// Too many connections of this address wait to be let in.
    Address,
}

impl Admission {
    /// Counters at zero.
    pub(crate) fn new(connections_max: usize, pending_per_address_max: usize) -> Self {
        Self { counts: Arc::default(), connections_max, pending_per_address_max }
    }

    /// Lets a new connection in, or says what is full.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Permit, Full> {
        let pending =
            Pending::count(&self.counts, address, self.pending_per_address_max).ok_or(Full::Address)?;
        let before = self.counts.connections.fetch_add(1, Ordering::AcqRel);
        let permit = Permit { counts: self.counts.clone(), pending: Some(pending) };
        if before >= self.connections_max { Err(Full::Node) } else { Ok(permit) }
    }

    /// Connections now.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Acquire)
    }
}

/// A connection's place. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Permit {
    counts: Arc<Counts>,
    pending: Option<Pending>,
}

impl Permit {
    /// The connection was granted what it asked for: it no longer counts against its address.
    pub(crate) fn let_in(&mut self) {
        self.pending = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug)]
struct Pending {
    counts: Arc<Counts>,
    address: IpAddr,
}

impl Pending {
    fn count(counts: &Arc<Counts>, address: IpAddr, max: usize) -> Option<Self> {
        let mut count = counts.pending.entry(address).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Self { counts: counts.clone(), address })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.counts.pending.remove_if_mut(&self.address, |_, count| {
            *count -= 1;
            *count == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const B: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn an_address_is_bounded_until_its_connections_are_let_in() {
        let admission = Admission::new(10, 2);
        let mut first = admission.admit(A).unwrap();
        let _second = admission.admit(A).unwrap();
        assert_eq!(admission.admit(A).err(), Some(Full::Address));
        assert!(admission.admit(B).is_ok());
        first.let_in();
        assert!(admission.admit(A).is_ok());
    }

    #[test]
    fn permits_give_everything_back() {
        let admission = Admission::new(3, 3);
        let permits: Vec<_> = (0..3).map(|_| admission.admit(A).unwrap()).collect();
        assert_eq!(admission.admit(B).err(), Some(Full::Node));
        assert_eq!(admission.connections(), 3);
        drop(permits);
        assert_eq!(admission.connections(), 0);
        assert!(admission.counts.pending.is_empty());
    }
}
