//! onair-loadtest: publishers and players against a running RTMP server, and a verdict by exit code.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use clap::Parser as _;
use onair_loadtest::cli::Cli;
use onair_loadtest::report::Report;

/// The command line makes no sense, or there is nothing to load. As clap has it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(report.exit_code)
        }
        Err(error) => {
            eprintln!("onair-loadtest: {error:#}");
            ExitCode::from(USAGE)
        }
    }
}

fn run() -> Result<Report> {
    let cli = Cli::parse();
    let stop = stop_at_ctrl_c()?;
    onair_loadtest::run::run(&cli, &stop)
}

/// Ctrl-C ends the run early; what was measured until then is told.
fn stop_at_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = stop.clone();
    std::thread::Builder::new().name("ctrl-c".to_owned()).spawn(move || {
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                told.store(true, Ordering::Relaxed);
            }
        });
    })?;
    Ok(stop)
}
