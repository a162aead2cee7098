//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::plan::Acks;
use crate::target::Source;

/// Loads an RTMP server with publishers and players in real time, measures what it costs and how late media arrives, and
/// checks what it promises.
///
/// Any server will do, by URL templates. With an Onair and a token of its API (--api, --token-file), addresses come from there, and
/// afterwards what is on record is held against what happened.
#[derive(Debug, Parser)]
#[command(name = "onair-loadtest", version, after_long_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How.
    #[command(flatten)]
    pub common: Common,
}

const EXAMPLES: &str = "\
Examples:
  200 publishers of 1 Mb/s for a minute, ten of them watched, and what the server uses:
    onair-loadtest publish --rooms 200 --players 10 --publish rtmp://127.0.0.1/live/{n} --server-pid $(pidof nginx) --seconds 60s

  One room to 300 players, with a report to look at:
    onair-loadtest fanout --players 300 --kbps 2000 --publish rtmp://127.0.0.1/live/one --html report.html

  How many publishers a second can come and go, with clients that acknowledge at once:
    onair-loadtest storm --in-flight 64 --acks at-once --publish rtmp://127.0.0.1/live/{n}

  An Onair on this machine, with all that its API can tell:
    onair-loadtest mixed --api http://127.0.0.1:8080 --token-file onair-data/admin-token

  20000 players, more than one local address has ports for (mind ulimit -n):
    onair-loadtest idle --connections 20000 --want play --connect-from 127.0.0.2-127.0.0.5 --publish rtmp://127.0.0.1/live/one

Exit codes:
  0  every promise held
  1  a promise was broken: media lost, repeated or mixed up, a client refused or dropped, two publishers of one room,
     an end that is not on record
  2  the command line makes no sense, or the rooms could not be found
  3  the result says nothing of the server: this program was the bottleneck (its pacing was late, or a thread of it busy for
     more than 90 % of the time), or nobody got in at all. Two publishers of one room, mixed up media and a wrong record are 1 even so";

/// The scenarios.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Publishers who stay, and perhaps some players to see how late media is
    Publish {
        /// Publishers, each with a room of its own
        #[arg(long, default_value_t = 50)]
        rooms: usize,
        /// Players, spread over the rooms
        #[arg(long, default_value_t = 0)]
        players: usize,
    },
    /// A few rooms with many players
    Fanout {
        /// Rooms
        #[arg(long, default_value_t = 1)]
        rooms: usize,
        /// Players, spread over the rooms
        #[arg(long, default_value_t = 300)]
        players: usize,
    },
    /// Publishers who connect, are accepted and leave, over and over: what a server does when everybody reconnects
    Storm {
        /// How many do so at a time, each in a room of its own
        #[arg(long, default_value_t = 64)]
        in_flight: usize,
        /// How they leave
        #[arg(long, value_enum, default_value_t = LeaveBy::Goodbye)]
        leave: LeaveBy,
    },
    /// Many quiet connections: what each costs in memory
    Idle {
        /// Connections
        #[arg(long, default_value_t = 2000)]
        connections: usize,
        /// What they do; publishers send one small picture a second, players watch one such room
        #[arg(long, value_enum, default_value_t = IdleWant::Publish)]
        want: IdleWant,
    },
    /// Encoders that come and go, drop, freeze and come back as OBS does (after 2, 5, 9.5, 16 s), players, and rivals for rooms taken
    Mixed {
        /// Encoders, each with a room of its own
        #[arg(long, default_value_t = 50)]
        rooms: usize,
        /// Players, spread over the rooms; they come back, too
        #[arg(long, default_value_t = 100)]
        players: usize,
        /// Publishers that ask for a room that is taken
        #[arg(long, default_value_t = 5)]
        rivals: usize,
        /// How long an encoder stays on average
        #[arg(long, default_value = "20s", value_parser = duration)]
        life: Duration,
    },
    /// The same on all nodes of a cluster in turn: whoever comes back comes to another node (--api, or --nodes)
    Cluster {
        /// Encoders, each with a room of its own
        #[arg(long, default_value_t = 50)]
        rooms: usize,
        /// Players, spread over the rooms and nodes
        #[arg(long, default_value_t = 100)]
        players: usize,
        /// Publishers that ask for a room that is taken, on whatever node
        #[arg(long, default_value_t = 5)]
        rivals: usize,
        /// How long an encoder stays on average
        #[arg(long, default_value = "20s", value_parser = duration)]
        life: Duration,
    },
}

/// How a publisher of a storm leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LeaveBy {
    /// It says goodbye and waits for the server to close
    Goodbye,
    /// It closes
    Close,
    /// It resets
    Reset,
}

/// What quiet connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IdleWant {
    /// Publish
    Publish,
    /// Play
    Play,
}

/// What all scenarios have in common.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Where.
    #[command(flatten)]
    pub source: Source,

    /// Bits per second of each publisher, video and audio, in thousands
    #[arg(long, default_value_t = 1000, global = true, help_heading = "What is published")]
    pub kbps: u32,
    /// Pictures per second
    #[arg(long, default_value_t = 30, global = true, help_heading = "What is published")]
    pub fps: u32,
    /// Seconds between keyframes
    #[arg(long, default_value_t = 2.0, global = true, help_heading = "What is published")]
    pub gop: f64,
    /// Payload bytes per chunk that publishers send, 128 to 65536
    #[arg(long, default_value_t = 4096, global = true, help_heading = "What is published")]
    pub chunk_size: u32,

    /// How long to measure, once everybody is in
    #[arg(long, default_value = "30s", value_parser = duration, global = true, help_heading = "How")]
    pub seconds: Duration,
    /// From the last client's coming to the beginning of the measurement
    #[arg(long, default_value = "3s", value_parser = duration, global = true, help_heading = "How")]
    pub warm_up: Duration,
    /// Clients that come per second in the beginning
    #[arg(long, default_value_t = 200, global = true, help_heading = "How")]
    pub ramp: u32,
    /// How long a client waits to be accepted
    #[arg(long, default_value = "10s", value_parser = duration, global = true, help_heading = "How")]
    pub patience: Duration,
    /// When this side acknowledges TCP segments
    #[arg(long, value_enum, default_value_t = Acks::Kernel, global = true, help_heading = "How")]
    pub acks: Acks,
    /// Local addresses to connect from in turn: ADDRESS or FIRST-LAST, separated by commas. Each has ports for some 28000
    /// connections
    #[arg(long, value_delimiter = ',', global = true, help_heading = "How")]
    pub connect_from: Vec<String>,
    /// Threads. One serves many thousand connections
    #[arg(long, default_value_t = 1, global = true, help_heading = "How")]
    pub threads: usize,
    /// The server falls or is restarted on purpose: refusals, drops and gaps are counted, but break no promise
    #[arg(long, global = true, help_heading = "How")]
    pub expect_drops: bool,
    /// Seed of all chance, to do the same again [default: another each time]
    #[arg(long, global = true, help_heading = "How")]
    pub seed: Option<u64>,

    /// A process of the server on this machine, measured with its children; may be given several times
    #[arg(long, global = true, help_heading = "What is told")]
    pub server_pid: Vec<u32>,
    /// Write everything as JSON to this file
    #[arg(long, value_name = "FILE", global = true, help_heading = "What is told")]
    pub json: Option<PathBuf>,
    /// Write a report with plots to this file, to be opened in a browser
    #[arg(long, value_name = "FILE", global = true, help_heading = "What is told")]
    pub html: Option<PathBuf>,
}

/// `500ms`, `30s`, `5m`, `1h`, or a bare number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time looks like 500ms, 30s, 5m or 1h".to_owned()),
    };
    let seconds = number.parse::<f64>().map_err(|_| "no number".to_owned())? * scale;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_its_examples_parse() {
        Cli::command().debug_assert();
        for line in EXAMPLES.lines().filter(|line| line.trim_start().starts_with("onair-loadtest ")) {
            let line = line.replace("$(pidof nginx)", "1");
            Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(
            (duration("2"), duration("0.5m")),
            (Ok(Duration::from_secs(2)), Ok(Duration::from_secs(30)))
        );
        assert!(["x", "1d", "-1s", ""].into_iter().all(|bad| duration(bad).is_err()));
    }
}
