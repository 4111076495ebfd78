//! The result codes of the driver API, their names and what they mean in words. Knows no state.

use std::ffi::{CStr, c_char};

use super::abi::{Out, Reply, driver_api};

/// A `CUresult`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Code(pub(super) u32);

/// The constants and one table from one list, so that none can be without a name.
macro_rules! codes {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        #[allow(dead_code, reason = "a program may ask for the name of a code that never occurs here")]
        impl Code {
            $(pub(super) const $name: Code = Code($value);)*
        }

        /// (value, name, description); both texts end with a NUL.
        const TABLE: &[(u32, &str, &str)] = &[
            (0, "CUDA_SUCCESS\0", "no error\0"),
            $(($value, concat!("CUDA_ERROR_", stringify!($name), "\0"), concat!($text, "\0")),)*
        ];
    };
}

// Only values of the oldest binding level that is supported (CUDA 12.0): a Rust enum on the other
// side has no place for newer ones.
codes! {
    INVALID_VALUE = 1, "invalid argument";
    OUT_OF_MEMORY = 2, "out of memory";
    NOT_INITIALIZED = 3, "the driver is not initialized: cuInit was not called or failed";
    DEINITIALIZED = 4, "the driver is shutting down";
    NO_DEVICE = 100, "no CUDA device";
    INVALID_DEVICE = 101, "invalid device ordinal";
    INVALID_IMAGE = 200, "the module image is not valid";
    INVALID_CONTEXT = 201, "no context is current, or it is not a valid one";
    NO_BINARY_FOR_GPU = 209, "no code for this device in the module image";
    UNSUPPORTED_LIMIT = 215, "this limit cannot be queried or set";
    INVALID_PTX = 218, "the PTX text was refused";
    UNSUPPORTED_PTX_VERSION = 222, "the PTX version is newer than the driver";
    FILE_NOT_FOUND = 301, "file not found";
    OPERATING_SYSTEM = 304, "a call to the operating system failed";
    INVALID_HANDLE = 400, "invalid handle";
    ILLEGAL_STATE = 401, "the object is not in a state that permits this call";
    NOT_FOUND = 500, "the named symbol was not found";
    NOT_READY = 600, "not ready: work is still pending";
    ILLEGAL_ADDRESS = 700, "a kernel or a copy touched memory it may not touch";
    LAUNCH_OUT_OF_RESOURCES = 701, "the launch asks for more resources than there are";
    LAUNCH_TIMEOUT = 702, "the kernel used up its instruction budget and was ended";
    PEER_ACCESS_UNSUPPORTED = 217, "peer access is not supported between these devices";
    PRIMARY_CONTEXT_ACTIVE = 708, "the primary context is already active";
    CONTEXT_IS_DESTROYED = 709, "the current context was destroyed";
    ASSERT = 710, "a device-side assertion failed";
    HOST_MEMORY_ALREADY_REGISTERED = 712, "part of the host memory range is already registered";
    HOST_MEMORY_NOT_REGISTERED = 713, "the host memory range is not registered";
    ILLEGAL_INSTRUCTION = 715, "a kernel met an illegal instruction";
    MISALIGNED_ADDRESS = 716, "a kernel used a misaligned address";
    INVALID_ADDRESS_SPACE = 717, "an instruction got an address of a wrong state space";
    LAUNCH_FAILED = 719, "a kernel was ended by a check of the emulator";
    NOT_PERMITTED = 800, "the call is not permitted here";
    NOT_SUPPORTED = 801, "the emulator does not support this";
    STREAM_CAPTURE_UNSUPPORTED = 900, "not permitted while a stream is capturing";
    STREAM_CAPTURE_INVALIDATED = 901, "the capture was invalidated by an earlier error";
    STREAM_CAPTURE_MERGE = 902, "two independent captures would be merged";
    STREAM_CAPTURE_UNMATCHED = 903, "the capture was not begun on this stream";
    STREAM_CAPTURE_UNJOINED = 904, "the capture has work that the origin stream does not wait for";
    STREAM_CAPTURE_ISOLATION = 905, "a captured stream would depend on work outside of the capture";
    STREAM_CAPTURE_IMPLICIT = 906, "the legacy stream would depend on a capturing stream";
    CAPTURED_EVENT = 907, "the event was recorded in a capturing stream";
    STREAM_CAPTURE_WRONG_THREAD = 908, "the capture was begun by another thread";
    UNKNOWN = 999, "the emulator failed; its message is on stderr";
}

impl Code {
    pub(super) const SUCCESS: Code = Code(0);

    fn row(self) -> Option<&'static (u32, &'static str, &'static str)> {
        TABLE.iter().find(|row| row.0 == self.0)
    }

    /// The name as the header spells it, "CUDA_ERROR_UNKNOWN" where the table has none.
    pub(super) fn name(self) -> &'static str {
        self.row().map_or("CUDA_ERROR_UNKNOWN", |row| row.1.trim_end_matches('\0'))
    }
}

/// The texts are literals of this crate, each with its NUL at the end.
fn c_text(text: &'static str) -> *const c_char {
    CStr::from_bytes_with_nul(text.as_bytes()).map_or(std::ptr::null(), CStr::as_ptr)
}

fn put_text(value: u32, text: Out<*const c_char>, pick: impl Fn(&Row) -> &'static str) -> Reply {
    match Code(value).row() {
        Some(row) => text.set(c_text(pick(row))),
        None => {
            text.set(std::ptr::null())?;
            Err(Code::INVALID_VALUE)
        }
    }
}

type Row = (u32, &'static str, &'static str);

driver_api! {
    fn cuGetErrorName(error: u32, text: Out<*const c_char>) {
        put_text(error, text, |row| row.1)
    }

    fn cuGetErrorString(error: u32, text: Out<*const c_char>) {
        put_text(error, text, |row| row.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_terminated_name_of_its_own() {
        for (index, row) in TABLE.iter().enumerate() {
            assert!(!c_text(row.1).is_null() && !c_text(row.2).is_null(), "{row:?}");
            let same = |other: &&Row| other.0 == row.0 || other.1 == row.1;
            assert_eq!(TABLE[index..].iter().filter(same).count(), 1, "{row:?}");
        }
        assert_eq!(Code::ILLEGAL_ADDRESS.name(), "CUDA_ERROR_ILLEGAL_ADDRESS");
        assert_eq!(Code(12345).name(), "CUDA_ERROR_UNKNOWN");
    }
}
