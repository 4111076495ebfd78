//! A whole kernel written in the test: declarations and a body around which stand the registers, the
//! addresses of an input and an output, and each thread's own places in them.

use cuda_emulator::{Device, DevicePtr, Error, LaunchReport, Module};

use super::check::dump;
use super::launch::{Arg, Plain, download, launch, upload};

/// A kernel `main(in, out)`. In the body stand ready:
/// `%in`, `%out` the two pointers; `%me` the thread's index in its CTA (x), `%cta` the CTA's; `%src`,
/// `%dst` the addresses of word `%me` (of CTA 0's row; use `%all` = global index for more CTAs).
/// Free registers: `%p<16>` predicates, `%h<32>` 16 bits, `%r<64>` 32 bits, `%l<32>` 64 bits.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) target: &'static str,
    /// Module scope: `.global`, `.const`, `.extern .shared`.
    pub(crate) module: String,
    pub(crate) body: String,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) shared_bytes: u32,
}

/// What words hold that no kernel wrote.
pub(crate) const UNTOUCHED: u32 = 0xdead_beef;

impl Program {
    /// One CTA of `threads` threads.
    pub(crate) fn new(threads: u32, body: &str) -> Self {
        Self {
            target: "sm_90",
            module: String::new(),
            body: body.to_owned(),
            grid: [1, 1, 1],
            block: [threads, 1, 1],
            shared_bytes: 0,
        }
    }
    pub(crate) fn module(mut self, text: &str) -> Self {
        self.module = text.to_owned();
        self
    }
    pub(crate) fn grid(mut self, ctas: u32) -> Self {
        self.grid = [ctas, 1, 1];
        self
    }
    pub(crate) fn dynamic_shared(mut self, bytes: u32) -> Self {
        self.shared_bytes = bytes;
        self
    }

    pub(crate) fn text(&self) -> String {
        format!(
            ".version 8.8\n.target {}\n.address_size 64\n{}\n\
             .visible .entry main(.param .u64 in_p, .param .u64 out_p)\n{{\n\
             .reg .pred %p<16>;\n.reg .b16 %h<32>;\n.reg .b32 %r<64>, %me, %cta, %all, %size;\n\
             .reg .b64 %l<32>, %in, %out, %src, %dst, %step;\n\
             ld.param.u64 %in, [in_p];\nld.param.u64 %out, [out_p];\nmov.u32 %me, %tid.x;\n\
             mov.u32 %cta, %ctaid.x;\nmov.u32 %size, %ntid.x;\nmad.lo.u32 %all, %cta, %size, %me;\n\
             mul.wide.u32 %step, %me, 4;\nadd.u64 %src, %in, %step;\nadd.u64 %dst, %out, %step;\n\
             {}\nret;\n}}\n",
            self.target, self.module, self.body
        )
    }

    /// The line of the text that holds `marker`, from 1.
    pub(crate) fn line(&self, marker: &str) -> u32 {
        let text = self.text();
        let mut found = text.lines().enumerate().filter(|(_, line)| line.contains(marker));
        let (line, _) = found.next().unwrap_or_else(|| panic!("no line has {marker}"));
        assert!(found.next().is_none(), "two lines have {marker}");
        line as u32 + 1
    }

    pub(crate) fn load(&self, device: &Device) -> Result<Module, Error> {
        let text = self.text();
        dump(&text);
        device.load_ptx("main.ptx", &text)
    }

    /// Runs on given allocations.
    pub(crate) fn launch(
        &self,
        device: &Device,
        input: DevicePtr,
        output: DevicePtr,
    ) -> Result<LaunchReport, Error> {
        let module = self.load(device)?;
        let args = [Arg::Ptr(input), Arg::Ptr(output)];
        launch(device, &module, "main", self.grid, self.block, self.shared_bytes, &args)
    }

    /// Uploads `input`, runs, gives the `len` words of the output.
    pub(crate) fn run<T: Plain>(
        &self,
        device: &Device,
        input: &[T],
        len: usize,
    ) -> Result<Vec<u32>, Error> {
        self.report(device, input, len).map(|(words, _)| words)
    }

    /// The output and what was counted.
    pub(crate) fn report<T: Plain>(
        &self,
        device: &Device,
        input: &[T],
        len: usize,
    ) -> Result<(Vec<u32>, LaunchReport), Error> {
        let from = upload(device, "in", input);
        let to = upload(device, "out", &vec![UNTOUCHED; len]);
        let report = self.launch(device, from, to)?;
        let words = download(device, to, len);
        device.free(from)?;
        device.free(to)?;
        Ok((words, report))
    }

    /// [`Program::run`] where nothing may go wrong.
    pub(crate) fn output<T: Plain>(&self, device: &Device, input: &[T], len: usize) -> Vec<u32> {
        self.run(device, input, len).unwrap_or_else(|error| panic!("{error}\n{}", self.body))
    }
}
