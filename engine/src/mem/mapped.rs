//! A weight file mapped into memory, read only.

use crate::Error;
use std::fs::File;
use std::ops::Deref;
use std::path::Path;

/// The bytes of a file. Pages come in as they are first read, and the kernel may drop them again:
/// a model costs no memory beyond what it uses.
///
/// As with every mapping, a file that another program shortens or rewrites meanwhile gives other
/// weights or a fault; checkpoints are not edited in place.
pub(crate) struct Mapped(memmap2::Mmap);

impl Mapped {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let error = |source| Error::Io { path: path.display().to_string(), source };
        let file = File::open(path).map_err(error)?;
        // SAFETY: the map is read only and private to this type, which hands out shared slices of
        // plain bytes: every bit pattern is valid, and all weights are read by value from them.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(error)?;
        // A hint: most weights are read from front to back, once per step.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::WillNeed);
        Ok(Self(map))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
