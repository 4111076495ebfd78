//! One instruction, many operands: a kernel whose every thread loads its row, runs the body, and
//! stores the results. The body is written in the test; what it should give too.

use std::fmt::Write;

use cuda_emulator::{Device, DeviceConfig, LaunchConfig, Params, Profile};

use super::exact::{F16, F32, F64, Format};
use super::launch::{device, device_with, download, to_bytes};
use super::values::Row;

/// How two results are compared, by the bits got and the bits wanted.
pub(crate) type Same = fn(u64, u64) -> bool;

pub(crate) fn bits(got: u64, want: u64) -> bool {
    got == want
}
fn nan_or_bits(format: Format, got: u64, want: u64) -> bool {
    if format.is_nan(want) { format.is_nan(got) } else { got == want }
}
/// Any NaN for a NaN: PTX leaves the payload of f32 and f64 results open.
pub(crate) fn f16(got: u64, want: u64) -> bool {
    nan_or_bits(F16, got, want)
}
pub(crate) fn f32(got: u64, want: u64) -> bool {
    nan_or_bits(F32, got, want)
}
pub(crate) fn f64(got: u64, want: u64) -> bool {
    nan_or_bits(F64, got, want)
}

/// Runs instructions and collects what differs, so that one failure does not hide another.
pub(crate) struct Checker {
    device: Device,
    failures: Vec<String>,
    cases: usize,
    target: &'static str,
}

/// Failures listed per instruction.
const SHOWN: usize = 4;

impl Checker {
    pub(crate) fn new() -> Self {
        Self { device: device(), failures: Vec::new(), cases: 0, target: "sm_90" }
    }

    /// For what only `sm_100a` has.
    pub(crate) fn blackwell() -> Self {
        let config = DeviceConfig { profile: Profile::sm_100(), ..DeviceConfig::default() };
        Self { device: device_with(config), target: "sm_100a", ..Self::new() }
    }

    /// Checks one result of `body` on every row.
    pub(crate) fn one(
        &mut self,
        body: &str,
        ins: &str,
        out: &str,
        rows: &[Row],
        same: Same,
        want: impl Fn(Row) -> u64,
    ) {
        self.all(body, ins, out, rows, same, |row| [want(row), 0, 0, 0]);
    }

    /// Checks all results of `body` on every row. `ins` and `outs` give the register of each operand:
    /// `h` 16 bits, `r` 32, `l` 64, `p` a predicate. In the body the operands are `$a $b $c $e`, the
    /// results `$d $f $g $h`; `%t0`.. `%u0`.. `%v0`.. `%q0`.. are free 32-bit, 64-bit, 16-bit and
    /// predicate registers.
    pub(crate) fn all(
        &mut self,
        body: &str,
        ins: &str,
        outs: &str,
        rows: &[Row],
        same: Same,
        want: impl Fn(Row) -> Row,
    ) {
        self.judge(body, ins, outs, rows, |row, got| {
            let want = want(row);
            (0..outs.len()).any(|i| !same(got[i], want[i])).then_some(want)
        });
    }

    /// Shows every row and its results to `judge`, which answers what was wanted where they are wrong.
    pub(crate) fn judge(
        &mut self,
        body: &str,
        ins: &str,
        outs: &str,
        rows: &[Row],
        judge: impl Fn(Row, Row) -> Option<Row>,
    ) {
        let got = match self.run(body, ins, outs, rows) {
            Ok(got) => got,
            Err(error) => return self.failures.push(format!("{body}\n    {error}")),
        };
        self.cases += rows.len();
        let mut wrong = 0;
        for (row, got) in rows.iter().zip(&got) {
            let Some(want) = judge(*row, *got) else { continue };
            wrong += 1;
            if wrong <= SHOWN {
                self.failures.push(format!(
                    "{body}\n    of {:x?}: got {:x?}, want {:x?}",
                    &row[..ins.len()],
                    &got[..outs.len()],
                    &want[..outs.len()]
                ));
            }
        }
        if wrong > SHOWN {
            self.failures.push(format!("{body}\n    {wrong} of {} rows in all", rows.len()));
        }
    }

    /// The results of `body` on every row.
    fn run(&self, body: &str, ins: &str, outs: &str, rows: &[Row]) -> Result<Vec<Row>, String> {
        let text = kernel(body, ins, outs, self.target);
        dump(&text);
        self.execute(&text, rows, outs.len()).map_err(|error| error.to_string())
    }

    fn execute(
        &self,
        text: &str,
        rows: &[Row],
        outs: usize,
    ) -> Result<Vec<Row>, cuda_emulator::Error> {
        let device = &self.device;
        let module = device.load_ptx("op.ptx", text)?;
        // Whole warps: the last row fills up.
        let n = rows.len().next_multiple_of(32);
        let last = *rows.last().expect("a row");
        let filled = rows.iter().copied().chain(std::iter::repeat(last)).take(n);
        let flat: Vec<u64> = filled.flatten().collect();
        let input = device.alloc(flat.len() * 8)?;
        let output = device.alloc(n * 32)?;
        device.write(input, &to_bytes(&flat))?;
        device.fill8(output, 0, n * 32)?;
        let params = Params::new().ptr(input).ptr(output).finish();
        let config =
            LaunchConfig { grid: [n as u32 / 32, 1, 1], block: [32, 1, 1], shared_bytes: 0 };
        device.launch(&module.kernel("op")?, config, &params)?;
        let got: Vec<u64> = download(device, output, n * 4);
        device.free(input)?;
        device.free(output)?;
        let row = |x: &[u64]| -> Row { std::array::from_fn(|i| if i < outs { x[i] } else { 0 }) };
        Ok(got.chunks_exact(4).take(rows.len()).map(row).collect())
    }

    /// Fails the test if anything differed.
    pub(crate) fn finish(self) {
        assert!(self.failures.is_empty(), "\n{}\n", self.failures.join("\n"));
        assert!(self.cases > 0, "nothing was compared");
    }
}

fn kernel(body: &str, ins: &str, outs: &str, target: &str) -> String {
    let mut text = format!(
        ".version 8.8\n.target {target}\n.address_size 64\n\n\
         .visible .entry op(.param .u64 in, .param .u64 out)\n{{\n\
         .reg .pred %q<8>, %i_p<4>, %o_p<4>;\n.reg .b16 %v<8>, %i_h<4>, %o_h<4>;\n\
         .reg .b32 %t<16>, %i_r<4>, %o_r<4>, %w<4>;\n.reg .b64 %u<16>, %i_l<4>, %o_l<4>, %at<4>;\n\
         ld.param.u64 %at0, [in];\nld.param.u64 %at1, [out];\n\
         mov.u32 %w0, %ctaid.x;\nmov.u32 %w1, %tid.x;\nmad.lo.u32 %w0, %w0, 32, %w1;\n\
         mul.wide.u32 %at2, %w0, 32;\nadd.u64 %at0, %at0, %at2;\nadd.u64 %at1, %at1, %at2;\n"
    );
    let mut body = body.to_owned();
    for (i, (kind, name)) in ins.chars().zip(["$a", "$b", "$c", "$e"]).enumerate() {
        let at = i * 8;
        let _ = match kind {
            'p' => writeln!(text, "ld.global.u32 %w2, [%at0+{at}];\nsetp.ne.u32 %i_p{i}, %w2, 0;"),
            'h' => writeln!(text, "ld.global.u16 %i_h{i}, [%at0+{at}];"),
            'r' => writeln!(text, "ld.global.u32 %i_r{i}, [%at0+{at}];"),
            'l' => writeln!(text, "ld.global.u64 %i_l{i}, [%at0+{at}];"),
            _ => panic!("no register of kind {kind}"),
        };
        body = body.replace(name, &format!("%i_{kind}{i}"));
    }
    let results: Vec<_> = outs.chars().zip(["$d", "$f", "$g", "$h"]).enumerate().collect();
    for (i, (kind, name)) in &results {
        body = body.replace(name, &format!("%o_{kind}{i}"));
    }
    let _ = writeln!(text, "{body}");
    for (i, (kind, _)) in results {
        let at = i * 8;
        let _ = match kind {
            'p' => writeln!(text, "selp.u32 %w2, 1, 0, %o_p{i};\nst.global.u32 [%at1+{at}], %w2;"),
            'h' => writeln!(text, "st.global.u16 [%at1+{at}], %o_h{i};"),
            'r' => writeln!(text, "st.global.u32 [%at1+{at}], %o_r{i};"),
            'l' => writeln!(text, "st.global.u64 [%at1+{at}], %o_l{i};"),
            _ => panic!("no register of kind {kind}"),
        };
    }
    text + "ret;\n}\n"
}

/// With `CUDA_EMULATOR_DUMP` set to a folder, every template lands there: NVIDIA's assembler can then
/// say whether the tests ask for legal PTX.
pub(crate) fn dump(text: &str) {
    use std::hash::{DefaultHasher, Hash, Hasher};
    if let Ok(folder) = std::env::var("CUDA_EMULATOR_DUMP") {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let path = format!("{folder}/{:016x}.ptx", hasher.finish());
        std::fs::write(path, text).expect("a folder to write to");
    }
}
