//! Runs a broken kernel and its clean twin. The faulty line carries the comment `//!`.

use cuda_emulator::{DeviceConfig, Fault, FaultKind};

use crate::common::launch::{device_with, fault, upload};
use crate::common::program::Program;

/// Marks the line that a report must name.
pub(crate) const HERE: &str = "//!";

/// Words of the input and of the output, both written before the launch.
pub(crate) const WORDS: usize = 64;

/// A kernel in two versions that differ in what the fault is.
pub(crate) struct Seeded {
    pub(crate) broken: Program,
    pub(crate) clean: Program,
}

impl Seeded {
    /// One CTA; `broken` and `clean` stand where the body has `@@`.
    pub(crate) fn new(threads: u32, body: &str, broken: &str, clean: &str) -> Self {
        assert!(body.contains("@@"), "no place for the fault");
        let program = |part| Program::new(threads, &body.replace("@@", part));
        Self { broken: program(broken), clean: program(clean) }
    }

    /// More CTAs.
    pub(crate) fn grid(mut self, ctas: u32) -> Self {
        self.broken = self.broken.grid(ctas);
        self.clean = self.clean.grid(ctas);
        self
    }

    /// Module-scope declarations.
    pub(crate) fn module(mut self, text: &str) -> Self {
        self.broken = self.broken.module(text);
        self.clean = self.clean.module(text);
        self
    }

    /// Both versions: the fault, after the kind and the place were compared.
    pub(crate) fn caught(&self, kind: FaultKind, cta: u32, thread: u32) -> Fault {
        let found = self.caught_by(kind);
        let place = (found.cta, found.thread);
        assert_eq!(place, ([cta, 0, 0], [thread, 0, 0]), "{found}");
        assert_eq!((found.warp, found.lane), (thread / 32, thread % 32), "{found}");
        found
    }

    /// As [`Seeded::caught`], whatever the thread.
    pub(crate) fn caught_by(&self, kind: FaultKind) -> Fault {
        let found = self.found();
        assert_eq!(found.kind, kind, "{found}");
        let line = self.broken.line(HERE);
        assert_eq!(found.line, line, "the line of `{HERE}`: {found}");
        found
    }

    /// The kind alone, where a fault may be called by two names or has no one line.
    pub(crate) fn kind(&self) -> FaultKind {
        self.found().kind
    }

    /// Runs the broken version twice and the clean one.
    pub(crate) fn found(&self) -> Fault {
        // Few instructions suffice for all of them.
        let config = DeviceConfig { instruction_budget: 20_000, ..DeviceConfig::default() };
        let run = |program: &Program| {
            let device = device_with(config.clone());
            let input = upload(&device, "in", &(0..WORDS as u32).collect::<Vec<_>>());
            let output = upload(&device, "out", &[0u32; WORDS]);
            program.launch(&device, input, output)
        };
        let found = fault(run(&self.broken));
        assert_eq!((found.kernel.as_str(), found.file.as_str()), ("main", "main.ptx"));
        let message = found.to_string();
        assert!(message.starts_with(&format!("main.ptx:{}: ", found.line)), "{message}");
        // The same again: reports do not depend on how the threads of the host run.
        assert_eq!(fault(run(&self.broken)), found);
        if let Err(error) = run(&self.clean) {
            panic!("false alarm: {error}\n{}", self.clean.body);
        }
        found
    }
}
