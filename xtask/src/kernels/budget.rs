//! What kernels may use, and what their machine code must hold: checked on every build.

use super::manifest::{Kernel, Sass};

/// Kernels whose loads need not be of 16 bytes: none of them moves much.
const NARROW: [&str; 2] = ["gather_kv", "rotate"];

/// Registers that leave room for the CTAs that shared memory allows.
fn most_registers(kernel: &str) -> u32 {
    match kernel {
        name if name.starts_with("attention_") && name.contains("_d256_") => 255,
        name if name.starts_with("attention_") && name.ends_with("_m1") => 128,
        name if name.starts_with("attention_") => 168,
        name if name.starts_with("linear_") && name.ends_with("_many") => 168,
        _ => 64,
    }
}

/// Shared memory of a CTA on the architecture, in bytes (CUDA C++ programming guide, compute
/// capabilities).
fn most_shared(arch: &str) -> u32 {
    match arch {
        "sm_80" => 163 << 10,
        "sm_90a" | "sm_100a" => 227 << 10,
        _ => 99 << 10,
    }
}

/// CTAs of 128 threads that fit one multiprocessor: (registers are given out 256 at a time per
/// warp, shared memory has 1 KiB reserved per CTA; CUDA C++ programming guide, as above).
pub(crate) fn resident(arch: &str, kernel: &Kernel) -> u32 {
    let (shared, warps): (u32, u32) = match arch {
        "sm_80" => (164 << 10, 64),
        "sm_90a" | "sm_100a" => (228 << 10, 64),
        _ => (100 << 10, 48),
    };
    let registers = 4 * (kernel.registers * 32).next_multiple_of(256).max(256);
    (65536 / registers).min(shared / (kernel.shared + 1024)).min(warps / 4)
}

/// CTAs that must fit one multiprocessor: of decode kernels, so many that one can wait for memory while
/// another computes.
fn least_resident(arch: &str, kernel: &str) -> u32 {
    match (kernel.starts_with("attention_") && kernel.ends_with("_m1"), arch) {
        (false, _) => 1,
        (true, "sm_89" | "sm_120a") => 2,
        (true, _) if kernel.contains("_d256_") => 2,
        (true, _) => 3,
    }
}

/// What is wrong with a kernel; nothing, if all is well.
pub(crate) fn problems(arch: &str, kernel: &Kernel) -> Vec<String> {
    let mut problems = Vec::new();
    let mut at_most = |what: &str, value: u32, limit: u32| {
        if value > limit {
            problems.push(format!("{arch} {}: {value} {what}, at most {limit}", kernel.name));
        }
    };
    at_most("registers", kernel.registers, most_registers(&kernel.name));
    at_most("bytes spilled", kernel.spill_bytes, 0);
    at_most("bytes of stack", kernel.stack, 0);
    at_most("bytes of shared memory", kernel.shared, most_shared(arch));
    let (fit, wanted) = (resident(arch, kernel), least_resident(arch, &kernel.name));
    at_most("CTAs missing", wanted.saturating_sub(fit), 0);
    if let Some(sass) = kernel.sass {
        at_most("accesses to local memory", sass.local, 0);
        let attention = kernel.name.starts_with("attention_");
        // Those that multiply all as codes need no other products.
        let codes = kernel.name.starts_with("attention_fp8_");
        let products = attention || kernel.name.starts_with("linear_");
        if products && !codes && sass.hmma == 0 {
            problems.push(format!("{arch} {}: no HMMA", kernel.name));
        }
        let some_codes = kernel.name.starts_with("attention_fp8");
        if some_codes != (sass.qmma > 0) {
            problems.push(format!("{arch} {}: {} QMMA", kernel.name, sass.qmma));
        }
        if sass.wide_loads == 0 && !NARROW.contains(&kernel.name.as_str()) {
            problems.push(format!("{arch} {}: no 16-byte load", kernel.name));
        }
    }
    problems
}

/// Counts a disassembly's instructions, kernel by kernel.
pub(crate) fn count(sass: &str, kernels: &mut [Kernel]) {
    let mut current: Option<usize> = None;
    for line in sass.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix(".text.").and_then(|l| l.strip_suffix(':')) {
            current = kernels.iter().position(|k| k.name == name);
            if let Some(at) = current {
                kernels[at].sass = Some(Sass::default());
            }
            continue;
        }
        let (Some(at), Some(instruction)) = (current, instruction(line)) else { continue };
        let Some(sass) = &mut kernels[at].sass else { continue };
        let opcode = instruction.split([' ', '.']).next().unwrap_or_default();
        sass.total += 1;
        match opcode {
            "LDG" | "LDGSTS" => {
                sass.global_loads += 1;
                sass.wide_loads += u32::from(instruction.contains(".128"));
            }
            "HMMA" => sass.hmma += 1,
            "QMMA" => sass.qmma += 1,
            "LDL" | "STL" => sass.local += 1,
            _ => {}
        }
    }
}

/// The instruction of a line `/*0010*/  @P0 LDG.E.128 R4, …;`, without its predicate.
fn instruction(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("/*")?.split_once("*/")?.1.trim_start();
    let rest = match rest.strip_prefix('@') {
        Some(guarded) => guarded.split_once(' ')?.1.trim_start(),
        None => rest,
    };
    rest.starts_with(|c: char| c.is_ascii_uppercase()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_instructions_of_each_kernel() {
        let text = "\
.text.a:
        /*0000*/                   LDC R1, c[0x0][0x37c] ;
        /*0010*/              @!P0 LDGSTS.E.BYPASS.128 [R1], desc[UR4][R2.64] ;
        /*0020*/                   LDG.E R7, desc[UR4][R6.64] ;
.text.b:
        /*0000*/                   HMMA.16816.F32 R4, R8, R12, R4 ;
        /*0010*/                   LDL R1, [R2] ;
";
        let kernel = |name: &str| Kernel { name: name.into(), ..Kernel::default() };
        let mut kernels = [kernel("a"), kernel("b")];
        count(text, &mut kernels);
        let a = Sass { total: 3, global_loads: 2, wide_loads: 1, ..Sass::default() };
        let b = Sass { total: 2, hmma: 1, local: 1, ..Sass::default() };
        assert_eq!([kernels[0].sass, kernels[1].sass], [Some(a), Some(b)]);
        assert_eq!(problems("sm_89", &kernels[1]).len(), 2, "local memory, no wide load");
        kernels[1].name = "attention_fp8_b".into();
        assert_eq!(problems("sm_89", &kernels[1]).len(), 3, "and no QMMA");
    }

    #[test]
    fn residency_is_bounded_by_the_scarcest() {
        let kernel = |registers, shared| Kernel { registers, shared, ..Kernel::default() };
        assert_eq!(resident("sm_90a", &kernel(128, 54_464)), 4);
        assert_eq!(resident("sm_90a", &kernel(138, 40_000)), 3);
        assert_eq!(resident("sm_89", &kernel(128, 54_464)), 1);
        assert_eq!(resident("sm_89", &kernel(16, 0)), 12);
    }

    #[test]
    fn a_kernel_over_its_budget_is_found() {
        let spills = Kernel { name: "merge_chunks".into(), spill_bytes: 8, ..Kernel::default() };
        assert_eq!(problems("sm_80", &spills).len(), 1);
        let mut hungry = Kernel {
            name: "attention_e4m3_e4m3_d128_m2".into(),
            registers: 200,
            shared: 100 << 10,
            ..Kernel::default()
        };
        assert_eq!(problems("sm_89", &hungry).len(), 3, "none fits");
        assert_eq!(problems("sm_90a", &hungry).len(), 1);
        (hungry.name, hungry.registers) = ("attention_e4m3_e4m3_d64_m1".into(), 128);
        hungry.shared = 54 << 10;
        assert_eq!(problems("sm_89", &hungry).len(), 1, "only one fits");
        assert_eq!(problems("sm_90a", &hungry).len(), 0);
    }
}
