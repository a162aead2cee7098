//! Run: from the command line to the report.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};

use crate::cli::Cli;
use crate::engine;
use crate::progress::Progress;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::server::Process;
use crate::verdict::{Record, Verdict};

/// Does what the command line says, or less if `stop` is set meanwhile, and writes the files that it asks for.
///
/// # Errors
/// When what it asks for makes no sense, rooms cannot be found, or a file cannot be written. A server that behaves badly is no error:
/// that is what the report is about.
pub fn run(cli: &Cli, stop: &AtomicBool) -> Result<Report> {
    let Scenario { job, api, media } = Scenario::of(&cli.command, &cli.common)?;
    let record = api.map(|(onair, rooms)| Record::before(onair, rooms)).transpose()?;
    let server = Process::of(cli.common.server_pid.clone());
    let progress = Progress::new(job.lead() + job.measure);
    let outcome = engine::run(&job, &server, stop, |second| progress.show(second))?;
    progress.clear();
    let record = record.map(|record| record.judge(&outcome)).unwrap_or_default();
    let verdict = Verdict::of(&job, &outcome, record);
    let report = Report::of(&job, &media, &outcome, verdict);
    if let Some(file) = &cli.common.json {
        write(file, &report.to_json()?)?;
    }
    if let Some(file) = &cli.common.html {
        write(file, &report.to_html())?;
    }
    Ok(report)
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
