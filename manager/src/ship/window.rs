//! Window: the rows of one shard that are on their way to Kafka. It decides, without a clock or a socket, which of them may be
//! handed over and which may be marked.
//!
//! Always holds: of each room at most one row is under way, and it is the room's oldest that has not been delivered. So no
//! failure, retry or reconnect can let a later message of a room overtake an earlier one.

use std::collections::{HashSet, VecDeque};

use crate::live_db::OutboxRow;

/// How far a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Waits,
    UnderWay,
    /// Delivered, or refused for good.
    Settled,
}

/// The first unshipped rows of a shard, by number.
#[derive(Debug, Default)]
pub(super) struct Window {
    rows: VecDeque<(OutboxRow, Step)>,
}

impl Window {
    /// Takes what was read of the outbox; rows that are here already, or were before them, are left alone.
    pub(super) fn offer(&mut self, rows: Vec<OutboxRow>) {
        for row in rows {
            if self.rows.back().is_none_or(|(last, _)| last.seq < row.seq) {
                self.rows.push_back((row, Step::Waits));
            }
        }
    }

    /// Up to `max` rows to hand over now; they are under way from here on.
    pub(super) fn take(&mut self, max: usize) -> Vec<OutboxRow> {
        let mut blocked = HashSet::new();
        let mut taken = Vec::new();
        for (row, step) in &mut self.rows {
            if taken.len() == max {
                break;
            }
            if *step == Step::Settled {
                continue;
            }
            let is_first = blocked.insert(row.room_id.clone());
            if is_first && *step == Step::Waits {
                *step = Step::UnderWay;
                taken.push(row.clone());
            }
        }
        taken
    }

    /// A row was delivered, or is refused for good: the next of its room may go.
    pub(super) fn settle(&mut self, seq: u64) {
        self.put(seq, Step::Settled);
    }

    /// A row was not delivered: it is the next of its room again.
    pub(super) fn put_back(&mut self, seq: u64) {
        self.put(seq, Step::Waits);
    }

    fn put(&mut self, seq: u64, to: Step) {
        if let Some((_, step)) = self.rows.iter_mut().find(|(row, _)| row.seq == seq) {
            *step = to;
        }
    }

    /// The settled rows before the first that is not: those that may be marked.
    pub(super) fn prefix(&self) -> Vec<u64> {
        let settled = self.rows.iter().take_while(|(_, step)| *step == Step::Settled);
        settled.map(|(row, _)| row.seq).collect()
    }

    /// Forgets rows up to `seq`: they are marked.
    pub(super) fn forget(&mut self, seq: u64) {
        while self.rows.front().is_some_and(|(row, step)| *step == Step::Settled && row.seq <= seq) {
            self.rows.pop_front();
        }
    }

    /// All rows, whatever their step.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use onair_cluster::{Epoch, RoomId, UnixMs};
    use proptest::prelude::*;

    use super::*;

    fn row(seq: u64, room: u64) -> OutboxRow {
        OutboxRow {
            seq,
            shard: onair_cluster::Shard::all().next().unwrap(),
            event_id: format!("{seq}/live"),
            room_id: RoomId::parse(&format!("room-{room}")).unwrap(),
            epoch: Epoch(1),
            kind: "k".to_owned(),
            payload: "{}".to_owned(),
            created_at: UnixMs(0),
            shipped_at: None,
        }
    }

    fn seqs(rows: &[OutboxRow]) -> Vec<u64> {
        rows.iter().map(|row| row.seq).collect()
    }

    #[test]
    fn a_room_waits_for_its_last_message_and_others_do_not() {
        let mut window = Window::default();
        window.offer(vec![row(1, 1), row(2, 1), row(3, 2), row(4, 1)]);
        assert_eq!(seqs(&window.take(9)), [1, 3]);
        assert!(window.take(9).is_empty());
        window.settle(3);
        assert!(window.prefix().is_empty(), "1 is not delivered yet");
        window.put_back(1);
        assert_eq!(seqs(&window.take(9)), [1], "2 may not overtake it");
        window.settle(1);
        assert_eq!(window.prefix(), [1]);
        assert_eq!(seqs(&window.take(9)), [2]);
        window.forget(1);
        window.settle(2);
        assert_eq!(window.prefix(), [2, 3]);
    }

    #[test]
    fn what_is_read_twice_is_here_once() {
        let mut window = Window::default();
        window.offer(vec![row(1, 1), row(2, 2)]);
        window.offer(vec![row(1, 1), row(2, 2), row(3, 3)]);
        assert_eq!(window.len(), 3);
        assert_eq!(seqs(&window.take(2)), [1, 2]);
        assert_eq!(seqs(&window.take(2)), [3]);
    }

    proptest! {
        #[test]
        fn whatever_fails_each_room_is_delivered_in_order_and_only_a_prefix_is_marked(
            rooms in prop::collection::vec(0..5_u64, 1..60),
            fates in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 1..8_usize), 400),
        ) {
            let rows: Vec<_> = rooms.iter().zip(1..).map(|(room, seq)| row(seq, *room)).collect();
            let mut window = Window::default();
            window.offer(rows.clone());
            let (mut under_way, mut delivered, mut marked) = (Vec::new(), Vec::new(), Vec::new());
            for (which, is_delivered, max) in fates {
                under_way.extend(window.take(max));
                if under_way.is_empty() {
                    break;
                }
                let row: OutboxRow = under_way.swap_remove(which.index(under_way.len()));
                if is_delivered {
                    window.settle(row.seq);
                    delivered.push(row);
                } else {
                    window.put_back(row.seq);
                }
                let prefix = window.prefix();
                if let Some(last) = prefix.last() {
                    window.forget(*last);
                }
                marked.extend(prefix);
            }
            for room in 0..5 {
                let id = RoomId::parse(&format!("room-{room}")).unwrap();
                let of = |rows: &[OutboxRow]| -> Vec<u64> {
                    rows.iter().filter(|row| row.room_id == id).map(|row| row.seq).collect()
                };
                let (told, all) = (of(&delivered), of(&rows));
                prop_assert_eq!(&all[..told.len()], &told[..]);
            }
            prop_assert_eq!(&marked, &(1..=marked.len() as u64).collect::<Vec<_>>());
            prop_assert!(marked.iter().all(|seq| delivered.iter().any(|row| row.seq == *seq)));
        }
    }
}
