//! Lists the shipped PTX for `src/cuda/device/shipped.rs`, and the sources for `compile/`: what is in
//! `ptx/` and `cuda/` is what is compiled in.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("shipped.rs"), shipped(&here.join("ptx"))?)?;
    if env::var_os("CARGO_FEATURE_NVRTC").is_some() {
        fs::write(out.join("sources.rs"), sources(&here.join("cuda"))?)?;
    }
    Ok(())
}

/// Every `<arch>/<name>.ptx`.
fn shipped(ptx: &Path) -> io::Result<String> {
    println!("cargo::rerun-if-changed={}", ptx.display());
    let mut list = String::from("&[\n");
    for folder in sorted(ptx)?.into_iter().filter(|path| path.is_dir()) {
        let arch = name(folder.file_name());
        for file in sorted(&folder)?.into_iter().filter(|f| f.extension() == Some("ptx".as_ref())) {
            let (name, path) = (name(file.file_stem()), name(Some(file.as_os_str())));
            writeln!(
                list,
                "PtxModule {{ arch: {arch:?}, name: {name:?}, text: include_str!({path:?}) }},"
            )
            .map_err(io::Error::other)?;
        }
    }
    list.push(']');
    Ok(list)
}

/// Every `.cu` and `.cuh`, by name.
fn sources(cuda: &Path) -> io::Result<String> {
    println!("cargo::rerun-if-changed={}", cuda.display());
    let mut list = String::from("&[\n");
    for file in sorted(cuda)? {
        if file.extension() == Some("cu".as_ref()) || file.extension() == Some("cuh".as_ref()) {
            let (name, path) = (name(file.file_name()), name(Some(file.as_os_str())));
            writeln!(list, "({name:?}, include_str!({path:?})),").map_err(io::Error::other)?;
        }
    }
    list.push(']');
    Ok(list)
}

fn name(part: Option<&OsStr>) -> String {
    part.unwrap_or_default().to_string_lossy().into_owned()
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    all.sort();
    Ok(all)
}
