//! Where PostgreSQL's programs are, and as whom they run: PostgreSQL refuses to be root, and tests may be.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `name` among the server's programs. Debian keeps those off the PATH, one directory for each major version; the newest
/// counts.
pub(super) fn server_program(name: &str) -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, programs)| programs.join("initdb").exists())
        .collect();
    versions.sort();
    // Elsewhere they may be on the PATH; that they are nowhere is said when they are started.
    versions.pop().map_or_else(|| name.into(), |(_, programs)| programs.join(name))
}

/// The user and group that the server runs as, if not as ourselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunAs(Option<(u32, u32)>);

impl RunAs {
    /// Root gives way to `postgres`, which Debian's package makes, or to `nobody`.
    pub(super) fn choose() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self(None);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let ids = |name: &str| {
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        Self(Some(ids("postgres").or_else(|| ids("nobody")).expect("a user other than root")))
    }

    pub(super) fn apply(self, command: &mut Command) {
        if let Self(Some((user, group))) = self {
            command.uid(user).gid(group);
        }
    }

    /// Gives `path` and what is directly in it to that user.
    pub(super) fn own(self, path: &Path) {
        let Self(Some((user, group))) = self else { return };
        let inside = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in inside.chain([path.to_owned()]) {
            std::os::unix::fs::chown(&path, Some(user), Some(group)).expect("root gives a file away");
        }
    }
}
