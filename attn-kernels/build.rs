//! Lists the shipped PTX for `src/cuda/device/shipped.rs`: what is in `ptx/` is what is compiled in.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    let ptx = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("ptx");
    println!("cargo::rerun-if-changed={}", ptx.display());
    let mut list = String::from("&[\n");
    for folder in sorted(&ptx)?.into_iter().filter(|path| path.is_dir()) {
        for file in sorted(&folder)?.into_iter().filter(|f| f.extension() == Some("ptx".as_ref())) {
            let (arch, name) = (folder.file_name(), file.file_stem());
            let (arch, name) = (arch.unwrap_or_default(), name.unwrap_or_default());
            writeln!(
                list,
                "PtxModule {{ arch: {:?}, name: {:?}, text: include_str!({:?}) }},",
                arch.to_string_lossy(),
                name.to_string_lossy(),
                file.to_string_lossy()
            )
            .map_err(io::Error::other)?;
        }
    }
    list.push(']');
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("shipped.rs"), list)
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    all.sort();
    Ok(all)
}
