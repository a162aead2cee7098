//! `onair config`: what would be in force, and where each value comes from.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use toml::{Table, Value};

use crate::config::Loaded;
use crate::exit::Exit;

/// The values in force as TOML, each with its origin. It can be used as a file, once its secrets are filled in again.
pub(crate) fn in_force(loaded: &Loaded) -> String {
    let mut text = String::from("# What is in force, and where each value comes from.\n");
    for (section, value) in &Table::try_from(&loaded.config).unwrap_or_default() {
        match value {
            Value::Table(keys) => show(&mut text, &format!("[{section}]"), section, keys, loaded),
            Value::Array(tables) => {
                for (place, table) in tables.iter().enumerate() {
                    let Value::Table(keys) = table else { continue };
                    show(&mut text, &format!("[[{section}]]"), &format!("{section}[{place}]"), keys, loaded);
                }
            }
            _ => {}
        }
    }
    text
}

fn show(text: &mut String, head: &str, section: &str, keys: &Table, loaded: &Loaded) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n{head}");
    for (key, value) in keys {
        let line = format!("{key} = {value}");
        let _ = writeln!(text, "{line:<36} # {}", loaded.origin(&format!("{section}.{key}")));
    }
}

/// Prints to stdout. A reader that has gone away (`| head`) is no failure of ours.
pub(crate) fn print(text: &str) -> Result<(), Exit> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Exit::Unavailable),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Settings;
    use crate::config;

    #[test]
    fn what_is_shown_is_a_file_that_says_the_same() {
        let shown = in_force(&config::load(&Settings::default(), std::iter::empty()).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shown.toml");
        std::fs::write(&path, &shown).unwrap();
        let settings = Settings { config: Some(path), ..Settings::default() };
        let again = config::load(&settings, std::iter::empty()).unwrap();
        assert_eq!(again.config, config::Config::default());
        assert!(shown.contains("listen = \"0.0.0.0:1935\""), "{shown}");
    }
}
