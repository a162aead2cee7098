//! Scenarios: each turns what an operator asked for into a list of plans.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cli::{Command, Common, IdleWant, LeaveBy};
use crate::client::Want;
use crate::media::clip::Clip;
use crate::plan::{Again, Job, Leaving, Plan, Stay};
use crate::target::{Found, parse_sources};

/// A scenario, ready to run.
#[derive(Debug)]
pub struct Scenario {
    /// What to do.
    pub job: Job,
    /// Where the rooms came from.
    pub api: Option<(crate::onair::Onair, Vec<String>)>,
    /// What publishers send, in words.
    pub media: String,
}

/// What a scenario needs to know before it has rooms.
struct Wants {
    name: &'static str,
    about: String,
    rooms: usize,
    clip: Clip,
    all_nodes: bool,
}

impl Scenario {
    /// Finds the rooms and lays out the plans.
    ///
    /// # Errors
    /// When rooms cannot be found, or what is asked for makes no sense.
    pub fn of(command: &Command, common: &Common) -> Result<Self> {
        ensure!(common.fps >= 1 && common.fps <= 240, "--fps goes from 1 to 240");
        ensure!(common.gop > 0.0 && common.gop <= 60.0, "--gop goes from above 0 to 60 seconds");
        ensure!((16..=100_000).contains(&common.kbps), "--kbps goes from 16 to 100000");
        ensure!((128..=65_536).contains(&common.chunk_size), "--chunk-size goes from 128 to 65536");
        let wants = wants(command, common);
        ensure!(wants.rooms >= 1, "at least one room");
        let Found { targets, api } = common.source.find(wants.rooms, common.chunk_size, wants.all_nodes)?;
        let clip = Arc::new(wants.clip);
        let mut ramp = Ramp { at: 0, per_second: common.ramp.max(1) };
        let plans = plans(command, &mut ramp, &clip);
        let from = common.connect_from.iter().map(|text| parse_sources(text)).collect::<Result<Vec<_>>>()?;
        let media =
            if plans.iter().any(|plan| plan.clip.is_some()) { clip.describe() } else { "none".to_owned() };
        let job = Job {
            scenario: wants.name.to_owned(),
            about: wants.about,
            targets,
            plans,
            threads: common.threads.max(1),
            from: from.into_iter().flatten().collect(),
            acks: common.acks,
            warm_up: common.warm_up,
            measure: common.seconds,
            patience: common.patience,
            seed: common.seed.unwrap_or_else(rand::random),
            expects_drops: common.expect_drops,
        };
        Ok(Self { job, api, media })
    }
}

fn wants(command: &Command, common: &Common) -> Wants {
    let clip = || Clip::of_kbps(common.kbps, common.fps, common.gop, common.chunk_size);
    let kbps = common.kbps;
    match command {
        Command::Publish { rooms, players } => Wants {
            name: "publish",
            about: format!("{rooms} publishers at {kbps} kb/s, watched by {players} players"),
            rooms: *rooms,
            clip: clip(),
            all_nodes: false,
        },
        Command::Fanout { rooms, players } => Wants {
            name: "fanout",
            about: format!("{rooms} rooms at {kbps} kb/s to {players} players"),
            rooms: *rooms,
            clip: clip(),
            all_nodes: false,
        },
        Command::Storm { in_flight, leave } => Wants {
            name: "storm",
            about: format!(
                "{in_flight} publishers at a time connect, publish and leave ({leave:?}) without end"
            ),
            rooms: *in_flight,
            clip: clip(),
            all_nodes: false,
        },
        Command::Idle { connections, want } => Wants {
            name: "idle",
            about: format!("{connections} quiet connections that {want:?}"),
            rooms: if *want == IdleWant::Publish { *connections } else { 1 },
            clip: Clip::quiet(common.chunk_size),
            all_nodes: false,
        },
        Command::Mixed { rooms, players, rivals, life } => Wants {
            name: "mixed",
            about: format!(
                "{rooms} encoders at {kbps} kb/s that come, go, drop and come back as OBS does ({life:?} on average), \
                 {players} players, {rivals} rivals"
            ),
            rooms: *rooms,
            clip: clip(),
            all_nodes: false,
        },
        Command::Cluster { rooms, players, rivals, life } => Wants {
            name: "cluster",
            about: format!(
                "{rooms} encoders at {kbps} kb/s on all nodes in turn ({life:?} on average), {players} players, {rivals} rivals"
            ),
            rooms: *rooms,
            clip: clip(),
            all_nodes: true,
        },
    }
}

/// When clients come, one after the other.
struct Ramp {
    at: u32,
    per_second: u32,
}

impl Ramp {
    fn next(&mut self) -> Duration {
        self.at += 1;
        Duration::from_secs(1) * (self.at - 1) / self.per_second
    }
}

fn plans(command: &Command, ramp: &mut Ramp, clip: &Arc<Clip>) -> Vec<Plan> {
    match command {
        Command::Publish { rooms, players } | Command::Fanout { rooms, players } => {
            steady(*rooms, *players, ramp, clip)
        }
        Command::Storm { in_flight, leave } => (0..*in_flight)
            .map(|room| Plan {
                stay: Stay::No,
                leave: match leave {
                    LeaveBy::Goodbye => Leaving::Goodbye,
                    LeaveBy::Close => Leaving::Close,
                    LeaveBy::Reset => Leaving::Reset,
                },
                again: Again::AtOnce,
                ..Plan::steady(room, Want::Publish, ramp.next(), None)
            })
            .collect(),
        Command::Idle { connections, want: IdleWant::Publish } => steady(*connections, 0, ramp, clip),
        Command::Idle { connections, want: IdleWant::Play } => steady(1, *connections, ramp, clip),
        Command::Mixed { rooms, players, rivals, life }
        | Command::Cluster { rooms, players, rivals, life } => {
            churning(*rooms, *players, *rivals, *life, ramp, clip)
        }
    }
}

/// Publishers, then players, who all stay.
fn steady(rooms: usize, players: usize, ramp: &mut Ramp, clip: &Arc<Clip>) -> Vec<Plan> {
    let mut plans: Vec<_> =
        (0..rooms).map(|room| Plan::steady(room, Want::Publish, ramp.next(), Some(clip.clone()))).collect();
    // Players come when all rooms are on air: one that is not would turn them away.
    let settle = Duration::from_millis(500);
    plans.extend((0..players).map(|n| Plan::steady(n % rooms, Want::Play, ramp.next() + settle, None)));
    plans
}

/// Encoders that come and go, players who come back, and rivals for rooms that are taken.
fn churning(
    rooms: usize,
    players: usize,
    rivals: usize,
    life: Duration,
    ramp: &mut Ramp,
    clip: &Arc<Clip>,
) -> Vec<Plan> {
    let mut plans: Vec<_> = (0..rooms)
        .map(|room| Plan {
            stay: Stay::About(life),
            leave: Leaving::Any,
            again: Again::LikeObs,
            ..Plan::steady(room, Want::Publish, ramp.next(), Some(clip.clone()))
        })
        .collect();
    let settle = Duration::from_millis(500);
    plans.extend((0..players).map(|n| Plan {
        stay: Stay::About(life * 4),
        leave: Leaving::Close,
        again: Again::Between(Duration::from_secs(1), Duration::from_secs(3)),
        ..Plan::steady(n % rooms, Want::Play, ramp.next() + settle, None)
    }));
    let (from, to) = (Duration::from_secs(2), Duration::from_secs(8));
    plans.extend((0..rivals).map(|n| Plan {
        stay: Stay::For(Duration::from_secs(2)),
        again: Again::Between(from, to),
        is_rival: true,
        ..Plan::steady(n % rooms, Want::Publish, ramp.next() + from, Some(clip.clone()))
    }));
    plans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_come_at_the_pace_of_the_ramp_and_players_after_publishers() {
        let clip = Arc::new(Clip::quiet(4096));
        let mut ramp = Ramp { at: 0, per_second: 100 };
        let plans = steady(100, 50, &mut ramp, &clip);
        assert_eq!(plans.len(), 150);
        assert_eq!(plans[99].begin, Duration::from_millis(990));
        assert_eq!((plans[100].begin, plans[100].target), (Duration::from_millis(1500), 0));
        assert!(
            plans.iter().all(|plan| plan.target < 100 && plan.clip.is_some() == (plan.want == Want::Publish))
        );
    }
}
