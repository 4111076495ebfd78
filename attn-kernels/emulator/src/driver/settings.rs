//! The environment variables of the emulated driver, read once by `cuInit`. Makes no device.

use std::path::PathBuf;

use crate::Checks;

/// When a stream runs what is put into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    /// At the call: deterministic, and no missing synchronisation shows.
    Serial,
    /// In a thread of its own, beside the host and the other streams.
    Async,
    /// When somebody waits for it and not before: deterministic, and most missing synchronisation shows.
    Lazy,
}

/// What the environment asks for; `None` leaves the choice to the device's defaults.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) profile: String,
    pub(super) streams: Streams,
    pub(super) report: Option<PathBuf>,
    pub(super) checks: Checks,
    pub(super) threads: Option<usize>,
    pub(super) budget: Option<u64>,
}

const PREFIX: &str = "CUDA_EMULATOR_";

impl Settings {
    /// Reads `CUDA_EMULATOR_*` out of `variables`. The error says which one, what it holds and what it
    /// may hold; a name that no setting has is one, too, since it is most likely misspelled.
    pub(super) fn read(
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Settings, String> {
        let mut settings = Settings {
            profile: "sm_90".to_owned(),
            streams: Streams::Serial,
            report: None,
            checks: Checks::all(),
            threads: None,
            budget: None,
        };
        for (name, value) in variables.filter(|(name, _)| name.starts_with(PREFIX)) {
            settings
                .set(&name[PREFIX.len()..], &value)
                .map_err(|allowed| format!("{name}={value:?} is not {allowed}"))?;
        }
        Ok(settings)
    }

    /// Takes one variable; the error is what would have been allowed.
    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "PROFILE" => value.clone_into(&mut self.profile),
            "STREAMS" => {
                self.streams = match value {
                    "serial" => Streams::Serial,
                    "async" => Streams::Async,
                    "lazy" => Streams::Lazy,
                    _ => return Err("serial, async or lazy"),
                }
            }
            "REPORT" if value.is_empty() => return Err("the path of a file"),
            "REPORT" => self.report = Some(value.into()),
            "CHECKS" => {
                self.checks = checks(value).ok_or(
                    "a list, with commas, of all, none, uninitialized, races, async-copies, \
                     uninitialized-host-reads",
                )?;
            }
            "THREADS" => {
                self.threads = Some(positive(value).ok_or("a number of host threads from 1")?);
            }
            "BUDGET" => {
                self.budget = Some(positive(value).ok_or("a number of warp instructions from 1")?);
            }
            _ => {
                return Err(
                    "a setting: there are PROFILE, STREAMS, REPORT, CHECKS, THREADS, BUDGET",
                );
            }
        }
        Ok(())
    }
}

/// The checks that a list names.
fn checks(list: &str) -> Option<Checks> {
    let mut checks = Checks::none();
    for name in list.split(',') {
        match name {
            "all" => {
                let all = Checks::all();
                checks.uninitialized |= all.uninitialized;
                checks.races |= all.races;
                checks.async_copies |= all.async_copies;
            }
            "none" if list == "none" => {}
            "uninitialized" => checks.uninitialized = true,
            "races" => checks.races = true,
            "async-copies" => checks.async_copies = true,
            "uninitialized-host-reads" => checks.uninitialized_host_reads = true,
            _ => return None,
        }
    }
    Some(checks)
}

fn positive<T: std::str::FromStr + PartialOrd + From<u8>>(value: &str) -> Option<T> {
    value.parse().ok().filter(|number| *number >= T::from(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn what_is_set_is_taken_and_the_rest_left_alone() {
        let settings = read(&[
            ("PATH", "x"),
            ("CUDA_EMULATOR_PROFILE", "sm_80"),
            ("CUDA_EMULATOR_STREAMS", "lazy"),
            ("CUDA_EMULATOR_CHECKS", "none"),
            ("CUDA_EMULATOR_THREADS", "2"),
        ])
        .unwrap();
        assert_eq!(settings.profile, "sm_80");
        assert_eq!(settings.streams, Streams::Lazy);
        assert_eq!((settings.checks, settings.threads), (Checks::none(), Some(2)));
        let default = read(&[]).unwrap();
        assert_eq!((default.streams, default.checks), (Streams::Serial, Checks::all()));
        assert!(!checks("races,async-copies").unwrap().uninitialized);
        assert!(checks("all,uninitialized-host-reads").unwrap().uninitialized_host_reads);
        assert_eq!(checks("races,none"), None);
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        for (name, value) in [
            ("CUDA_EMULATOR_STREAMS", "parallel"),
            ("CUDA_EMULATOR_CHECKS", ""),
            ("CUDA_EMULATOR_THREADS", "0"),
            ("CUDA_EMULATOR_BUDGET", "-1"),
            ("CUDA_EMULATOR_REPORT", ""),
            ("CUDA_EMULATOR_STREAM", "async"),
        ] {
            let message = read(&[(name, value)]).unwrap_err();
            assert!(message.starts_with(&format!("{name}={value:?} is not ")), "{message}");
        }
    }
}
