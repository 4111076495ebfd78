//! A directory that comes into being whole: filled under a temporary name, synced, renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Written;
use crate::{Checkpoint, Error, Location, Shard};

/// The temporary directory; removed again when it is dropped unfinished.
pub(super) struct NewDirectory {
    out: PathBuf,
    temporary: PathBuf,
    done: bool,
    written: Written,
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { path, source }
}

/// Whether a directory can come into being there.
pub(super) fn check(out: &Path) -> Result<(), Error> {
    if out.file_name().is_none() {
        return Err(Error::BadFileName { file: out.display().to_string() });
    }
    // Also a dangling link is something that a rename would replace.
    if fs::symlink_metadata(out).is_ok() {
        return Err(Error::OutputExists { path: out.to_path_buf() });
    }
    let parent = parent(out);
    if fs::metadata(parent).map_err(io_at(parent))?.is_dir() {
        Ok(())
    } else {
        Err(Error::NotADirectory { path: parent.to_path_buf() })
    }
}

fn parent(out: &Path) -> &Path {
    out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl NewDirectory {
    pub(super) fn create(out: &Path) -> Result<Self, Error> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        check(out)?;
        let name = out.file_name().unwrap_or_default();
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".partial-{}-{number}", std::process::id()));
        let temporary = out.with_file_name(temporary);
        fs::create_dir(&temporary).map_err(io_at(&temporary))?;
        let out = out.to_path_buf();
        Ok(NewDirectory { out, temporary, done: false, written: Written::default() })
    }

    /// Writes a new file.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.write_with(name, |file| file.write_all(bytes))
    }

    pub(super) fn write_with(
        &mut self,
        name: &str,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), Error> {
        self.fill(name, fill)?;
        self.written.written.push(name.into());
        Ok(())
    }

    fn fill(
        &self,
        name: &str,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), Error> {
        let path = self.temporary.join(name);
        File::create_new(&path)
            .and_then(|mut file| {
                fill(&mut file)?;
                file.sync_all()
            })
            .map_err(io_at(&path))
    }

    /// An unchanged shard, under a name: shared with the old checkpoint, or copied where the file
    /// system cannot share.
    pub(super) fn place_shard(&mut self, shard: &Shard, name: &str) -> Result<(), Error> {
        match &shard.location {
            Location::Memory(bytes) => {
                self.fill(name, |file| file.write_all(bytes))?;
                self.written.copied.push(name.into());
            }
            Location::File(path) => {
                // A link to a symbolic link would point nowhere from the new place.
                let real = fs::canonicalize(path).map_err(io_at(path))?;
                let target = self.temporary.join(name);
                if fs::hard_link(&real, &target).is_ok() {
                    self.written.linked.push(name.into());
                } else {
                    self.fill(name, |file| {
                        io::copy(&mut File::open(&real)?, file)?;
                        Ok(())
                    })?;
                    self.written.copied.push(name.into());
                }
                let len = fs::metadata(&target).map_err(io_at(&target))?.len();
                if len != shard.len {
                    let (file, need) = (shard.name.clone(), shard.len);
                    return Err(Error::Truncated { file, offset: 0, need });
                }
            }
        }
        Ok(())
    }

    /// A side file, copied: an editor may write into it in place.
    pub(super) fn place_file(&mut self, source: &Checkpoint, name: &str) -> Result<(), Error> {
        match source.path_of(name) {
            Some(path) => self.fill(name, |file| {
                io::copy(&mut File::open(&path)?, file)?;
                Ok(())
            })?,
            None => {
                let bytes = source.file(name)?.unwrap_or_default();
                self.fill(name, |file| file.write_all(&bytes))?;
            }
        }
        self.written.copied.push(name.into());
        Ok(())
    }

    pub(super) fn leave_out(&mut self, name: &str) {
        self.written.left_out.push(name.into());
    }

    /// Gives the directory its name, once everything in it is on the disk and opens.
    pub(super) fn finish(mut self) -> Result<Written, Error> {
        Checkpoint::open(&self.temporary)?;
        sync_directory(&self.temporary)?;
        fs::rename(&self.temporary, &self.out).map_err(io_at(&self.out))?;
        self.done = true;
        sync_directory(parent(&self.out))?;
        let mut written = std::mem::take(&mut self.written);
        for list in
            [&mut written.linked, &mut written.copied, &mut written.written, &mut written.left_out]
        {
            list.sort();
        }
        Ok(written)
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if !self.done {
            // Nothing more can be done about a failure here than what a crash would leave.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// Makes the names in a directory durable. Only Unix can; elsewhere the rename must do.
fn sync_directory(path: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        File::open(path).and_then(|dir| dir.sync_all()).map_err(io_at(path))?;
    }
    Ok(())
}
