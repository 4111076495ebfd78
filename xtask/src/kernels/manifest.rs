//! `attn-kernels/ptx/manifest.json`: what each shipped file holds, and what each kernel uses.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::budget;

/// One shipped file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct File {
    pub(crate) arch: String,
    pub(crate) name: String,
    /// The PTX ISA version that a driver must know.
    pub(crate) version: String,
    pub(crate) kernels: Vec<Kernel>,
}

/// One kernel of a file, from ptxas and from its SASS.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) registers: u32,
    pub(crate) spill_bytes: u32,
    pub(crate) stack: u32,
    /// Static and dynamic shared memory of a CTA.
    pub(crate) shared: u32,
    pub(crate) sass: Option<Sass>,
}

/// Instructions in a kernel's SASS, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sass {
    pub(crate) total: u32,
    /// Loads from global memory into registers or shared memory, and those of 16 bytes.
    pub(crate) global_loads: u32,
    pub(crate) wide_loads: u32,
    /// Tensor core products of f16 and bf16, and of FP8.
    pub(crate) hmma: u32,
    pub(crate) qmma: u32,
    /// Local memory loads and stores.
    pub(crate) local: u32,
}

/// The oldest CUDA version and Linux driver branch that take a PTX ISA version (CUDA release notes).
pub(crate) fn driver(version: &str) -> Option<(&'static str, u32)> {
    let drivers = [
        ("7.0", "11.0", 450),
        ("7.1", "11.1", 455),
        ("7.2", "11.2", 460),
        ("7.3", "11.3", 465),
        ("7.4", "11.4", 470),
        ("7.5", "11.5", 495),
        ("7.6", "11.6", 510),
        ("7.7", "11.7", 515),
        ("7.8", "11.8", 520),
        ("8.0", "12.0", 525),
        ("8.1", "12.1", 530),
        ("8.2", "12.2", 535),
        ("8.3", "12.3", 545),
        ("8.4", "12.4", 550),
        ("8.5", "12.5", 555),
        ("8.6", "12.7", 565),
        ("8.7", "12.8", 570),
        ("8.8", "12.9", 575),
    ];
    drivers.iter().find(|(v, ..)| *v == version).map(|&(_, cuda, driver)| (cuda, driver))
}

/// As JSON, one kernel per line: a difference shows which.
pub(crate) fn write(toolkit: &str, files: &[File]) -> Result<String> {
    let mut text = format!("{{\"toolkit\": {}, \"files\": [", json!(toolkit));
    for (i, file) in files.iter().enumerate() {
        let (cuda, driver) = driver(&file.version)
            .with_context(|| format!("PTX version {} has no known driver", file.version))?;
        text.push_str(if i == 0 { "\n" } else { ",\n" });
        text.push_str(&format!(
            "{{\"arch\": {}, \"name\": {}, \"ptx_version\": {}, \"cuda\": {}, \"driver\": {driver}, \"kernels\": [",
            json!(file.arch), json!(file.name), json!(file.version), json!(cuda)
        ));
        for (j, kernel) in file.kernels.iter().enumerate() {
            text.push_str(if j == 0 { "\n" } else { ",\n" });
            let mut map = kernel_json(kernel);
            // For the reader: it follows from the rest.
            map.insert("ctas_per_sm".into(), json!(budget::resident(&file.arch, kernel)));
            text.push_str(&format!("  {}", Value::Object(map)));
        }
        text.push_str("\n]}");
    }
    text.push_str("\n]}\n");
    Ok(text)
}

fn kernel_json(kernel: &Kernel) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("name".into(), json!(kernel.name));
    map.insert("registers".into(), json!(kernel.registers));
    map.insert("spill_bytes".into(), json!(kernel.spill_bytes));
    map.insert("stack".into(), json!(kernel.stack));
    map.insert("shared".into(), json!(kernel.shared));
    if let Some(s) = kernel.sass {
        map.insert(
            "sass".into(),
            json!([s.total, s.global_loads, s.wide_loads, s.hmma, s.qmma, s.local]),
        );
    }
    map
}

/// Reads what [`write()`] wrote.
pub(crate) fn read(text: &str) -> Result<Vec<File>> {
    let value: Value = serde_json::from_str(text).context("manifest.json is no JSON")?;
    let list = |v: &Value, key: &str| -> Result<Vec<Value>> {
        v[key].as_array().cloned().with_context(|| format!("manifest.json has no {key}"))
    };
    let text = |v: &Value, key: &str| -> Result<String> {
        let found = v[key].as_str().map(str::to_owned);
        found.with_context(|| format!("manifest.json: {key} is no text"))
    };
    let mut files = Vec::new();
    for file in list(&value, "files")? {
        let mut kernels = Vec::new();
        for kernel in list(&file, "kernels")? {
            let number = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
            let field = |key: &str| {
                number(&kernel[key]).with_context(|| format!("manifest.json: {key} is no number"))
            };
            let sass = kernel["sass"].as_array().map(|counts| {
                let at = |i: usize| counts.get(i).and_then(number).unwrap_or_default();
                let (total, global_loads, wide_loads) = (at(0), at(1), at(2));
                Sass { total, global_loads, wide_loads, hmma: at(3), qmma: at(4), local: at(5) }
            });
            kernels.push(Kernel {
                name: text(&kernel, "name")?,
                registers: field("registers")?,
                spill_bytes: field("spill_bytes")?,
                stack: field("stack")?,
                shared: field("shared")?,
                sass,
            });
        }
        let (arch, name) = (text(&file, "arch")?, text(&file, "name")?);
        files.push(File { arch, name, version: text(&file, "ptx_version")?, kernels });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let sass = Sass { total: 900, global_loads: 9, wide_loads: 8, hmma: 16, qmma: 0, local: 0 };
        let kernel = Kernel {
            name: "k".into(),
            registers: 100,
            spill_bytes: 0,
            stack: 0,
            shared: 1024,
            sass: Some(sass),
        };
        let files = [File {
            arch: "sm_89".into(),
            name: "m".into(),
            version: "7.8".into(),
            kernels: vec![kernel.clone(), Kernel { sass: None, ..kernel }],
        }];
        let text = write("12.9.86", &files).unwrap();
        assert_eq!(read(&text).unwrap(), files);
    }
}
