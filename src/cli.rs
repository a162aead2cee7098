//! The command line: what can be asked of `onair`, and the help that teaches it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::exit::Exit;

/// A live-ingest cluster: RTMP in, exactly one publisher per room, every start and end reported once and in order.
#[derive(Debug, Parser)]
#[command(name = "onair", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  onair serve                                 one whole node; RTMP on 1935, API on 127.0.0.1:8080, files in ./onair-data
  onair serve --rtmp 0.0.0.0:1936             the same on another port
  ONAIR__RTMP__IDLE_TIMEOUT=30s onair serve   any setting by environment: ONAIR__<SECTION>__<KEY>
  onair manager, onair ingest                 one half each, for clusters: many ingest nodes, a Redis, one Manager or several
  onair config default > onair.toml           the commented sample file, which is also the reference
  onair config check --config onair.toml      what would be in force, and where each value comes from

Exit codes: 0 done or drained, 64 wrong usage, 69 address or database not to be had, 70 our own fault,
73 cannot write the data directory, 77 wrong permissions in it, 78 wrong configuration, 130 second signal.";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one whole node: ingest, Manager, database and keys in one process, until SIGTERM or Ctrl-C
    #[command(after_help = SERVE_HELP)]
    Serve(Settings),
    /// Run one ingest node of a cluster: encoders and players, with leases in Redis and the Manager elsewhere
    #[command(after_help = INGEST_HELP)]
    Ingest(Settings),
    /// Run a Manager of a cluster: database, API and events of all its nodes, with leases in Redis
    #[command(after_help = MANAGER_HELP)]
    Manager(ManagerSettings),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

const SERVE_HELP: &str = "\
The first start makes a signing key and an admin token in the data directory (readable by you alone) and prints an
address to publish to. Logs go to stderr and never hold a key. The first SIGTERM or Ctrl-C drains: publishers are told,
leases are given back, ends are recorded; a second one exits at once.

Examples:
  onair serve
  onair serve --data-dir /var/lib/onair --rtmp 0.0.0.0:1935 --http 127.0.0.1:8080
  ONAIR_LOG=onair_ingest=debug,info onair serve";

const INGEST_HELP: &str = "\
Needs redis.url, a node id of its own, and the public keys that live keys are checked with: live_keys.public_keys,
live_keys.jwks_file, or the signing-key.pem of --data-dir. It writes no file. Its HTTP address serves /livez, /readyz and
/metrics only. At the start it waits some seconds for a name that a killed process still has.

Examples:
  ONAIR__REDIS__URL=redis://10.0.0.5 ONAIR__NODE__ID=ingest-1 onair ingest --config /etc/onair.toml
  curl -s http://manager:8080/.well-known/jwks.json > jwks.json && ONAIR__LIVE_KEYS__JWKS_FILE=jwks.json onair ingest";

const MANAGER_HELP: &str = "\
Needs redis.url; and node.media_domain, or the addresses that it hands out are good on this machine only. Broadcasts go on while
there is none. With postgres.url any number of Managers may run and share the work, each with a node.id of its own, all with
the same live_keys.signing_key_file and http.admin_token_file; if one dies, the others have its part within ten seconds. Without,
the database is a file in the data directory, and a cluster has one Manager: a second one waits some seconds whether the first is
still alive, and then refuses to start. With kafka.brokers, starts and ends of broadcasts go to Kafka, too: docs/events.

Examples:
  ONAIR__REDIS__URL=redis://10.0.0.5 onair manager --config /etc/onair.toml --data-dir /var/lib/onair
  ONAIR__POSTGRES__URL=postgres://onair:…@10.0.0.6/onair ONAIR__KAFKA__BROKERS=10.0.0.8:9092 ONAIR__NODE__ID=manager-1 onair manager";

/// What `onair config` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the commented sample file: every setting, its unit, its default and why
    Default,
    /// Check file, environment and flags together; print what would be in force and where each value comes from
    Check(Settings),
}

/// Where settings come from. Later beats earlier: defaults, file, environment, flags.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Settings {
    /// Configuration file (TOML); without it, defaults hold
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where database, signing key and admin token live [default: ./onair-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where to listen for RTMP [default: 0.0.0.0:1935]
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) rtmp: Option<SocketAddr>,
    /// Where to serve the HTTP API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) http: Option<SocketAddr>,
}

/// The same for a process that takes no encoders.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ManagerSettings {
    /// Configuration file (TOML); without it, defaults hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where database, signing key and admin token live [default: ./onair-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to serve the HTTP API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    http: Option<SocketAddr>,
}

impl From<ManagerSettings> for Settings {
    fn from(ManagerSettings { config, data_dir, http }: ManagerSettings) -> Self {
        Self { config, data_dir, http, rtmp: None }
    }
}

/// Reads the command line. Help and version are printed and end well; anything not understood is explained on stderr.
pub(crate) fn parse() -> Result<Cli, Exit> {
    Cli::try_parse().map_err(|e| {
        // Nothing is left to tell if even the terminal is gone.
        let _ = e.print();
        if e.use_stderr() { Exit::Usage } else { Exit::Success }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_read_as_addresses_not_as_text() {
        assert!(Cli::try_parse_from(["onair", "serve", "--rtmp", "127.0.0.1:0"]).is_ok());
        assert!(Cli::try_parse_from(["onair", "serve", "--rtmp", "localhost"]).is_err());
    }
}
