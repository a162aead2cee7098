//! onair-loadtest: publishers and players against a running server, and a verdict by exit code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use onair_loadtest::address::Address;
use onair_loadtest::media::Shape;
use onair_loadtest::report::Report;
use onair_loadtest::{player, publisher};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Publishes to many addresses in real time, plays each of them, and says what was lost and how late it was.
///
/// Exit code 0: nobody was refused and no player lost a picture. 1: somebody was, or did.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// File of addresses, one a line: `PUBLISH_URL`, or `PUBLISH_URL PLAY_URL` to have it played too
    #[arg(long)]
    addresses: PathBuf,
    /// Seconds to run, once everybody is on
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Video kilobits per second of each publisher
    #[arg(long, default_value_t = 300)]
    kbps: u32,
    /// Pictures per second
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// New connections per second while ramping up
    #[arg(long, default_value_t = 200)]
    ramp: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(report) => {
            println!("{report}");
            if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("onair-loadtest: {error:#}");
            ExitCode::from(64)
        }
    }
}

async fn run(args: &Args) -> Result<Report> {
    let addresses =
        read_addresses(&std::fs::read_to_string(&args.addresses).context("the file of addresses")?)?;
    let shape = Shape { kbps: args.kbps, fps: args.fps, gop: args.fps * 2 };
    let (stop, stopped) = watch::channel(false);
    let mut publishers = JoinSet::new();
    let mut players = JoinSet::new();
    let pause = Duration::from_secs(1) / args.ramp.max(1);
    for (publish, play) in addresses {
        let stopped = stopped.clone();
        publishers.spawn({
            let stopped = stopped.clone();
            async move { publisher::publish(&publish, shape, stopped).await }
        });
        if let Some(play) = play {
            players.spawn(async move { player::play(&play, stopped).await });
        }
        tokio::time::sleep(pause).await;
    }
    eprintln!("{} publishers and {} players are on; {} s", publishers.len(), players.len(), args.seconds);
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    stop.send_replace(true);
    let mut report = Report::default();
    while let Some(outcome) = publishers.join_next().await {
        report.publisher(outcome.context("a publisher panicked")?);
    }
    while let Some(outcome) = players.join_next().await {
        report.player(outcome.context("a player panicked")?);
    }
    Ok(report)
}

fn read_addresses(text: &str) -> Result<Vec<(Address, Option<Address>)>> {
    let mut addresses = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut urls = line.split_whitespace();
        let Some(publish) = urls.next() else { continue };
        let at = || format!("line {}", number + 1);
        let play = urls.next().map(Address::parse).transpose().with_context(at)?;
        addresses.push((Address::parse(publish).with_context(at)?, play));
    }
    if addresses.is_empty() {
        bail!("there is no address in the file");
    }
    Ok(addresses)
}
