//! NVRTC through cudarc: a source and its headers in, PTX out. It knows no files and no cache.

use std::ffi::{CStr, CString, c_char, c_int};

use cudarc::nvrtc::{result, sys};

/// Whether the loader finds libnvrtc.
pub(super) fn is_present() -> bool {
    // SAFETY: loads NVIDIA's library, which asks nothing of its caller, and lets go of it.
    unsafe { sys::is_culib_present() }
}

/// Its version, (12, 9). Only where it is present.
pub(super) fn version() -> Result<(i32, i32), String> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both places are numbers of the call's own.
    unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }
        .result()
        .map_err(|error| format!("nvrtcVersion: {:?}", error.0))?;
    Ok((major, minor))
}

/// Destroys its program when dropped.
struct Owned(sys::nvrtcProgram);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: created by `compile`, destroyed once. There is nobody to tell of a failure.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// Compiles the file `name` of `files`, which may include the others by name. The error is the
/// compiler's log. Only where NVRTC is present.
pub(super) fn compile(
    name: &str,
    files: &[(&str, &str)],
    options: &[String],
) -> Result<String, String> {
    let text = |text: &str| CString::new(text).map_err(|_| "a NUL in a source".to_owned());
    let source = files.iter().find(|(file, _)| *file == name);
    let source = text(source.ok_or_else(|| format!("no source {name}"))?.1)?;
    let title = text(name)?;
    let headers = files.iter().filter(|(file, _)| *file != name);
    let names = headers.clone().map(|(file, _)| text(file)).collect::<Result<Vec<_>, _>>()?;
    let texts = headers.map(|(_, body)| text(body)).collect::<Result<Vec<_>, _>>()?;
    let pointers = |all: &[CString]| all.iter().map(|s| s.as_ptr()).collect::<Vec<*const c_char>>();
    let (names, texts) = ((pointers(&names), names), (pointers(&texts), texts));
    let count = c_int::try_from(names.0.len()).map_err(|e| e.to_string())?;
    let mut program = std::ptr::null_mut();
    // SAFETY: all strings end with NUL and outlive the call, which copies them; there are `count` names
    // and as many texts.
    unsafe {
        sys::nvrtcCreateProgram(
            &raw mut program,
            source.as_ptr(),
            title.as_ptr(),
            count,
            texts.0.as_ptr(),
            names.0.as_ptr(),
        )
    }
    .result()
    .map_err(|error| format!("nvrtcCreateProgram: {:?}", error.0))?;
    let program = Owned(program);
    // SAFETY: the program was just created; so below.
    if let Err(error) = unsafe { result::compile_program(program.0, options) } {
        // SAFETY: as above.
        let log = unsafe { result::get_program_log(program.0) };
        let log = log.ok().and_then(|log| string(&log)).unwrap_or_default();
        return Err(format!("{:?}: {}", error.0, log.trim()));
    }
    // SAFETY: as above.
    let ptx = unsafe { result::get_ptx(program.0) }
        .map_err(|error| format!("nvrtcGetPTX: {:?}", error.0))?;
    string(&ptx).ok_or_else(|| "the PTX is no text".to_owned())
}

/// A text that the library wrote, up to its NUL.
fn string(text: &[c_char]) -> Option<String> {
    // SAFETY: `c_char` is a byte, signed or not.
    let bytes = unsafe { std::slice::from_raw_parts(text.as_ptr().cast::<u8>(), text.len()) };
    CStr::from_bytes_until_nul(bytes).ok()?.to_str().ok().map(str::to_owned)
}
