//! Window: the newest messages of the feed, read once and kept for all clients, bounded in number and in bytes.
//!
//! Messages stand in the order in which this Manager read them, each with the positions after it, so that a client that has
//! come as far needs no positions of its own. What a client is missing before the window, it reads from the Live DB.

use std::collections::VecDeque;
use std::sync::Arc;

use onair_cluster::Shard;

use super::positions::Positions;
use super::told::Told;

/// A message in the window.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) told: Told,
    /// The positions once it is read, as the id that clients get.
    pub(crate) id: Arc<str>,
}

/// A place in the window: before the entry of this number, in this era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    era: u64,
    next: u64,
}

/// What is kept.
#[derive(Debug)]
pub(crate) struct Window {
    entries: VecDeque<Arc<Entry>>,
    /// The number of the oldest entry.
    first: u64,
    /// Where the window begins: everything up to here has left it.
    base: Positions,
    /// Where it ends.
    head: Positions,
    /// How often it began anew, because the Live DB had gone back or lost what was not read.
    era: u64,
    bytes: usize,
    entries_max: usize,
    bytes_max: usize,
}

/// What there is at a place.
#[derive(Debug)]
pub(crate) enum Read {
    /// The next entries, and the place after them. None, if there is no more.
    Entries(Vec<Arc<Entry>>, Place),
    /// The window has left the place behind.
    Lagging,
    /// The window has begun anew.
    AnotherEra,
}

/// Where positions stand to the window.
#[derive(Debug)]
pub(crate) enum Standing {
    /// Everything after them is in it, from this place on.
    Within(Place),
    /// It begins after them, in these shards.
    Behind(Vec<Shard>),
    /// They are ahead of it, in this era. Perhaps of the Live DB, too.
    Ahead(u64),
}

impl Window {
    /// Empty, at these positions.
    pub(crate) fn new(at: Positions, entries_max: usize, bytes_max: usize) -> Self {
        let (first, era, bytes) = (0, 0, 0);
        let (entries, base) = (VecDeque::new(), at.clone());
        Self { entries, first, base, head: at, era, bytes, entries_max, bytes_max }
    }

    pub(crate) fn head(&self) -> &Positions {
        &self.head
    }

    /// The place after the last entry.
    pub(crate) fn end(&self) -> Place {
        Place { era: self.era, next: self.first + self.entries.len() as u64 }
    }

    /// The next message, at the end; the oldest ones make room.
    pub(crate) fn push(&mut self, told: Told) {
        self.head.advance(told.shard, told.seq);
        let entry = Entry { told, id: Arc::from(self.head.to_id()) };
        self.bytes += entry.size();
        self.entries.push_back(Arc::new(entry));
        while self.entries.len() > self.entries_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.base.advance(oldest.told.shard, oldest.told.seq);
            self.bytes -= oldest.size();
            self.first += 1;
        }
    }

    /// Passes over a message that cannot be told.
    pub(crate) fn skip(&mut self, shard: Shard, seq: u64) {
        self.head.advance(shard, seq);
    }

    /// Begins anew, empty, at these positions.
    pub(crate) fn restart(&mut self, at: Positions) {
        self.first += self.entries.len() as u64;
        self.entries.clear();
        self.bytes = 0;
        self.era += 1;
        self.base = at.clone();
        self.head = at;
    }

    /// At most `limit` entries from `place` on.
    pub(crate) fn read(&self, place: Place, limit: usize) -> Read {
        if place.era != self.era {
            return Read::AnotherEra;
        }
        let Some(skipped) = place.next.checked_sub(self.first) else { return Read::Lagging };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let entries: Vec<_> = self.entries.iter().skip(skipped).take(limit).cloned().collect();
        let next = place.next + entries.len() as u64;
        Read::Entries(entries, Place { next, ..place })
    }

    /// Where `at` stands. Who is known not to be ahead of the Live DB in era `known` may be ahead of the window.
    pub(crate) fn standing(&self, at: &Positions, known: Option<u64>) -> Standing {
        if known != Some(self.era) && self.head.behind(at).next().is_some() {
            return Standing::Ahead(self.era);
        }
        let behind: Vec<_> = at.behind(&self.base).collect();
        if behind.is_empty() {
            return Standing::Within(Place { era: self.era, next: self.first });
        }
        Standing::Behind(behind)
    }
}

impl Entry {
    fn size(&self) -> usize {
        size_of::<Self>() + self.told.text.len() + self.id.len()
    }
}

#[cfg(test)]
mod tests {
    use onair_cluster::RoomId;

    use super::*;

    fn shard(number: u8) -> Shard {
        Shard::new(number).unwrap()
    }

    fn told(number: u8, seq: u64) -> Told {
        Told {
            shard: shard(number),
            seq,
            room: RoomId::parse("r").unwrap(),
            producer: "p".to_owned(),
            node: "n".to_owned(),
            kind: "k".to_owned(),
            text: "t".repeat(100).into(),
        }
    }

    fn at(of: &[(u8, u64)]) -> Positions {
        let mut positions = Positions::START;
        for (number, seq) in of {
            positions.advance(shard(*number), *seq);
        }
        positions
    }

    fn seqs(read: &Read) -> Vec<(u8, u64)> {
        let Read::Entries(entries, _) = read else { panic!("{read:?}") };
        entries.iter().map(|entry| (entry.told.shard.number(), entry.told.seq)).collect()
    }

    #[test]
    fn each_entry_bears_the_positions_after_it() {
        let mut window = Window::new(at(&[(1, 10), (2, 20)]), 10, usize::MAX);
        let start = window.end();
        window.push(told(1, 11));
        window.push(told(2, 21));
        let Read::Entries(entries, end) = window.read(start, 10) else { panic!() };
        assert_eq!(Positions::parse(&entries[0].id), Some(at(&[(1, 11), (2, 20)])));
        assert_eq!(Positions::parse(&entries[1].id), Some(at(&[(1, 11), (2, 21)])));
        assert_eq!(window.end(), end);
        assert!(seqs(&window.read(end, 10)).is_empty());
    }

    #[test]
    fn it_forgets_the_oldest_and_who_stands_there_lags() {
        let mut window = Window::new(Positions::START, 2, usize::MAX);
        let start = window.end();
        for seq in 1..=2 {
            window.push(told(0, seq));
        }
        assert_eq!(seqs(&window.read(start, 10)), [(0, 1), (0, 2)]);
        window.push(told(0, 3));
        assert!(matches!(window.read(start, 10), Read::Lagging));
        assert!(
            matches!(window.standing(&Positions::START, None), Standing::Behind(shards) if shards == [shard(0)])
        );
        let Standing::Within(place) = window.standing(&at(&[(0, 1)]), None) else { panic!() };
        assert_eq!(seqs(&window.read(place, 10)), [(0, 2), (0, 3)]);
    }

    #[test]
    fn it_is_bounded_in_bytes_too() {
        let mut window = Window::new(Positions::START, usize::MAX, 1_000);
        for seq in 1..=100 {
            window.push(told(0, seq));
            assert!(window.bytes <= 1_000);
        }
        assert!(window.entries.len() < 10 && !window.entries.is_empty());
        assert_eq!(window.base, at(&[(0, 100 - window.entries.len() as u64)]));
    }

    #[test]
    fn who_is_ahead_must_be_known_to_the_live_db_in_this_era() {
        let mut window = Window::new(at(&[(0, 5)]), 10, usize::MAX);
        let ahead = at(&[(0, 6)]);
        assert!(matches!(window.standing(&ahead, None), Standing::Ahead(0)));
        assert!(matches!(window.standing(&ahead, Some(0)), Standing::Within(_)));
        window.restart(at(&[(0, 1)]));
        assert!(matches!(window.standing(&ahead, Some(0)), Standing::Ahead(1)));
    }

    #[test]
    fn after_a_restart_every_older_place_is_of_another_era() {
        let mut window = Window::new(at(&[(0, 5)]), 10, usize::MAX);
        let place = window.end();
        window.push(told(0, 6));
        window.restart(at(&[(0, 2)]));
        assert!(matches!(window.read(place, 10), Read::AnotherEra));
        let place = window.end();
        window.push(told(0, 3));
        assert_eq!(seqs(&window.read(place, 10)), [(0, 3)]);
    }
}
