//! Logs: to stderr, text for a terminal and JSON for machines, with the level of the configuration or of `ONAIR_LOG`.
//!
//! No secret is ever logged: the types that hold one print a placeholder instead, so nothing here has to filter.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::config::{ConfigError, Log, LogFormat, Origin};

/// The variable that overrides `[log] level`, for a quick look without touching a file.
const VARIABLE: &str = "ONAIR_LOG";

/// Starts logging for the whole process, panics included. Call once.
pub(crate) fn start(log: &Log) -> Result<(), ConfigError> {
    let filter = filter(log, std::env::var(VARIABLE).ok())?;
    let terminal = std::io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let line = fmt::layer().with_writer(std::io::stderr);
    let started = if json {
        registry
            .with(line.json().flatten_event(true).with_current_span(true).with_span_list(false))
            .try_init()
    } else {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        registry.with(line.with_ansi(colour).with_target(false)).try_init()
    };
    // Only a second call can fail, and then the first one's logging is in force.
    drop(started);
    log_panics();
    Ok(())
}

fn filter(log: &Log, variable: Option<String>) -> Result<EnvFilter, ConfigError> {
    let from_variable = variable.is_some();
    let directives = variable.unwrap_or_else(|| log.level.clone());
    parse(&directives).map_err(|problem| ConfigError::Wrong {
        origin: if from_variable { Origin::Env(VARIABLE.to_owned()) } else { Origin::Default },
        problem,
    })
}

/// Reads levels and directives. A word alone must be a level: the library would take a misspelt one for the name of a part,
/// and log nothing of all others.
pub(crate) fn parse(directives: &str) -> Result<EnvFilter, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for word in directives.split(',').map(str::trim) {
        let is_directive = word.contains(['=', '[']);
        if !is_directive && !LEVELS.contains(&word.to_ascii_lowercase().as_str()) {
            return Err(format!("{word:?} is not a level ({}) nor target=level", LEVELS.join(", ")));
        }
    }
    EnvFilter::try_new(directives).map_err(|e| e.to_string())
}

/// A panic is our own fault wherever it happens; it ends one task or actor and must be seen in the log of all.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("no text");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        tracing::error!(panic = text, place, thread, "a part of this program panicked");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_beats_the_configured_level_and_is_named_when_wrong() {
        let log = Log::default();
        assert_eq!(filter(&log, None).unwrap().to_string(), "actix_server=warn,ractor=warn,info");
        assert_eq!(filter(&log, Some("debug".to_owned())).unwrap().to_string(), "debug");
        let text = filter(&log, Some("info,=[".to_owned())).unwrap_err().to_string();
        assert!(text.starts_with("environment variable ONAIR_LOG: "), "{text}");
    }
}
