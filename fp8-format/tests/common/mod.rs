//! Reads the oracle tables of `tests/data`, whose README tells where they come from.

use std::io::Read;
use std::path::Path;

use lzma_rust2::XzReader;

/// The bytes of one table.
pub(crate) fn table(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut bytes = Vec::new();
    XzReader::new(file, false).read_to_end(&mut bytes).expect("an xz stream");
    bytes
}

/// The f32 bit patterns that the `encode_f32_*` tables index.
pub(crate) fn f32_inputs() -> Vec<u32> {
    let planes = table("f32_inputs.delta_u32le.xz");
    let count = planes.len() / 4;
    assert_eq!(count, 883_832);
    let mut bits = 0u32;
    (0..count)
        .map(|i| {
            let delta = [0, 1, 2, 3].map(|plane| planes[plane * count + i]);
            bits = bits.wrapping_add(u32::from_le_bytes(delta));
            bits
        })
        .collect()
}
