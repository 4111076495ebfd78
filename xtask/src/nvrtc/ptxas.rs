//! ptxas: whether PTX assembles, the least `.version` it does with, and what it uses per kernel.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use super::Toolkit;
use crate::repo;

/// The PTX ISA versions that a 12.x driver of some age accepts, oldest first (PTX ISA, "Release
/// Notes"). Below 7.0 nothing of ours assembles.
const VERSIONS: [&str; 17] = [
    "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "7.7", "7.8", "8.0", "8.1", "8.2", "8.3",
    "8.4", "8.5", "8.6", "8.7",
];

/// What one kernel takes, as `ptxas -v` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) kernel: String,
    pub(crate) registers: u32,
    /// Bytes stored to and loaded from local memory because registers ran out.
    pub(crate) spill_bytes: u32,
    /// Bytes of local memory per thread.
    pub(crate) stack: u32,
    /// Bytes of static shared memory per CTA.
    pub(crate) shared: u32,
}

/// An assembled module.
pub(crate) struct Assembled {
    pub(crate) cubin: Vec<u8>,
    pub(crate) usage: Vec<Usage>,
}

/// Assembles for `arch`; the error is ptxas's own.
pub(crate) fn assemble(toolkit: &Toolkit, ptx: &str, arch: &str) -> Result<Assembled> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = repo::target_dir().join("cuda").join("work");
    fs::create_dir_all(&dir)?;
    let stem = format!("{}-{number}", std::process::id());
    let (input, out) = (dir.join(format!("{stem}.ptx")), dir.join(format!("{stem}.cubin")));
    fs::write(&input, ptx)?;
    let mut command = Command::new(toolkit.ptxas());
    command.args(["-v", "-arch", arch, "-o"]).arg(&out).arg(&input);
    let result = command.output().context("cannot start ptxas");
    let cubin = fs::read(&out);
    // The files are scratch; one that is left over does no harm.
    let _ = (fs::remove_file(&input), fs::remove_file(&out));
    let result = result?;
    let messages = String::from_utf8_lossy(&result.stderr);
    if !result.status.success() {
        bail!("ptxas: {}", messages.trim());
    }
    Ok(Assembled { cubin: cubin.context("ptxas left no cubin")?, usage: usage(&messages)? })
}

/// Takes out what says nothing to a driver: comments (each inline instruction stands between two)
/// and empty lines, and the hints that say which bytes of a vector load are used, which ask for PTX
/// 8.3 and help only a memory checker. The comments at the beginning stay.
pub(crate) fn without_hints(ptx: &str) -> String {
    let needless = |line: &str| {
        let line = line.trim_start();
        line.is_empty() || line.starts_with("//") || line.starts_with(".pragma \"used_bytes_mask")
    };
    let head = ptx.find(".version ").unwrap_or(0);
    let rest = ptx[head..].split_inclusive('\n').filter(|line| !needless(line));
    ptx[..head].to_owned() + &rest.collect::<String>()
}

/// The module with the least `.version` that ptxas assembles, and that version: the older, the
/// more drivers take it. `hint` is where to look first.
pub(crate) fn lower_version(
    toolkit: &Toolkit,
    ptx: &str,
    arch: &str,
    hint: Option<&str>,
) -> Result<(String, String, Assembled)> {
    let at = ptx.find(".version ").context("the PTX has no .version")?;
    let end = at + ptx[at..].find('\n').context("the PTX ends in its .version")?;
    let emitted = ptx[at + 9..end].trim();
    let with = |version: &str| format!("{}.version {version}{}", &ptx[..at], &ptx[end..]);
    let try_at = |index: usize| assemble(toolkit, &with(VERSIONS[index]), arch).ok();
    // What assembles at one version does at every later one, so the first that works is the least;
    // too old a version fails at once, while success takes as long as assembling does.
    let mut index = hint.and_then(|hint| VERSIONS.iter().position(|v| *v == hint)).unwrap_or(0);
    let mut found = try_at(index);
    while found.is_some() && index > 0 {
        let Some(older) = try_at(index - 1) else { break };
        (found, index) = (Some(older), index - 1);
    }
    while found.is_none() && index + 1 < VERSIONS.len() {
        index += 1;
        found = try_at(index);
    }
    match found {
        Some(assembled) => Ok((with(VERSIONS[index]), VERSIONS[index].to_owned(), assembled)),
        None => Ok((ptx.to_owned(), emitted.to_owned(), assemble(toolkit, ptx, arch)?)),
    }
}

/// Reads `ptxas -v`.
fn usage(messages: &str) -> Result<Vec<Usage>> {
    let mut all: Vec<Usage> = Vec::new();
    for line in messages.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            let kernel = rest.split('\'').next().unwrap_or_default().to_owned();
            all.push(Usage { kernel, ..Usage::default() });
            continue;
        }
        let Some(current) = all.last_mut() else { continue };
        if line.contains("bytes stack frame") {
            current.stack = number_before(line, " bytes stack frame")?;
            current.spill_bytes = number_before(line, " bytes spill stores")?
                + number_before(line, " bytes spill loads")?;
        } else if line.contains(" registers") {
            current.registers = number_before(line, " registers")?;
            if line.contains(" bytes smem") {
                current.shared = number_before(line, " bytes smem")?;
            }
        }
    }
    Ok(all)
}

fn number_before(line: &str, unit: &str) -> Result<u32> {
    let head = line.split(unit).next().unwrap_or_default();
    let number = head.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    number.parse().with_context(|| format!("no number before {unit:?} in {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_go_and_all_else_stays() {
        let text = "//\n// Made by NVRTC\n\n.version 8.1\n\n\t// begin inline asm\n\ta; // b\n\
                    \t.pragma \"used_bytes_mask 3840\";\n\t.pragma \"nounroll\";\n";
        let left = "//\n// Made by NVRTC\n\n.version 8.1\n\ta; // b\n\t.pragma \"nounroll\";\n";
        assert_eq!(without_hints(text), left);
    }

    #[test]
    fn reads_what_ptxas_says() {
        let text = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'add' for 'sm_89'
ptxas info    : Function properties for add
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 2048 bytes smem, 400 bytes cmem[0]
ptxas info    : Compiling entry function 'sub' for 'sm_89'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 0 barriers, 380 bytes cmem[0]
";
        let add =
            Usage { kernel: "add".into(), registers: 40, spill_bytes: 16, stack: 8, shared: 2048 };
        let sub = Usage { kernel: "sub".into(), registers: 10, ..Usage::default() };
        assert_eq!(usage(text).unwrap(), [add, sub]);
    }
}
