//! The machine on small kernels written in PTX by hand: scheduling, barriers, races, copies, faults.

mod barriers;
mod copies;
mod divergence;
mod faults;
mod grids;
mod races;
mod warps;

use crate::{
    Counters, Device, DeviceConfig, DevicePtr, Error, Fault, FaultKind, LaunchConfig, Params,
};

/// What a test kernel has to work with: `%rd0` is the address of `words` 32-bit words of zeros,
/// `%r0` is `%tid.x`, `%sh` is 1024 bytes of shared memory.
struct Case<'a> {
    body: &'a str,
    grid: u32,
    threads: u32,
    words: usize,
    config: DeviceConfig,
}

impl<'a> Case<'a> {
    fn new(body: &'a str, threads: u32) -> Self {
        let config =
            DeviceConfig { threads: 1, instruction_budget: 1 << 20, ..DeviceConfig::default() };
        Self { body, grid: 1, threads, words: 1024, config }
    }

    fn source(&self) -> String {
        let registers = ".reg .pred %p<8>;\n.reg .b16 %h<8>;\n.reg .b32 %r<32>;\n.reg .b64 %rd<16>;\n.reg .f32 %f<8>;";
        format!(
            ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 out)\n{{\n\
             {registers}\n.shared .align 16 .b8 sh[1024];\n.local .align 8 .b8 lo[64];\n\
             ld.param.u64 %rd0, [out];\nmov.u32 %r0, %tid.x;\n{}\nret;\n}}\n",
            self.body
        )
    }

    fn run(&self) -> Result<(Vec<u32>, Counters), Error> {
        let device = Device::new(self.config.clone());
        let module = device.load_ptx("case.ptx", &self.source())?;
        let out = device.alloc_named("out", self.words * 4)?;
        device.fill32(out, 0, self.words)?;
        let kernel = module.kernel("k")?;
        let shape = LaunchConfig::linear(self.grid, self.threads);
        let report = device.launch(&kernel, shape, &Params::new().ptr(out).finish())?;
        Ok((read(&device, out, self.words), report.counters))
    }

    fn words(&self) -> Vec<u32> {
        match self.run() {
            Ok((words, _)) => words,
            Err(error) => panic!("{error}"),
        }
    }

    fn fault(&self) -> Fault {
        match self.run() {
            Err(Error::Fault(fault)) => *fault,
            other => panic!("{other:?} is no fault"),
        }
    }

    /// Asserts the kind, and that the faulting line holds `text`.
    fn faults(&self, kind: FaultKind, text: &str) -> Fault {
        let fault = self.fault();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.instruction.contains(text), "{fault}");
        let line = self.source().lines().nth(fault.line as usize - 1).unwrap_or("").to_owned();
        assert!(line.contains(text), "line {} is `{line}`", fault.line);
        fault
    }
}

fn read(device: &Device, from: DevicePtr, words: usize) -> Vec<u32> {
    let mut bytes = vec![0; words * 4];
    device.read(from, &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()
}

/// Stores `%r1` of each thread to its word.
const STORE: &str =
    "mul.wide.u32 %rd1, %r0, 4; add.s64 %rd1, %rd0, %rd1; st.global.u32 [%rd1], %r1;";

fn body(text: &str) -> String {
    format!("{text}\n{STORE}")
}
