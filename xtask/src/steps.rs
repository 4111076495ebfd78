//! A run of named steps: each is shown, timed and counted, and one failure does not hide the next.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What a step came to.
enum Outcome {
    Passed,
    Failed(String),
    Skipped { why: String, allowed: bool },
}

/// The steps so far.
pub(crate) struct Steps {
    done: Vec<(String, Outcome, Duration)>,
    ci: bool,
}

impl Steps {
    /// With `CI=true` in the environment a step that had to be skipped counts as failed.
    pub(crate) fn new() -> Self {
        Self::with_ci(std::env::var("CI").is_ok_and(|v| v == "true" || v == "1"))
    }

    fn with_ci(ci: bool) -> Self {
        Self { done: Vec::new(), ci }
    }

    /// Runs one step, shows its name before and its error after.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        println!("\n=== {name}");
        let started = Instant::now();
        let outcome = match step() {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                println!("error: {error:#}");
                Outcome::Failed(format!("{error:#}"))
            }
        };
        self.done.push((name.to_owned(), outcome, started.elapsed()));
    }

    /// Records a step that cannot run here; in CI that is a failure.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        self.push_skip(name, why, false);
    }

    /// Records a step that cannot run here and that CI does without.
    pub(crate) fn skip_allowed(&mut self, name: &str, why: &str) {
        self.push_skip(name, why, true);
    }

    fn push_skip(&mut self, name: &str, why: &str, allowed: bool) {
        println!("\n=== {name}\nskipped: {why}");
        let outcome = Outcome::Skipped { why: why.to_owned(), allowed };
        self.done.push((name.to_owned(), outcome, Duration::ZERO));
    }

    /// Prints what each step came to, then the counts on a line of their own.
    pub(crate) fn finish(self) -> Result<()> {
        println!();
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (name, outcome, time) in &self.done {
            let seconds = time.as_secs_f64();
            match outcome {
                Outcome::Passed => {
                    passed += 1;
                    println!("passed   {seconds:>7.1} s  {name}");
                }
                Outcome::Failed(error) => {
                    failed += 1;
                    let first = error.lines().next().unwrap_or_default();
                    println!("FAILED   {seconds:>7.1} s  {name}: {first}");
                }
                Outcome::Skipped { why, allowed: false } if self.ci => {
                    failed += 1;
                    println!("FAILED      0.0 s  {name}: skipped in CI: {why}");
                }
                Outcome::Skipped { why, .. } => {
                    skipped += 1;
                    println!("skipped            {name}: {why}");
                }
            }
        }
        let skips = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        println!("\n{passed} passed, {failed} failed{skips}");
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.done.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_the_run_and_the_rest_still_runs() {
        let mut steps = Steps::with_ci(false);
        let mut ran = 0;
        steps.run("bad", || bail!("no"));
        steps.run("good", || {
            ran += 1;
            Ok(())
        });
        assert_eq!(ran, 1);
        assert!(steps.finish().is_err());
    }

    #[test]
    fn a_skip_fails_only_in_ci_and_only_where_it_is_not_allowed() {
        for (ci, allowed, ok) in
            [(false, false, true), (false, true, true), (true, false, false), (true, true, true)]
        {
            let mut steps = Steps::with_ci(ci);
            steps.push_skip("step", "no such tool", allowed);
            assert_eq!(steps.finish().is_ok(), ok, "ci {ci}, allowed {allowed}");
        }
    }
}
