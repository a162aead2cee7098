//! Running: build, say where we are, wait until told to stop, drain. The same for all three commands.

use std::time::Duration;

use crate::config::Config;
use crate::error::{Part, RunError};
use crate::membership::Name;
use crate::node::{Node, Role};
use crate::signals::Signals;

/// How far a drain may go past its timeout before the process ends all the same.
const DRAIN_SLACK: Duration = Duration::from_secs(5);

/// Why a process stops.
#[derive(Clone, Debug)]
pub(crate) enum Why {
    /// A signal, or an operator through the API.
    Told,
    /// One of its parts is gone.
    Died(Part),
    /// Another process has its name.
    Displaced(Name),
}

/// Runs `role` until a signal or an order, and drains it.
pub(crate) fn run(config: &Config, role: Role) -> Result<(), RunError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.node.threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().thread_name("onair-worker").build()?;
    let outcome = runtime.block_on(live(config, role));
    // Whatever still runs has had its time.
    runtime.shutdown_background();
    outcome
}

async fn live(config: &Config, role: Role) -> Result<(), RunError> {
    let mut signals = Signals::install()?;
    // A start may wait for a name; whoever is told to stop meanwhile has nothing to drain.
    let mut node = tokio::select! {
        node = Node::build(config, role) => node?,
        signal = signals.next() => {
            tracing::info!(signal, "told to stop before it was up");
            return Ok(());
        }
    };
    node.greet(config).await;

    let why = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "told to stop: draining");
            Why::Told
        }
        why = node.happening() => {
            match &why {
                Why::Told => tracing::info!("told through the API to stop: draining"),
                Why::Died(part) => tracing::error!(%part, "a part of this process is gone: draining the rest"),
                Why::Displaced(name) => tracing::error!(%name, "another process has the name now: draining"),
            }
            why
        }
    };
    let outcome = match &why {
        Why::Told => Ok(()),
        Why::Died(part) => Err(RunError::Died(*part)),
        Why::Displaced(name) => Err(RunError::Displaced(name.clone())),
    };
    let patience = config.node.drain_timeout.0;
    tokio::select! {
        () = node.drain(patience, &why) => outcome,
        signal = signals.next() => {
            tracing::warn!(signal, "told again: leaving at once");
            Err(RunError::Interrupted)
        }
        () = tokio::time::sleep(patience + DRAIN_SLACK) => Err(RunError::DrainTimeout),
    }
}
