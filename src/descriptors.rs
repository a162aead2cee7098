//! File descriptors: each connection takes one, and most systems grant 1024 until a process asks for more.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for everything that is not an RTMP connection: listeners, the database, HTTP, the runtime.
const OTHERS: u64 = 2_048;

/// Asks the system for enough descriptors for so many connections, and tells the log if it does not grant them.
pub(crate) fn provide_for(connections: usize) {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let mut limit = getrlimit(Resource::Nofile);
    // `None` means without limit.
    let Some(granted) = limit.current.filter(|current| *current < wanted) else { return };
    let possible = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    limit.current = Some(possible);
    let granted = if setrlimit(Resource::Nofile, limit).is_ok() { possible } else { granted };
    if granted < wanted {
        tracing::warn!(
            granted,
            wanted,
            "fewer file descriptors than rtmp.connections_max needs; see ulimit -n"
        );
    }
}
