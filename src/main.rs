//! onair: the one program. Parse the command line, load the configuration, start the logs, build, run until told to
//! stop, drain.

mod cli;
mod config;
mod data_dir;
mod demo;
mod descriptors;
mod error;
mod exit;
mod greeting;
mod ingest;
mod issuers;
mod jwks;
mod life;
mod logs;
mod manager;
mod membership;
mod node;
mod public_keys;
mod run;
mod secrets;
mod show;
mod signals;
mod truth;

use std::process::ExitCode;

use cli::{Command, ConfigCommand, Settings};
use config::{Loaded, SAMPLE};
use exit::Exit;
use node::Role;

/// Why not the system's: see Cargo.toml.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A publisher's pictures come and go by tens of kilobytes. Where the kernel backs memory with huge pages it clears two megabytes for the
    // first byte of each, which stops a media thread for milliseconds and was a tenth of its time (docs/performance.md). A kernel that
    // refuses is one that does without.
    let _refused = rustix::thread::disable_transparent_huge_pages(true);
    let outcome = cli::parse().and_then(|cli| match cli.command {
        Command::Serve(settings) => run(&settings, Role::Whole),
        Command::Ingest(settings) => run(&settings, Role::Ingest),
        Command::Manager(settings) => run(&settings.into(), Role::Manager),
        Command::Config(ConfigCommand::Default) => show::print(SAMPLE),
        Command::Config(ConfigCommand::Check(settings)) => show::print(&show::in_force(&load(&settings)?)),
    });
    outcome.err().unwrap_or(Exit::Success).into()
}

fn run(settings: &Settings, role: Role) -> Result<(), Exit> {
    let config = load(settings)?.config;
    logs::start(&config.log).map_err(|e| complain(Exit::Config, &e))?;
    run::run(&config, role).map_err(|e| complain(e.exit(), &e))
}

fn load(settings: &Settings) -> Result<Loaded, Exit> {
    config::load(settings, std::env::vars_os()).map_err(|e| complain(Exit::Config, &e))
}

/// Tells the person at the terminal why we end, in one line. The log may go elsewhere, or not be running yet.
fn complain(exit: Exit, why: &dyn std::fmt::Display) -> Exit {
    eprintln!("onair: {why}");
    exit
}
