//! The border to C: how arguments come in, how results go out, and the frame every exported function
//! runs in. All trust in the caller's pointers stands here; the rest of the driver is checked code.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::code::Code;
use super::table::lock;

/// What the body of a driver call gives.
pub(super) type Reply<T = ()> = Result<T, Code>;

/// An opaque handle (`CUcontext`, `CUstream`, …): a number in a table, never an address.
pub(super) type Handle = usize;

/// An optional pointer to where the caller wants a result.
#[repr(transparent)]
pub(super) struct Out<T>(*mut T);

#[cfg(test)]
impl<T> Out<T> {
    pub(super) fn to(place: &mut T) -> Self {
        Out(place)
    }

    pub(super) fn as_in(&self) -> In<T> {
        In(self.0)
    }
}

#[cfg(test)]
impl<T> In<T> {
    pub(super) fn of(place: &T) -> Self {
        In(place)
    }
}

impl<T> Out<T> {
    /// Writes the result; a null pointer is `CUDA_ERROR_INVALID_VALUE`.
    pub(super) fn set(self, value: T) -> Reply {
        if self.0.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        self.set_if_wanted(value);
        Ok(())
    }

    /// Writes the result unless the caller passed null to say that it is not wanted.
    pub(super) fn set_if_wanted(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: not null, and the driver API has the caller pass a place for one `T`.
            unsafe { self.0.write_unaligned(value) };
        }
    }

    /// The same place for a value of another type, for functions that take `void *`.
    pub(super) fn cast<U>(self) -> Out<U> {
        Out(self.0.cast())
    }

    /// Refuses null before anything is changed.
    pub(super) fn required(self) -> Reply<Self> {
        if self.0.is_null() { Err(Code::INVALID_VALUE) } else { Ok(self) }
    }

    /// The place `index` values further on.
    pub(super) fn at(&self, index: usize) -> Self {
        Out(self.0.wrapping_add(index))
    }
}

/// A pointer to something the caller passes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct In<T>(*const T);

impl<T: Copy> In<T> {
    /// The value; a null pointer is `CUDA_ERROR_INVALID_VALUE`.
    pub(super) fn get(self) -> Reply<T> {
        if self.0.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        // SAFETY: not null, and the driver API has the caller pass a readable `T`; a parameter of a
        // kernel may be packed, so no alignment is assumed.
        Ok(unsafe { self.0.read_unaligned() })
    }

    /// The value `index` places further on.
    pub(super) fn at(self, index: usize) -> Reply<T> {
        if self.0.is_null() { Err(Code::INVALID_VALUE) } else { self.place(index).get() }
    }

    /// The same address for a value of another type, for functions that take `void *`.
    pub(super) fn cast<U>(self) -> In<U> {
        In(self.0.cast())
    }

    /// The address of the value `index` places further on.
    pub(super) fn place(self, index: usize) -> In<T> {
        In(self.0.wrapping_add(index))
    }

    /// For the few lists that results are written back into.
    pub(super) fn as_out(self) -> Out<T> {
        Out(self.0.cast_mut())
    }

    pub(super) fn is_null(self) -> bool {
        self.0.is_null()
    }
}

/// A NUL-terminated text of the caller.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Text(*const c_char);

impl Text {
    /// The text; null or not UTF-8 is `CUDA_ERROR_INVALID_VALUE`.
    pub(super) fn get(&self) -> Reply<&str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Code::INVALID_VALUE)
    }

    /// The bytes before the NUL.
    pub(super) fn bytes(&self) -> Reply<&[u8]> {
        if self.0.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        // SAFETY: not null, and the driver API has the caller pass a terminated text that stays while
        // the call runs, as long as `self` does.
        Ok(unsafe { CStr::from_ptr(self.0) }.to_bytes())
    }

    /// The first four bytes of an image that may be binary; a text that is shorter gives what it has.
    pub(super) fn magic(&self) -> Reply<[u8; 4]> {
        if self.0.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        let mut magic = [0; 4];
        for (index, byte) in magic.iter_mut().enumerate() {
            // SAFETY: an image is terminated text or a header of more than four bytes, so every byte
            // up to the first NUL or the fourth can be read.
            *byte = unsafe { self.0.cast::<u8>().add(index).read() };
            if *byte == 0 {
                break;
            }
        }
        Ok(magic)
    }
}

/// An address of host memory that copies read or write. It crosses threads: the caller keeps the
/// memory until the copy is done, as the driver API demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(super) struct Host(pub(super) usize);

impl Host {
    pub(super) fn offset(self, bytes: usize) -> Host {
        Host(self.0.wrapping_add(bytes))
    }

    /// Hands `bytes` of this memory to `body`.
    pub(super) fn read<R>(self, bytes: usize, body: impl FnOnce(&[u8]) -> R) -> R {
        if bytes == 0 {
            return body(&[]);
        }
        // SAFETY: every copy checks its host address against null when it is called, and the driver
        // API has the caller keep `bytes` readable there until the copy is done.
        body(unsafe { std::slice::from_raw_parts(self.0 as *const u8, bytes) })
    }

    /// Hands `bytes` of this memory to `body`, to fill.
    pub(super) fn write<R>(self, bytes: usize, body: impl FnOnce(&mut [u8]) -> R) -> R {
        if bytes == 0 {
            return body(&mut []);
        }
        // SAFETY: as for `read`; the caller leaves the memory to the copy until it is done.
        body(unsafe { std::slice::from_raw_parts_mut(self.0 as *mut u8, bytes) })
    }

    /// Not null unless nothing is copied.
    pub(super) fn checked(self, bytes: usize) -> Reply<Host> {
        let fits = isize::try_from(bytes).is_ok() && self.0.checked_add(bytes).is_some();
        if !fits || (self.0 == 0 && bytes > 0) { Err(Code::INVALID_VALUE) } else { Ok(self) }
    }
}

/// Runs one driver call: a panic, which would be an error of this crate, becomes
/// `CUDA_ERROR_UNKNOWN` and never reaches the caller's frames.
pub(super) fn call(name: &str, body: impl FnOnce() -> Reply) -> Code {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Code::SUCCESS,
        Ok(Err(code)) => {
            if code == Code::NOT_SUPPORTED {
                say_once(name, "this is not supported by the emulator (CUDA_ERROR_NOT_SUPPORTED)");
            }
            code
        }
        Err(_) => {
            say(format_args!("{name}: internal error of the emulator, see the panic above"));
            Code::UNKNOWN
        }
    }
}

/// One message on stderr. A closed stderr is no reason to fail.
pub(super) fn say(message: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "cuda-emulator: {message}");
}

/// As [`say`], but only the first time for this function.
fn say_once(name: &str, message: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if lock(&SAID).insert(name.to_owned()) {
        say(format_args!("{name}: {message}"));
    }
}

/// Defines exported functions, each of whose bodies gives a [`Reply`], and `find`, which looks one up
/// by its name.
macro_rules! driver_api {
    ($(fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block)*) => {
        $(
            #[allow(non_snake_case)]
            #[cfg_attr(feature = "libcuda", unsafe(no_mangle))]
            extern "C" fn $name($($arg: $type),*) -> $crate::driver::code::Code {
                $crate::driver::abi::call(stringify!($name), || $body)
            }
        )*

        /// The address of the function of this name, if it stands in this module.
        pub(in crate::driver) fn find(name: &str) -> Option<$crate::driver::abi::Symbol> {
            $(if name == stringify!($name) {
                return Some($name as $crate::driver::abi::Symbol);
            })*
            None
        }

        /// What `find` knows.
        #[cfg(test)]
        pub(in crate::driver) const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}
pub(super) use driver_api;

/// The address of an exported function.
pub(super) type Symbol = *const c_void;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_refused_and_a_panic_becomes_a_code() {
        assert_eq!(Out::<u32>(std::ptr::null_mut()).set(1), Err(Code::INVALID_VALUE));
        assert_eq!(In::<u32>(std::ptr::null()).get(), Err(Code::INVALID_VALUE));
        assert_eq!(In::<u32>(std::ptr::null()).at(3), Err(Code::INVALID_VALUE));
        assert_eq!(Text(std::ptr::null()).get(), Err(Code::INVALID_VALUE));
        assert_eq!(Host(0).checked(1), Err(Code::INVALID_VALUE));
        assert_eq!(Host(0).checked(0), Ok(Host(0)));
        assert_eq!(Host(usize::MAX).checked(2), Err(Code::INVALID_VALUE));
        let mut place = 0_u32;
        assert_eq!(Out(&raw mut place).set(7), Ok(()));
        assert_eq!(place, 7);
        assert_eq!(call("test", || panic!("on purpose")), Code::UNKNOWN);
    }

    #[test]
    fn the_magic_stops_at_the_end_of_the_text() {
        assert_eq!(Text(c"ab".as_ptr()).magic(), Ok(*b"ab\0\0"));
        assert_eq!(Text(c"\x7fELF...".as_ptr()).magic(), Ok(*b"\x7fELF"));
        assert_eq!(Text(c"name".as_ptr()).get(), Ok("name"));
    }
}
