//! Compiled texts on disk, one file each: a line with the text's hash, then the text. The name is the
//! hash of all inputs, so an entry never has to be made again; a damaged one is.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The place of one text; nowhere without a folder.
pub(super) struct Cache {
    place: Option<PathBuf>,
}

impl Cache {
    pub(super) fn new(folder: Option<&Path>, key: blake3::Hash) -> Self {
        Self { place: folder.map(|folder| folder.join(format!("{key}.ptx"))) }
    }

    /// The text from disk if it is there whole; else what `make` gives, which is put there.
    pub(super) fn get_or_make<E>(
        &self,
        make: impl FnOnce() -> Result<String, E>,
    ) -> Result<String, E> {
        if let Some(text) = self.read() {
            return Ok(text);
        }
        let text = make()?;
        if let Some(place) = &self.place {
            // A cache that cannot be written costs time, nothing else.
            let _ = write(place, &text);
        }
        Ok(text)
    }

    fn read(&self) -> Option<String> {
        let whole = fs::read_to_string(self.place.as_ref()?).ok()?;
        let (hash, text) = whole.split_once('\n')?;
        (blake3::hash(text.as_bytes()).to_hex().as_str() == hash).then(|| text.to_owned())
    }
}

/// Beside its place and then renamed: who reads sees all of it or none.
fn write(place: &Path, text: &str) -> std::io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let folder = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let fresh = place.with_extension(format!("{}-{number}.new", std::process::id()));
    let filled = fs::File::create(&fresh).and_then(|mut file| {
        writeln!(file, "{}", blake3::hash(text.as_bytes()).to_hex())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let done = filled.and_then(|()| fs::rename(&fresh, place));
    if done.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let unique = format!("attn-kernels-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(unique))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_text_is_made_once_and_a_damaged_one_again() {
        let folder = Folder::new("cache");
        let cache = Cache::new(Some(&folder.0), blake3::hash(b"inputs"));
        let made = Cell::new(0);
        let get = || {
            let make = || {
                made.set(made.get() + 1);
                Ok::<_, ()>("text\nof two lines".to_owned())
            };
            assert_eq!(cache.get_or_make(make).unwrap(), "text\nof two lines");
            made.get()
        };
        assert_eq!((get(), get()), (1, 1));
        let place = cache.place.clone().unwrap();
        let whole = fs::read(&place).unwrap();
        // Cut anywhere, or with any byte changed, it is no entry.
        for cut in 0..whole.len() {
            fs::write(&place, &whole[..cut]).unwrap();
            assert_eq!(cache.read(), None, "cut at {cut}");
            let mut changed = whole.clone();
            changed[cut] ^= 1;
            fs::write(&place, &changed).unwrap();
            assert_eq!(cache.read(), None, "byte {cut} changed");
        }
        assert_eq!((get(), get()), (2, 2));
        assert_eq!(fs::read(&place).unwrap(), whole, "it is whole again");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing else is left");
        // Other inputs, another entry.
        assert_eq!(Cache::new(Some(&folder.0), blake3::hash(b"others")).read(), None);
    }

    #[test]
    fn what_fails_is_not_kept_and_a_bad_folder_does_no_harm() {
        let folder = Folder::new("bad");
        let cache = Cache::new(Some(&folder.0), blake3::hash(b"x"));
        assert_eq!(cache.get_or_make(|| Err("no")), Err("no"));
        assert!(!folder.0.exists());
        fs::write(&folder.0, "a file").unwrap();
        let inside = Cache::new(Some(&folder.0.join("in")), blake3::hash(b"x"));
        assert_eq!(inside.get_or_make(|| Ok::<_, ()>("t".to_owned())), Ok("t".to_owned()));
        fs::remove_file(&folder.0).unwrap();
        let nowhere = Cache::new(None, blake3::hash(b"x"));
        assert_eq!(nowhere.get_or_make(|| Ok::<_, ()>("t".to_owned())), Ok("t".to_owned()));
    }
}
