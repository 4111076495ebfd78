//! The report: one line of JSON for each launch, into the file that `CUDA_EMULATOR_REPORT` names.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use super::abi::say;
use super::machine::{LaunchConfig, LaunchReport};
use super::table::lock;
use crate::{Class, Counters, GlobalTraffic, SharedTraffic};

/// Where reports go, if anywhere.
pub(super) struct Report(Option<Mutex<File>>);

impl Report {
    /// Makes the file anew.
    pub(super) fn open(path: Option<PathBuf>) -> Result<Report, String> {
        let Some(path) = path else { return Ok(Report(None)) };
        match File::create(&path) {
            Ok(file) => Ok(Report(Some(Mutex::new(file)))),
            Err(error) => Err(format!("CUDA_EMULATOR_REPORT={path:?} cannot be written: {error}")),
        }
    }

    pub(super) fn launch(&self, kernel: &str, shape: &LaunchConfig, report: &LaunchReport) {
        let Some(file) = &self.0 else { return };
        let line = line(kernel, shape, &report.counters);
        if let Err(error) = lock(file).write_all(line.as_bytes()) {
            say(format_args!("CUDA_EMULATOR_REPORT cannot be written: {error}"));
        }
    }
}

/// One launch. The names are those of [`Counters`]; numbers and names only, so that nothing but the
/// kernel's name could need escapes, and a PTX identifier needs none.
fn line(kernel: &str, shape: &LaunchConfig, counters: &Counters) -> String {
    let mut line = format!(
        "{{\"kernel\":\"{kernel}\",\"grid\":{:?},\"block\":{:?},\"dynamic_shared_bytes\":{},\
         \"ctas\":{},\"warp_instructions\":{},\"thread_instructions\":{}",
        shape.grid,
        shape.block,
        shape.shared_bytes,
        counters.ctas,
        counters.warp_instructions,
        counters.thread_instructions
    );
    put_global(&mut line, "global_load", counters.global_load);
    put_global(&mut line, "global_store", counters.global_store);
    put_global(&mut line, "global_atomic", counters.global_atomic);
    put_shared(&mut line, "shared_load", counters.shared_load);
    put_shared(&mut line, "shared_store", counters.shared_store);
    put(
        &mut line,
        &[
            ("mma", counters.mma),
            ("mma_macs", counters.mma_macs),
            ("branches", counters.branches),
            ("divergent_branches", counters.divergent_branches),
            ("barriers", counters.barriers),
        ],
    );
    put_classes(&mut line, counters);
    put_sites(&mut line, counters);
    line.push_str("}\n");
    line
}

/// Writing to a `String` cannot fail.
fn put(line: &mut String, pairs: &[(&str, u64)]) {
    for (name, value) in pairs {
        let _ = write!(line, ",\"{name}\":{value}");
    }
}

fn put_global(line: &mut String, name: &str, traffic: GlobalTraffic) {
    let GlobalTraffic { requests, bytes, sectors } = traffic;
    let _ = write!(
        line,
        ",\"{name}\":{{\"requests\":{requests},\"bytes\":{bytes},\"sectors\":{sectors}}}"
    );
}

fn put_shared(line: &mut String, name: &str, traffic: SharedTraffic) {
    let SharedTraffic { requests, bytes, wavefronts, conflicts } = traffic;
    let _ = write!(line, ",\"{name}\":{{\"requests\":{requests},\"bytes\":{bytes}");
    put(line, &[("wavefronts", wavefronts), ("conflicts", conflicts)]);
    line.push('}');
}

fn put_classes(line: &mut String, counters: &Counters) {
    line.push_str(",\"classes\":{");
    let mut between = "";
    for class in Class::ALL {
        let count = counters.class(class);
        let (warp, thread) = (count.warp, count.thread);
        let _ = write!(line, "{between}\"{class:?}\":{{\"warp\":{warp},\"thread\":{thread}}}");
        between = ",";
    }
    line.push('}');
}

fn put_sites(line: &mut String, counters: &Counters) {
    line.push_str(",\"sites\":[");
    for (index, site) in counters.sites.iter().enumerate() {
        let between = if index > 0 { "," } else { "" };
        let _ = write!(line, "{between}{{\"line\":{},\"class\":\"{:?}\"", site.line, site.class);
        put(
            line,
            &[
                ("warp", site.warp),
                ("thread", site.thread),
                ("requests", site.requests),
                ("bytes", site.bytes),
                ("sectors", site.sectors),
                ("extra", site.extra),
            ],
        );
        line.push('}');
    }
    line.push(']');
}
