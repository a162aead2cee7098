//! Who believed to own which room when, read from the nodes' logs: the record that keepers write at level `debug`.

use std::collections::BTreeMap;

use serde_json::Value;

/// One node's belief that a room is its own, in nanoseconds since boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belief {
    pub session: String,
    pub room: String,
    pub epoch: u64,
    pub node: String,
    pub from: u64,
    pub until: u64,
}

/// The beliefs that a log in JSON tells of, by the moment they began. A later answer makes a belief longer; an end makes it
/// shorter; without one it lasts until its deadline, whatever became of the process.
pub fn read(log: &str) -> Vec<Belief> {
    let mut open: BTreeMap<String, Belief> = BTreeMap::new();
    let mut all = Vec::new();
    for line in log.lines().filter(|line| line.contains("onair_cluster::belief")) {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        // A number that was formatted as text is one all the same.
        let number = |name: &str| line[name].as_u64().or_else(|| line[name].as_str()?.parse().ok());
        let session = text("session_id");
        if let (Some(from), Some(until)) = (number("from_ns"), number("until_ns")) {
            match open.get_mut(&session) {
                // Believed without a break.
                Some(belief) if from <= belief.until => belief.until = belief.until.max(until),
                _ => {
                    let belief = Belief {
                        room: text("room_id"),
                        epoch: number("epoch").unwrap_or_default(),
                        node: text("node_id"),
                        from,
                        until,
                        session: session.clone(),
                    };
                    all.extend(open.insert(session, belief));
                }
            }
        } else if let Some(at) = number("at_ns")
            && let Some(mut belief) = open.remove(&session)
        {
            belief.until = belief.until.min(at);
            all.push(belief);
        }
    }
    all.extend(open.into_values());
    all.sort_by_key(|belief| belief.from);
    all
}

/// Pairs of beliefs in one room, of different sessions, that overlap.
pub fn overlaps(beliefs: &[Belief]) -> Vec<(Belief, Belief)> {
    let mut by_room: BTreeMap<&str, Vec<&Belief>> = BTreeMap::new();
    for belief in beliefs {
        by_room.entry(&belief.room).or_default().push(belief);
    }
    let mut found = Vec::new();
    for room in by_room.values_mut() {
        room.sort_by_key(|belief| belief.from);
        for (i, earlier) in room.iter().enumerate() {
            for later in room[i + 1..].iter().filter(|later| later.session != earlier.session) {
                if later.from < earlier.until {
                    found.push(((*earlier).clone(), (*later).clone()));
                }
            }
        }
    }
    found
}
