//! A progress bar on stderr, for work that turns out to take longer than two seconds.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const QUIET: Duration = Duration::from_secs(2);

/// Counts steps; shows itself once the work has taken two seconds, and then only on a terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    start: Instant,
    shown: bool,
}

impl Progress {
    pub(crate) fn new(steps: u64, what: &str) -> Self {
        Self::styled(steps, what, "{msg} {wide_bar} {pos}/{len} {eta}")
    }

    /// Counts tokens: shows how many there are each second, too.
    pub(crate) fn of_tokens(tokens: u64, what: &str) -> Self {
        // The number after the colon is that of decimals.
        let style = "{msg} {wide_bar} {pos}/{len} tokens, {per_sec:0}, {eta} left";
        Self::styled(tokens, what, style)
    }

    fn styled(steps: u64, what: &str, style: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Self { bar, start: Instant::now(), shown: false }
    }

    /// One step is done.
    pub(crate) fn step(&mut self) {
        self.advance(1);
    }

    /// So many steps are done.
    pub(crate) fn advance(&mut self, steps: u64) {
        self.bar.inc(steps);
        if !self.shown && self.start.elapsed() > QUIET {
            // Where stderr is no terminal, indicatif draws nothing.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown = true;
        }
    }

    /// How many there will be, when that is better known than at first.
    pub(crate) fn expect(&self, steps: u64) {
        self.bar.set_length(steps);
    }

    /// From now on the bar speaks of this.
    pub(crate) fn say(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
