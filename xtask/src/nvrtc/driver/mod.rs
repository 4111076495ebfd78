//! The C interface of NVRTC, loaded at run time: text in, PTX out. It knows nothing of files.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use anyhow::{Context, Result, bail};
use libloading::Library;

use super::Toolkit;

/// `nvrtcProgram`, an opaque handle.
type Program = *mut std::ffi::c_void;
type GetSize = unsafe extern "C" fn(Program, *mut usize) -> c_int;
type GetText = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
type Create = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> c_int;

/// The functions used, from NVRTC's user guide.
pub(crate) struct Nvrtc {
    create: Create,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int,
    destroy: unsafe extern "C" fn(*mut Program) -> c_int,
    ptx_size: GetSize,
    ptx: GetText,
    log_size: GetSize,
    log: GetText,
    error_string: unsafe extern "C" fn(c_int) -> *const c_char,
    /// Keeps the functions above valid.
    _library: Library,
}

/// Destroys its program when dropped.
struct Owned<'a> {
    nvrtc: &'a Nvrtc,
    program: Program,
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: the program was created by this library and is destroyed once.
        unsafe { (self.nvrtc.destroy)(&mut self.program) };
    }
}

impl Nvrtc {
    /// Loads the toolkit's library.
    pub(crate) fn load(toolkit: &Toolkit) -> Result<Self> {
        let path = toolkit.nvrtc();
        // SAFETY: NVIDIA's library has no initializer that asks anything of its caller.
        let library = unsafe { Library::new(&path) }
            .with_context(|| format!("cannot load {}", path.display()))?;
        // SAFETY: the types are those of nvrtc.h 12.9; the library lives as long as the pointers.
        unsafe {
            Ok(Self {
                create: *library.get(b"nvrtcCreateProgram\0")?,
                compile: *library.get(b"nvrtcCompileProgram\0")?,
                destroy: *library.get(b"nvrtcDestroyProgram\0")?,
                ptx_size: *library.get(b"nvrtcGetPTXSize\0")?,
                ptx: *library.get(b"nvrtcGetPTX\0")?,
                log_size: *library.get(b"nvrtcGetProgramLogSize\0")?,
                log: *library.get(b"nvrtcGetProgramLog\0")?,
                error_string: *library.get(b"nvrtcGetErrorString\0")?,
                _library: library,
            })
        }
    }

    /// Compiles `source`, called `name` in messages, to PTX. Warnings are shown, errors returned.
    pub(crate) fn compile(&self, source: &str, name: &str, options: &[String]) -> Result<String> {
        let source = CString::new(source)?;
        let name = CString::new(name)?;
        let options: Vec<CString> =
            options.iter().map(|o| CString::new(o.as_str())).collect::<Result<_, _>>()?;
        let options: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        let mut program = ptr::null_mut();
        // SAFETY: both strings end in 0 and outlive the call, which copies them; no headers.
        let code = unsafe {
            let (source, name) = (source.as_ptr(), name.as_ptr());
            (self.create)(&mut program, source, name, 0, ptr::null(), ptr::null())
        };
        self.check(code, "nvrtcCreateProgram")?;
        let owned = Owned { nvrtc: self, program };
        let count = c_int::try_from(options.len())?;
        // SAFETY: `options` holds `count` strings that end in 0.
        let code = unsafe { (self.compile)(owned.program, count, options.as_ptr()) };
        let log = self.text(owned.program, self.log_size, self.log, "log")?;
        if code != 0 {
            bail!("{}", log.trim_end());
        }
        if !log.trim().is_empty() {
            eprintln!("{}", log.trim_end());
        }
        self.text(owned.program, self.ptx_size, self.ptx, "PTX")
    }

    fn text(&self, program: Program, size: GetSize, get: GetText, what: &str) -> Result<String> {
        let mut bytes = 0usize;
        // SAFETY: the program is alive and `bytes` is a place for its size.
        self.check(unsafe { size(program, &mut bytes) }, what)?;
        let mut text = vec![0u8; bytes.max(1)];
        // SAFETY: the text has the size that the library asked for, final 0 included.
        self.check(unsafe { get(program, text.as_mut_ptr().cast()) }, what)?;
        let text = CStr::from_bytes_until_nul(&text).context("a text without an end")?;
        Ok(text.to_str().with_context(|| format!("{what} is no UTF-8"))?.to_owned())
    }

    fn check(&self, code: c_int, what: &str) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the function returns a static string for every code.
        let message = unsafe { CStr::from_ptr((self.error_string)(code)) };
        bail!("{what}: {}", message.to_string_lossy())
    }
}
