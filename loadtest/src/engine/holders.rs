//! Holders: who of ours the server has accepted as publisher of each address, to see whether it ever accepts two.

use std::collections::HashMap;

/// How long an accepted publisher may stay connected after another one was accepted: the server closes the older socket, and
/// that must travel.
pub(super) const OVERLAP_MAX: u64 = 2_000_000;

/// The accepted publishers of each target, as (client, publish).
#[derive(Debug, Default)]
pub(super) struct Holders {
    of: HashMap<usize, Vec<(usize, u64)>>,
}

impl Holders {
    /// A publish was accepted. Those that held the target before, and must now be gone soon.
    pub(super) fn accepted(&mut self, target: usize, client: usize, publish: u64) -> Vec<u64> {
        let holders = self.of.entry(target).or_default();
        let before = holders.iter().map(|(_, publish)| *publish).collect();
        holders.push((client, publish));
        before
    }

    /// A publish is over, whoever ended it.
    pub(super) fn gone(&mut self, target: usize, publish: u64) {
        if let Some(holders) = self.of.get_mut(&target) {
            holders.retain(|(_, held)| *held != publish);
        }
    }

    /// Whether anybody holds a target.
    pub(super) fn is_held(&self, target: usize) -> bool {
        self.of.get(&target).is_some_and(|holders| !holders.is_empty())
    }

    /// Whether a publish still stands.
    pub(super) fn holds(&self, target: usize, publish: u64) -> bool {
        self.of.get(&target).is_some_and(|holders| holders.iter().any(|(_, held)| *held == publish))
    }

    /// Whether somebody was accepted after this publish.
    pub(super) fn is_succeeded(&self, target: usize, publish: u64) -> bool {
        self.of.get(&target).is_some_and(|holders| holders.iter().any(|(_, held)| *held > publish))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_publisher_of_an_address_is_noticed_until_one_is_gone() {
        let mut holders = Holders::default();
        assert!(holders.accepted(1, 10, 100).is_empty());
        assert!(holders.accepted(2, 11, 101).is_empty());
        assert_eq!(holders.accepted(1, 12, 102), [100]);
        assert!(holders.holds(1, 100) && holders.is_succeeded(1, 100) && !holders.is_succeeded(1, 102));
        holders.gone(1, 100);
        assert!(!holders.holds(1, 100) && holders.holds(1, 102));
        assert_eq!(holders.accepted(1, 10, 103), [102]);
    }
}
