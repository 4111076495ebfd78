//! PTX as text in the program, and which of several texts a device takes.

use crate::error::Error;

/// One module: the PTX of `name` for one architecture.
#[derive(Debug, Clone, Copy)]
pub struct PtxModule {
    /// The `.target`: `sm_80`, or `sm_90a`, which only devices of that very capability take.
    pub arch: &'static str,
    /// What a [`Launch`](crate::cuda::Launch) calls it.
    pub name: &'static str,
    /// The PTX.
    pub text: &'static str,
}

/// The kernels of this crate for every architecture: the files of `attn-kernels/ptx`.
pub(crate) const SHIPPED: &[PtxModule] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The least compute capability that kernels ship for.
pub(crate) const LEAST: (u32, u32) = (8, 0);

/// Whether a device takes PTX for an architecture, and how well that suits it: more is better.
/// Architectures with an `a` are for their own capability alone, others for every later one too.
fn suits(arch: &str, capability: (u32, u32)) -> Option<u32> {
    let number = arch.strip_prefix("sm_")?;
    let have = capability.0 * 10 + capability.1;
    match number.strip_suffix('a') {
        Some(exact) => (exact.parse() == Ok(have)).then_some(2 * have + 1),
        None => number.parse().ok().filter(|&least: &u32| least <= have).map(|least| 2 * least),
    }
}

/// The CUDA version of the oldest driver that takes a text, as `cuDriverGetVersion` numbers them
/// (CUDA release notes; 0 where the text does not say). PTX 7.x came with CUDA 11.x, and so on, but
/// that 8.6 came with 12.7.
fn least_driver(text: &str) -> i32 {
    let version = text.split_once(".version").map_or("", |(_, after)| after);
    let version = version.split_whitespace().next().unwrap_or("");
    let Some((major, minor)) = version.split_once('.') else { return 0 };
    let (Ok(major), Ok(minor)) = (major.parse::<i32>(), minor.parse::<i32>()) else { return 0 };
    match (major, minor) {
        (8, 6) => 12_070,
        (8, 7..) => 12_010 + 10 * minor,
        _ => (major + 4) * 1000 + 10 * minor,
    }
}

/// A text that was compiled here, for a driver that may be older than the compiler: its `.version` is
/// lowered to the newest that the driver takes, without the hints to memory checkers that ask for a
/// newer one. What ships is assembled at far older versions, so nothing else is expected to stand in
/// the way; whether it does, the driver says when it loads the text.
#[cfg(feature = "nvrtc")]
pub(crate) fn for_driver(text: String, driver: i32) -> String {
    if least_driver(&text) <= driver {
        return text;
    }
    let newest = match (driver / 1000, driver % 1000 / 10) {
        (12, 7) => (8, 6),
        (12, 6) => (8, 5),
        (12, minor @ 8..) => (8, minor - 1),
        (major, minor) => (major - 4, minor),
    };
    let lines = text.lines().filter_map(|line| match line.trim_start() {
        hint if hint.starts_with(".pragma \"used_bytes_mask") => None,
        version if version.starts_with(".version ") => {
            Some(format!(".version {}.{}\n", newest.0, newest.1))
        }
        _ => Some(format!("{line}\n")),
    });
    lines.collect()
}

/// A driver's CUDA version in words.
pub(crate) fn cuda_version(number: i32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

/// The text of module `name` that suits a device best among those its driver takes. `None`: there
/// is none for it at all.
pub(crate) fn choose<'a>(
    sets: impl Iterator<Item = &'a PtxModule>,
    name: &str,
    capability: (u32, u32),
    driver: i32,
) -> Result<Option<&'a PtxModule>, Error> {
    let mut fitting: Vec<_> = sets
        .filter(|module| module.name == name)
        .filter_map(|module| Some((suits(module.arch, capability)?, module)))
        .collect();
    fitting.sort_by_key(|&(rank, _)| std::cmp::Reverse(rank));
    let mut needs = Vec::new();
    for (_, module) in fitting {
        let least = least_driver(module.text);
        if least <= driver {
            return Ok(Some(module));
        }
        needs.push(least);
    }
    match needs.into_iter().min() {
        None => Ok(None),
        Some(need) => Err(Error::DriverTooOld {
            what: name.to_owned(),
            have: cuda_version(driver),
            need: cuda_version(need),
        }),
    }
}

/// Bytes of the struct that a kernel of a text takes; `None` where there is no such kernel, or one
/// with other parameters.
pub(crate) fn argument_bytes(text: &str, kernel: &str) -> Option<usize> {
    let (_, after) = text.split_once(&format!(".entry {kernel}("))?;
    let (parameters, _) = after.split_once(')')?;
    if parameters.contains(',') {
        return None;
    }
    let (_, bytes) = parameters.split_once('[')?;
    bytes.split(']').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn module(arch: &'static str, text: &'static str) -> PtxModule {
        PtxModule { arch, name: "m", text }
    }

    const SET: [PtxModule; 5] = [
        module("sm_80", ".version 7.0"),
        module("sm_89", ".version 7.8"),
        module("sm_90a", ".version 8.0"),
        module("sm_100a", ".version 8.6"),
        module("sm_120a", ".version 8.7"),
    ];

    fn arch(capability: (u32, u32), driver: i32) -> Result<Option<&'static str>, String> {
        let chosen = choose(SET.iter(), "m", capability, driver).map_err(|e| e.to_string())?;
        Ok(chosen.map(|module| module.arch))
    }

    #[test]
    fn a_device_takes_what_suits_it_best() {
        for (capability, expected) in [
            ((7, 5), None),
            ((8, 0), Some("sm_80")),
            ((8, 6), Some("sm_80")),
            ((8, 9), Some("sm_89")),
            ((9, 0), Some("sm_90a")),
            // Those with an `a` are for their own capability alone.
            ((10, 0), Some("sm_100a")),
            ((10, 3), Some("sm_89")),
            ((12, 0), Some("sm_120a")),
            ((12, 1), Some("sm_89")),
        ] {
            assert_eq!(arch(capability, 12_090), Ok(expected), "{capability:?}");
        }
        assert!(choose(SET.iter(), "other", (9, 0), 12_090).unwrap().is_none());
    }

    #[test]
    fn an_old_driver_takes_an_older_text_or_is_told_what_it_lacks() {
        assert_eq!(arch((12, 0), 12_070), Ok(Some("sm_89")));
        assert_eq!(arch((10, 0), 12_070), Ok(Some("sm_100a")));
        assert_eq!(arch((9, 0), 11_080), Ok(Some("sm_89")));
        assert_eq!(arch((9, 0), 11_000), Ok(Some("sm_80")));
        assert_eq!(
            arch((9, 0), 10_020),
            Err("the driver supports CUDA 10.2, the kernels of m need 11.0".to_owned())
        );
    }

    #[cfg(feature = "nvrtc")]
    #[test]
    fn a_text_is_lowered_to_the_driver() {
        let text =
            ".version 8.8\n.target sm_89\n\t.pragma \"used_bytes_mask 15\";\n\tret;\n".to_owned();
        assert_eq!(for_driver(text.clone(), 12_090), text);
        for (driver, version) in
            [(12_080, "8.7"), (12_070, "8.6"), (12_060, "8.5"), (12_040, "8.4"), (11_080, "7.8")]
        {
            let lowered = for_driver(text.clone(), driver);
            assert_eq!(lowered, format!(".version {version}\n.target sm_89\n\tret;\n"));
            assert!(least_driver(&lowered) <= driver, "{driver}");
        }
    }

    #[test]
    fn every_architecture_ships_the_same_basics() {
        for arch in ["sm_80", "sm_89", "sm_90a", "sm_100a", "sm_120a"] {
            for name in ["append", "merge", "copy_blocks", "gather", "attention_e4m3_e4m3"] {
                let found = SHIPPED.iter().find(|m| m.arch == arch && m.name == name);
                let module = found.unwrap_or_else(|| panic!("{arch}/{name} is not there"));
                let target = format!(".target {arch}\n");
                assert!(module.text.contains(&target), "{arch}/{name} is for another target");
                assert!(least_driver(module.text) >= 11_000, "{arch}/{name}");
            }
        }
    }

    #[test]
    fn drivers_are_those_of_the_manifest() {
        let manifest = include_str!("../../../ptx/manifest.json");
        let field = |line: &str, name: &str| {
            let (_, after) = line.split_once(&format!("\"{name}\": \""))?;
            after.split('"').next().map(str::to_owned)
        };
        let mut seen = 0;
        for line in manifest.lines() {
            let Some(version) = field(line, "ptx_version") else { continue };
            let need = cuda_version(least_driver(&format!(".version {version}\n")));
            assert_eq!(Some(need), field(line, "cuda"), "{line}");
            seen += 1;
        }
        assert_eq!(seen, SHIPPED.len());
    }

    #[test]
    fn the_size_of_an_argument_is_in_the_text() {
        let of = |kernel| {
            let module = SHIPPED.iter().find(|m| m.name == "append").expect("it ships");
            argument_bytes(module.text, kernel)
        };
        // Two sides of 56 bytes or more.
        assert!(of("append_kv").is_some_and(|bytes| bytes > 112 && bytes % 8 == 0));
        assert_eq!(of("append"), None);
        let two = ".entry k(\n.param .u32 k_param_0,\n.param .u32 k_param_1\n)";
        assert_eq!(argument_bytes(two, "k"), None);
    }
}
