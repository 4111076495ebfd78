//! The driver of this process: made by `cuInit`, holding the device and the handle tables; and the way
//! from a handle or the calling thread to a live object.

use std::sync::{Arc, Mutex, OnceLock};

use super::abi::{Handle, Reply, say};
use super::code::Code;
use super::context::Context;
use super::core::{PER_THREAD, STACK, driver_calls_permitted};
use super::event::Event;
use super::graph::{Exec, Graph};
use super::machine::Device;
use super::memory::Memory;
use super::module::{Function, LoadedModule};
use super::pinned::Pinned;
use super::pool::Pool;
use super::report::Report;
use super::settings::{Settings, Streams};
use super::stream::Stream;
use super::table::{Kind, Table, lock};

pub(super) struct Driver {
    pub(super) device: Device,
    pub(super) streams_mode: Streams,
    pub(super) report: Arc<Report>,
    pub(super) primary: Mutex<Primary>,
    pub(super) contexts: Table<Context>,
    pub(super) modules: Table<LoadedModule>,
    pub(super) functions: Table<Function>,
    pub(super) streams: Table<Stream>,
    pub(super) events: Table<Event>,
    pub(super) graphs: Table<Graph>,
    pub(super) execs: Table<Exec>,
    pub(super) pools: Table<Pool>,
    pub(super) default_pool: Handle,
    pub(super) current_pool: Mutex<Handle>,
    pub(super) memory: Memory,
    pub(super) pinned: Pinned,
}

/// The primary context: made by the first retain, gone with the last release.
#[derive(Default)]
pub(super) struct Primary {
    pub(super) context: Option<Handle>,
    pub(super) retained: usize,
    pub(super) flags: u32,
}

static DRIVER: OnceLock<Driver> = OnceLock::new();

/// The driver, in every call but the few that need none.
pub(super) fn driver() -> Reply<&'static Driver> {
    driver_calls_permitted()?;
    DRIVER.get().ok_or(Code::NOT_INITIALIZED)
}

/// `cuInit`: reads the environment and makes the device. Later calls change nothing.
pub(super) fn init() -> Reply {
    static ONCE: Mutex<()> = Mutex::new(());
    let _once = lock(&ONCE);
    if DRIVER.get().is_some() {
        return Ok(());
    }
    let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let driver = Settings::read(variables).and_then(Driver::new).map_err(|message| {
        say(format_args!("cuInit: {message}"));
        Code::INVALID_VALUE
    })?;
    let _ = DRIVER.set(driver);
    Ok(())
}

impl Driver {
    fn new(settings: Settings) -> Result<Driver, String> {
        let device = super::machine::device(&settings)?;
        let report = Arc::new(Report::open(settings.report)?);
        let pools = Table::new(Kind::Pool);
        let default_pool = pools.insert(Pool::default());
        Ok(Driver {
            device,
            streams_mode: settings.streams,
            report,
            primary: Mutex::default(),
            contexts: Table::new(Kind::Context),
            modules: Table::new(Kind::Module),
            functions: Table::new(Kind::Function),
            streams: Table::new(Kind::Stream),
            events: Table::new(Kind::Event),
            graphs: Table::new(Kind::Graph),
            execs: Table::new(Kind::GraphExec),
            pools,
            default_pool,
            current_pool: Mutex::new(default_pool),
            memory: Memory::default(),
            pinned: Pinned::default(),
        })
    }

    /// The stream a handle means in `context`: null and 1 are the legacy default stream, 2 the
    /// default stream of this thread.
    pub(super) fn stream(&self, context: &Context, handle: Handle) -> Reply<Arc<Stream>> {
        match handle {
            0 | 1 => Ok(Arc::clone(&context.legacy)),
            2 => Ok(per_thread_stream(context)),
            _ => {
                let stream = self.streams.get(handle)?;
                // A stream of another context is a valid one, but none of its own objects mix.
                if stream.context() == context.handle {
                    Ok(stream)
                } else {
                    Err(Code::INVALID_CONTEXT)
                }
            }
        }
    }
}

fn per_thread_stream(context: &Context) -> Arc<Stream> {
    PER_THREAD.with_borrow_mut(|streams| {
        streams.retain(|_, stream| stream.core.check() != Err(Code::CONTEXT_IS_DESTROYED));
        Arc::clone(streams.entry(context.handle).or_insert_with(|| context.new_default_stream()))
    })
}

/// The driver and the context that is current in this thread, whatever state that is in.
pub(super) fn current() -> Reply<(&'static Driver, Arc<Context>)> {
    let driver = driver()?;
    let handle = STACK.with_borrow(|stack| stack.last().copied()).ok_or(Code::INVALID_CONTEXT)?;
    let context = driver.contexts.get(handle).map_err(|_| Code::CONTEXT_IS_DESTROYED)?;
    Ok((driver, context))
}

/// The driver and the current context, which has not failed: a sticky error is given back here.
pub(super) fn live() -> Reply<(&'static Driver, Arc<Context>)> {
    let (driver, context) = current()?;
    context.core.check()?;
    Ok((driver, context))
}

/// As [`live`], with the stream `handle` of that context.
pub(super) fn live_stream(handle: Handle) -> Reply<(&'static Driver, Arc<Context>, Arc<Stream>)> {
    let (driver, context) = live()?;
    let stream = driver.stream(&context, handle)?;
    Ok((driver, context, stream))
}
