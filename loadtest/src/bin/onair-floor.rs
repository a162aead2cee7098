//! onair-floor: what bare sockets cost for the same bytes, as a server to run the load test against. Runs until it is killed.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser;
use onair_loadtest::floor::Floor;

/// The floor: passes on what onair-loadtest publishes, byte by byte, and does nothing else.
///
/// One thread. It is no server: compare servers with it.
#[derive(Debug, Parser)]
#[command(name = "onair-floor", version)]
struct Cli {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:1935", value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// How long to let bytes come together before they are read and passed on, in milliseconds; 0: not at all
    #[arg(long, default_value_t = 0, value_name = "MS")]
    gather: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let floor = Floor::bind(cli.listen, Duration::from_millis(cli.gather));
    match floor.and_then(|floor| floor.run(&AtomicBool::new(false))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onair-floor: {error}");
            ExitCode::FAILURE
        }
    }
}
