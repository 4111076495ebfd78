//! Where a checkpoint's files are: a directory, or bytes already in memory.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::Error;

/// Where the bytes of one shard are.
#[derive(Clone)]
pub enum Location {
    /// A file, to be read or mapped.
    File(PathBuf),
    /// Bytes in memory, as of a model embedded in a binary.
    Memory(Cow<'static, [u8]>),
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Location::File(path) => f.debug_tuple("File").field(path).finish(),
            Location::Memory(bytes) => write!(f, "Memory({} bytes)", bytes.len()),
        }
    }
}

/// The files of one checkpoint, by name. It knows no format.
#[derive(Clone)]
pub(super) enum Source {
    Dir(PathBuf),
    /// Sorted by name, no two alike.
    Memory(Vec<(String, Cow<'static, [u8]>)>),
}

impl Source {
    pub(super) fn memory(mut files: Vec<(String, Cow<'static, [u8]>)>) -> Result<Self, Error> {
        files.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::DuplicateFile { file: pair[0].0.clone() });
        }
        Ok(Source::Memory(files))
    }

    /// How the checkpoint is called in messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Source::Dir(path) => path.display().to_string(),
            Source::Memory(_) => "the checkpoint in memory".into(),
        }
    }

    /// The regular files directly inside, sorted by name.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        match self {
            Source::Memory(files) => Ok(files.iter().map(|f| f.0.clone()).collect()),
            Source::Dir(path) => entries(path, Path::is_file),
        }
    }

    /// The directories directly inside, sorted by name.
    #[cfg(feature = "fs")]
    pub(super) fn directory_names(&self) -> Result<Vec<String>, Error> {
        match self {
            Source::Memory(_) => Ok(Vec::new()),
            Source::Dir(path) => entries(path, Path::is_dir),
        }
    }

    /// The length of a file, or `None` if there is no such file.
    pub(super) fn len(&self, name: &str) -> Result<Option<u64>, Error> {
        match self {
            Source::Memory(_) => Ok(self.bytes(name).map(|bytes| bytes.len() as u64)),
            Source::Dir(dir) => {
                let path = dir.join(name);
                match fs::metadata(&path) {
                    Ok(meta) if meta.is_file() => Ok(Some(meta.len())),
                    Ok(_) => Ok(None),
                    Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                    Err(source) => Err(Error::Io { path, source }),
                }
            }
        }
    }

    /// `len` bytes from `offset` on. The caller has checked them against [`len`](Self::len);
    /// a file that has shrunk since is [`Error::Truncated`].
    pub(super) fn read(&self, name: &str, offset: u64, len: u64) -> Result<Cow<'_, [u8]>, Error> {
        let truncated = || Error::Truncated { file: name.into(), offset, need: len };
        match self {
            Source::Memory(_) => {
                let range = usize::try_from(offset)
                    .ok()
                    .zip(usize::try_from(offset.saturating_add(len)).ok())
                    .map(|(start, end)| start..end);
                self.bytes(name)
                    .zip(range)
                    .and_then(|(bytes, range)| bytes.get(range))
                    .map(Cow::Borrowed)
                    .ok_or_else(truncated)
            }
            Source::Dir(dir) => {
                let path = dir.join(name);
                let mut bytes = vec![0; usize::try_from(len).map_err(|_| truncated())?];
                let read = File::open(&path).and_then(|mut file| {
                    file.seek(SeekFrom::Start(offset))?;
                    file.read_exact(&mut bytes)
                });
                match read {
                    Ok(()) => Ok(Cow::Owned(bytes)),
                    Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(truncated()),
                    Err(source) => Err(Error::Io { path, source }),
                }
            }
        }
    }

    /// A whole small file, refused before anything is allocated if it is over `limit` bytes.
    pub(super) fn read_small(
        &self,
        name: &str,
        limit: u64,
    ) -> Result<Option<Cow<'_, [u8]>>, Error> {
        match self.len(name)? {
            None => Ok(None),
            Some(len) if len > limit => Err(Error::FileTooLarge { file: name.into(), len, limit }),
            Some(len) => self.read(name, 0, len).map(Some),
        }
    }

    pub(super) fn location(&self, name: &str) -> Location {
        match self {
            Source::Dir(dir) => Location::File(dir.join(name)),
            Source::Memory(_) => Location::Memory(self.bytes(name).cloned().unwrap_or_default()),
        }
    }

    fn bytes(&self, name: &str) -> Option<&Cow<'static, [u8]>> {
        let Source::Memory(files) = self else { return None };
        let at = files.binary_search_by(|file| file.0.as_str().cmp(name)).ok()?;
        Some(&files[at].1)
    }
}

fn entries(dir: &Path, wanted: fn(&Path) -> bool) -> Result<Vec<String>, Error> {
    let io = |source| Error::Io { path: dir.to_path_buf(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        // A file name that is not UTF-8 cannot be one of ours.
        if let Ok(name) = entry.map_err(io)?.file_name().into_string()
            && wanted(&dir.join(&name))
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// A name that stays inside its directory: no separators, no `..`, nothing hidden in it.
pub(super) fn is_plain_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|plain| plain == name)
        && !name.contains(['\\', ':', '\0'])
}
