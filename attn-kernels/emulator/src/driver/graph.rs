//! Graphs: what a capture gave, made executable and launched into a stream. A graph is a list here:
//! its operations run one after the other in the order of their capture, which is one of the orders
//! that the dependencies allow.

use std::sync::Arc;

use super::abi::{Handle, Out, Reply, driver_api};
use super::code::Code;
use super::op::Op;
use super::state::{driver, live, live_stream};

/// What `cuStreamEndCapture` gives.
pub(super) struct Graph {
    pub(super) ops: Arc<[Op]>,
}

/// What `cuGraphInstantiate` gives.
pub(super) struct Exec {
    pub(super) context: Handle,
    ops: Arc<[Op]>,
}

const AUTO_FREE_ON_LAUNCH: u64 = 1;
const UPLOAD: u64 = 2;
const DEVICE_LAUNCH: u64 = 4;
const USE_NODE_PRIORITY: u64 = 8;

fn instantiate(place: Out<Handle>, graph: Handle, flags: u64) -> Reply {
    let (driver, context) = live()?;
    let graph = driver.graphs.get(graph)?;
    let place = place.required()?;
    let known = AUTO_FREE_ON_LAUNCH | UPLOAD | DEVICE_LAUNCH | USE_NODE_PRIORITY;
    if flags & !known != 0 || flags & DEVICE_LAUNCH != 0 && flags & AUTO_FREE_ON_LAUNCH != 0 {
        return Err(Code::INVALID_VALUE);
    }
    if flags & (DEVICE_LAUNCH | UPLOAD) != 0 {
        return Err(Code::NOT_SUPPORTED);
    }
    let exec = Exec { context: context.handle, ops: Arc::clone(&graph.ops) };
    place.set(driver.execs.insert(exec))
}

driver_api! {
    fn cuGraphInstantiateWithFlags(place: Out<Handle>, graph: Handle, flags: u64) {
        instantiate(place, graph, flags)
    }

    fn cuGraphLaunch(exec: Handle, stream: Handle) {
        let (driver, _, stream) = live_stream(stream)?;
        let exec = driver.execs.get(exec)?;
        if exec.context != stream.context() {
            return Err(Code::INVALID_CONTEXT);
        }
        stream.push(Op::Graph(Arc::clone(&exec.ops)))
    }

    fn cuGraphUpload(exec: Handle, stream: Handle) {
        // Nothing has to be brought to the device before the launch.
        let (driver, _, stream) = live_stream(stream)?;
        driver.execs.get(exec)?;
        stream.not_capturing()
    }

    fn cuGraphExecDestroy(exec: Handle) {
        driver()?.execs.remove(exec).map(drop)
    }

    fn cuGraphDestroy(graph: Handle) {
        driver()?.graphs.remove(graph).map(drop)
    }

    fn cuGraphClone(place: Out<Handle>, graph: Handle) {
        let driver = driver()?;
        let ops = Arc::clone(&driver.graphs.get(graph)?.ops);
        place.required()?.set(driver.graphs.insert(Graph { ops }))
    }
}
