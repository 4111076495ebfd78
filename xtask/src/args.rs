//! Command-line arguments: a handful of flags does not pay for a parser crate.

use std::collections::VecDeque;

use anyhow::{Result, bail};

#[derive(Default)]
/// The arguments not yet taken. Whatever is left at [`Args::finish`] is an error.
pub(crate) struct Args {
    rest: VecDeque<String>,
}

impl Args {
    /// The arguments of this process, its own name excepted.
    pub(crate) fn from_env() -> Self {
        Self { rest: std::env::args().skip(1).collect() }
    }

    #[cfg(test)]
    pub(crate) fn of(items: &[&str]) -> Self {
        Self { rest: items.iter().map(|s| (*s).to_owned()).collect() }
    }

    /// Takes the first argument if it is not an option.
    pub(crate) fn positional(&mut self) -> Option<String> {
        let first = self.rest.front()?;
        if first.starts_with("--") && first != "--help" {
            return None;
        }
        self.rest.pop_front()
    }

    /// Takes `--name`, and says whether it was there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.rest.len();
        self.rest.retain(|a| a != name);
        self.rest.len() != before
    }

    /// Takes `--name VALUE` or `--name=VALUE`.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>> {
        let prefix = format!("{name}=");
        let Some(at) = self.rest.iter().position(|a| a == name || a.starts_with(&prefix)) else {
            return Ok(None);
        };
        let found = self.rest.remove(at).unwrap_or_default();
        if let Some(value) = found.strip_prefix(&prefix) {
            return Ok(Some(value.to_owned()));
        }
        match self.rest.remove(at) {
            Some(value) if !value.starts_with("--") => Ok(Some(value)),
            _ => bail!("{name} needs a value"),
        }
    }

    /// Takes everything left, to be passed on to another program.
    pub(crate) fn remaining(self) -> Vec<String> {
        self.rest.into()
    }

    /// Fails on anything that no one took.
    pub(crate) fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        bail!("unexpected argument: {}", Vec::from(self.rest).join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_flags_and_values_in_any_order() {
        let mut args = Args::of(&["bench", "--model", "dir", "--quick", "--text=a b"]);
        assert_eq!(args.positional().as_deref(), Some("bench"));
        assert!(args.positional().is_none(), "an option is no positional");
        assert!(args.flag("--quick"));
        assert!(!args.flag("--quick"));
        assert_eq!(args.value("--text").unwrap().as_deref(), Some("a b"));
        assert_eq!(args.value("--model").unwrap().as_deref(), Some("dir"));
        args.finish().unwrap();
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let mut args = Args::of(&["--model"]);
        assert!(args.value("--model").is_err(), "a value is missing");
        let mut args = Args::of(&["--model", "--quick"]);
        assert!(args.value("--model").is_err(), "an option is no value");
        assert!(Args::of(&["--nonsense"]).finish().is_err());
    }
}
