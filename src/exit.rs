//! How the program ends: the exit codes, after BSD's sysexits, and nothing else may invent one.

use std::process::ExitCode;

/// Why the process ends. The numbers are documented in docs/operating.md; scripts and unit files rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or drained as asked.
    Success,
    /// The command line cannot be understood (EX_USAGE).
    Usage,
    /// An address is taken or not ours, or the disk or database is not to be had (EX_UNAVAILABLE).
    Unavailable,
    /// Something that must never happen happened: our own fault (EX_SOFTWARE).
    Software,
    /// A file of the data directory cannot be made or written (EX_CANTCREAT).
    CannotCreate,
    /// A file of the data directory is readable by others, or not by us (EX_NOPERM).
    Permission,
    /// The configuration is wrong (EX_CONFIG).
    Config,
    /// A second signal cut the drain short: 128 + SIGINT, as a shell would say it.
    Interrupted,
}

impl Exit {
    /// The number the parent process sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::CannotCreate => 73,
            Self::Permission => 77,
            Self::Config => 78,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
