//! The options of `cuModuleLoadDataEx`: the log buffers are filled; what would change the compilation
//! changes nothing, since there is none.

use super::abi::{Host, In, Reply};
use super::code::Code;

const INFO_LOG_BUFFER: u32 = 3;
const INFO_LOG_BUFFER_SIZE: u32 = 4;
const ERROR_LOG_BUFFER: u32 = 5;
const ERROR_LOG_BUFFER_SIZE: u32 = 6;
const WALL_TIME: u32 = 2;
/// `CU_JIT_GLOBAL_SYMBOL_NAMES` to `_COUNT`: addresses for extern symbols; and `CU_JIT_LTO`.
const UNSUPPORTED: [u32; 4] = [17, 18, 19, 20];
/// As many as CUDA 12 has.
const OPTIONS: u32 = 34;

/// Where the caller wants logs, and where in the caller's list the sizes come back.
#[derive(Default)]
pub(super) struct Options {
    info: Log,
    error: Log,
}

#[derive(Default)]
struct Log {
    buffer: Option<Host>,
    /// The size going in and its place in the list of values, where the length comes out.
    size: Option<(usize, In<usize>)>,
}

impl Options {
    /// Reads `count` pairs. A value stands in the list itself, as wide as a pointer.
    pub(super) fn read(count: u32, names: In<u32>, values: In<usize>) -> Reply<Options> {
        let mut options = Options::default();
        for index in 0..count as usize {
            let name = names.at(index)?;
            let value = || values.at(index);
            let size = || Ok((value()? & 0xffff_ffff, values.place(index)));
            match name {
                INFO_LOG_BUFFER => options.info.buffer = Some(Host(value()?)),
                INFO_LOG_BUFFER_SIZE => options.info.size = Some(size()?),
                ERROR_LOG_BUFFER => options.error.buffer = Some(Host(value()?)),
                ERROR_LOG_BUFFER_SIZE => options.error.size = Some(size()?),
                WALL_TIME => values.place(index).as_out().set(0)?,
                _ if UNSUPPORTED.contains(&name) => return Err(Code::NOT_SUPPORTED),
                _ if name < OPTIONS => {}
                _ => return Err(Code::INVALID_VALUE),
            }
        }
        Ok(options)
    }

    pub(super) fn succeeded(&self) {
        self.info.write("");
        self.error.write("");
    }

    pub(super) fn failed(&self, message: &str) {
        self.info.write("");
        self.error.write(message);
    }
}

impl Log {
    /// Writes as much of `text` as fits with its NUL, and its length where the size was.
    fn write(&self, text: &str) {
        let Some((size, place)) = self.size else { return };
        let mut end = text.len().min(size.saturating_sub(1));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        if let Some(buffer) = self.buffer.filter(|buffer| buffer.0 != 0 && size > 0) {
            buffer.write(end + 1, |bytes| {
                bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
                bytes[end] = 0;
            });
        }
        // Where the caller sees it is ignored when the list is gone: a null list was refused before.
        let _: Reply = place.as_out().set(if text.is_empty() { 0 } else { end + 1 });
    }
}

#[cfg(test)]
mod tests {
    use super::super::abi::Out;
    use super::*;

    fn options(names: &[u32], values: &mut [usize]) -> Reply<Options> {
        let values = Out::to(&mut values[0]).as_in();
        Options::read(names.len() as u32, In::of(&names[0]), values)
    }

    #[test]
    fn a_log_is_cut_to_its_buffer() {
        let mut buffer = [0xff_u8; 8];
        let address = buffer.as_mut_ptr().expose_provenance();
        let mut values = [address, 8];
        let options = options(&[ERROR_LOG_BUFFER, ERROR_LOG_BUFFER_SIZE], &mut values).unwrap();
        options.failed("line 12");
        assert_eq!(&buffer, b"line 12\0");
        options.failed("far too long");
        assert_eq!(&buffer, b"far too\0");
        assert_eq!(values[1], 8);
    }

    #[test]
    fn options_that_are_not_known_are_refused() {
        let mut values = [0];
        assert_eq!(options(&[999], &mut values).err(), Some(Code::INVALID_VALUE));
        assert_eq!(options(&[17], &mut values).err(), Some(Code::NOT_SUPPORTED));
        assert!(options(&[7], &mut values).is_ok());
    }
}
