//! Modules: `cuModule*`. Only PTX text can be loaded; what a real driver would run as machine code is
//! refused by name.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use super::abi::{Handle, In, Out, Reply, Text, driver_api, say};
use super::code::Code;
use super::jit::Options;
use super::machine::{Kernel, Module, code_of};
use super::memory::{Range, RangeKind};
use super::state::{Driver, current, live};
use super::table::lock;

pub(super) struct LoadedModule {
    pub(super) context: Handle,
    pub(super) module: Module,
    /// The number in `.target`, for the function attributes.
    pub(super) target: u32,
    /// The functions that were asked for: asking again gives the same handle.
    functions: Mutex<HashMap<String, Handle>>,
}

pub(super) struct Function {
    pub(super) context: Handle,
    pub(super) handle_of_module: Handle,
    /// The number in the `.target` of its module.
    pub(super) target: u32,
    pub(super) kernel: Kernel,
    /// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
    pub(super) max_dynamic_shared: AtomicI32,
    /// `CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT`, -1 unless set.
    pub(super) carveout: AtomicI32,
}

/// Loads the image at `image`, which the caller says is terminated text or a binary with its magic.
fn load_data(place: Out<Handle>, image: Text, options: &Options) -> Reply {
    let (driver, context) = live()?;
    let place = place.required()?;
    context.core.not_capturing()?;
    refuse_binary(image.magic()?)?;
    let source = text(image.bytes()?)?;
    let module = load(&next_name(), source, context.handle, options)?;
    place.set(driver.modules.insert(module))
}

/// ELF is a cubin; the two others are the fatbin and its wrapper, in the byte order of the machine.
fn refuse_binary(magic: [u8; 4]) -> Reply {
    let word = u32::from_le_bytes(magic);
    let what = match (&magic, word) {
        (b"\x7fELF", _) => "a cubin",
        (_, 0xba55_ed50) => "a fatbin",
        (_, 0x4662_43b1) => "a fatbin wrapper",
        _ => return Ok(()),
    };
    say(format_args!("cuModuleLoadData: the image is {what}: only PTX text can be run"));
    Err(Code::NO_BINARY_FOR_GPU)
}

fn text(bytes: &[u8]) -> Reply<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        say(format_args!("cuModuleLoadData: the image is no text: {error}"));
        Code::INVALID_IMAGE
    })
}

/// Modules have no names in the driver; messages need one.
fn next_name() -> String {
    static LOADED: AtomicUsize = AtomicUsize::new(1);
    format!("module{}.ptx", LOADED.fetch_add(1, Ordering::Relaxed))
}

fn load(name: &str, source: &str, context: Handle, options: &Options) -> Reply<LoadedModule> {
    let (driver, _) = current()?;
    match driver.device.load_ptx(name, source) {
        Ok(module) => {
            options.succeeded();
            let functions = Mutex::default();
            Ok(LoadedModule { context, module, target: target(source), functions })
        }
        Err(error) => {
            let message = error.to_string();
            say(format_args!("cuModuleLoad: {message}"));
            options.failed(&message);
            let newest = driver.device.profile().max_ptx;
            match version(source) {
                Some(version) if version > newest => Err(Code::UNSUPPORTED_PTX_VERSION),
                _ => Err(code_of(&error)),
            }
        }
    }
}

/// The word after a directive, empty if there is none.
fn directive<'a>(source: &'a str, name: &str) -> &'a str {
    let after = source.split_once(name).map_or("", |(_, after)| after).trim_start();
    after.split(|c: char| c.is_whitespace() || c == ',').next().unwrap_or("")
}

/// The number in the `.target` of a text that the loader has accepted.
fn target(source: &str) -> u32 {
    let word = directive(source, ".target").trim_start_matches("sm_");
    word.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().unwrap_or(0)
}

/// The `.version`, also of a text that the loader cannot read because it is too new.
fn version(source: &str) -> Option<(u32, u32)> {
    let (major, minor) = directive(source, ".version").split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn function(driver: &Driver, handle: Handle, name: &str) -> Reply<Handle> {
    let module = driver.modules.get(handle)?;
    let mut functions = lock(&module.functions);
    if let Some(function) = functions.get(name) {
        return Ok(*function);
    }
    let kernel = module.module.kernel(name).map_err(|error| code_of(&error))?;
    // Without opting in, static and dynamic shared memory together have the plain limit.
    let plain = driver.device.profile().shared_per_block;
    let dynamic = i32::try_from(plain.saturating_sub(kernel.shared_bytes())).unwrap_or(0);
    let function = driver.functions.insert(Function {
        context: module.context,
        handle_of_module: handle,
        target: module.target,
        kernel,
        max_dynamic_shared: AtomicI32::new(dynamic),
        carveout: AtomicI32::new(-1),
    });
    functions.insert(name.to_owned(), function);
    Ok(function)
}

fn load_file(place: Out<Handle>, path: &str) -> Reply {
    let (driver, context) = live()?;
    let place = place.required()?;
    context.core.not_capturing()?;
    let bytes = std::fs::read(path).map_err(|error| {
        say(format_args!("cuModuleLoad: {path}: {error}"));
        Code::FILE_NOT_FOUND
    })?;
    let mut magic = [0; 4];
    magic.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
    refuse_binary(magic)?;
    let name = Path::new(path).file_name().map_or(path.into(), |name| name.to_string_lossy());
    let module = load(&name, text(&bytes)?, context.handle, &Options::default())?;
    place.set(driver.modules.insert(module))
}

driver_api! {
    fn cuModuleLoad(place: Out<Handle>, path: Text) {
        load_file(place, path.get()?)
    }

    fn cuModuleLoadData(place: Out<Handle>, image: Text) {
        load_data(place, image, &Options::default())
    }

    fn cuModuleLoadDataEx(
        place: Out<Handle>, image: Text, count: u32, names: In<u32>, values: In<usize>,
    ) {
        load_data(place, image, &Options::read(count, names, values)?)
    }

    fn cuModuleLoadFatBinary(place: Out<Handle>, image: Text) {
        load_data(place, image, &Options::default())
    }

    fn cuModuleUnload(handle: Handle) {
        let (driver, context) = current()?;
        context.core.not_capturing()?;
        driver.modules.remove(handle)?;
        driver.functions.remove_where(|function| function.handle_of_module == handle);
        driver.memory.remove_module(handle);
        context.core.check()
    }

    fn cuModuleGetFunction(place: Out<Handle>, handle: Handle, name: Text) {
        let (driver, _) = live()?;
        let place = place.required()?;
        place.set(function(driver, handle, name.get()?)?)
    }

    fn cuModuleGetFunctionCount(count: Out<u32>, handle: Handle) {
        let (driver, _) = live()?;
        count.set(driver.modules.get(handle)?.module.kernels().count() as u32)
    }

    fn cuModuleGetGlobal_v2(place: Out<u64>, size: Out<usize>, handle: Handle, name: Text) {
        let (driver, _) = live()?;
        let module = driver.modules.get(handle)?;
        let (ptr, bytes) = module.module.variable(name.get()?).map_err(|error| code_of(&error))?;
        let (start, context) = (ptr.0, module.context);
        driver.memory.insert(Range { start, bytes, context, kind: RangeKind::Variable(handle) });
        place.set_if_wanted(start);
        size.set_if_wanted(bytes);
        Ok(())
    }

    // Everything is loaded when the module is.
    fn cuModuleGetLoadingMode(mode: Out<u32>) {
        const EAGER: u32 = 1;
        mode.set(EAGER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_refused_and_directives_read() {
        assert_eq!(refuse_binary(*b"\x7fELF"), Err(Code::NO_BINARY_FOR_GPU));
        assert_eq!(refuse_binary(0xba55_ed50_u32.to_le_bytes()), Err(Code::NO_BINARY_FOR_GPU));
        assert_eq!(refuse_binary(*b".ver"), Ok(()));
        assert_eq!(refuse_binary(*b"\n\0\0\0"), Ok(()));
        let source = "//\n.version 7.8\n.target sm_90a, texmode_independent\n";
        assert_eq!((target(source), version(source)), (90, Some((7, 8))));
        assert_eq!((target(""), version(".version 8")), (0, None));
        assert_eq!(text(b"\xff").err(), Some(Code::INVALID_IMAGE));
    }
}
