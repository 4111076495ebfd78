//! Copies: `cuMemcpy*`. What the host must keep, and for how long, follows the driver API, "API
//! synchronization behavior": pageable memory is read at the call and written before it returns,
//! page-locked memory when the copy runs.

use std::sync::Arc;

use super::abi::{Handle, Host, In, Reply, driver_api};
use super::code::Code;
use super::context::Context;
use super::op::{Copy, Op, Place};
use super::state::{Driver, live, live_stream};

/// One end of a copy as the caller names it.
#[derive(Clone, Copy)]
enum End {
    Device(u64),
    Host(Host),
}

/// One end, with the distance of its rows.
#[derive(Clone, Copy)]
struct Side {
    end: End,
    pitch: usize,
}

#[derive(Clone, Copy)]
struct Request {
    dst: Side,
    src: Side,
    bytes: usize,
    rows: usize,
}

impl Side {
    fn flat(end: End) -> Side {
        Side { end, pitch: 0 }
    }

    /// The bytes from the first row's start to the last row's end.
    fn span(&self, bytes: usize, rows: usize) -> Reply<usize> {
        if rows == 0 || bytes == 0 {
            return Ok(0);
        }
        if rows > 1 && self.pitch < bytes {
            return Err(Code::INVALID_VALUE);
        }
        let before = self.pitch.checked_mul(rows - 1).ok_or(Code::INVALID_VALUE)?;
        before.checked_add(bytes).ok_or(Code::INVALID_VALUE)
    }

    fn check(&self, driver: &Driver, bytes: usize, rows: usize) -> Reply<Place> {
        let span = self.span(bytes, rows)?;
        match self.end {
            End::Device(ptr) => driver.memory.check(ptr, span).map(Place::Device),
            End::Host(host) => host.checked(span).map(Place::Host),
        }
    }

    fn is_pageable(&self, driver: &Driver, bytes: usize, rows: usize) -> Reply<bool> {
        let span = self.span(bytes, rows)?;
        Ok(match self.end {
            End::Host(host) => span > 0 && driver.pinned.find(host, span).is_none(),
            End::Device(_) => false,
        })
    }
}

impl Request {
    fn flat(dst: End, src: End, bytes: usize) -> Request {
        Request { dst: Side::flat(dst), src: Side::flat(src), bytes, rows: 1 }
    }

    fn prepare(&self, driver: &Driver) -> Reply<Copy> {
        Ok(Copy {
            dst: self.dst.check(driver, self.bytes, self.rows)?,
            src: self.src.check(driver, self.bytes, self.rows)?,
            bytes: self.bytes,
            rows: self.rows,
            dst_pitch: self.dst.pitch,
            src_pitch: self.src.pitch,
        })
    }

    /// In the legacy default stream. Only a copy within the device, where the host does not look,
    /// leaves it running.
    fn run_sync(&self) -> Reply {
        let (driver, context) = live()?;
        context.core.not_capturing()?;
        let copy = self.prepare(driver)?;
        let fence = context.legacy.push_now(Op::Copy(copy))?;
        let of_device = |end| matches!(end, End::Device(ptr) if !driver.memory.is_of_host(ptr));
        if !(of_device(self.dst.end) && of_device(self.src.end)) {
            fence.wait();
        }
        context.core.check()
    }

    fn run_async(&self, stream: Handle) -> Reply {
        let (driver, context, stream) = live_stream(stream)?;
        let mut copy = self.prepare(driver)?;
        let reads_pageable = self.src.is_pageable(driver, self.bytes, self.rows)?;
        let writes_pageable = self.dst.is_pageable(driver, self.bytes, self.rows)?;
        if !reads_pageable && !writes_pageable {
            return stream.push(Op::Copy(copy));
        }
        // A graph would have to come back to memory that nobody promised to keep.
        stream.not_capturing()?;
        if reads_pageable {
            self.stage(&mut copy);
        }
        let fence = stream.push_now(Op::Copy(copy))?;
        if writes_pageable {
            fence.wait();
            return context.core.check();
        }
        Ok(())
    }

    /// Reads the pageable source now, its rows one right behind the other.
    fn stage(&self, copy: &mut Copy) {
        let Place::Host(src) = copy.src else { return };
        let mut staged = Vec::with_capacity(self.bytes * self.rows);
        for row in 0..self.rows {
            let row = src.offset(row * self.src.pitch);
            row.read(self.bytes, |bytes| staged.extend_from_slice(bytes));
        }
        copy.src = Place::Staged(Arc::from(staged));
        copy.src_pitch = self.bytes;
    }
}

/// Which side an address of the unified space is on: device memory that is known, else the host's.
fn unified(driver: &Driver, ptr: u64) -> Reply<End> {
    match driver.memory.find(ptr) {
        Some(_) => Ok(End::Device(ptr)),
        None => {
            usize::try_from(ptr).map(|ptr| End::Host(Host(ptr))).map_err(|_| Code::INVALID_VALUE)
        }
    }
}

/// `CUDA_MEMCPY2D`: x in bytes, y in rows.
#[derive(Clone, Copy)]
#[repr(C)]
struct Copy2d {
    src: Side2d,
    dst: Side2d,
    width: usize,
    height: usize,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Side2d {
    x: usize,
    y: usize,
    memory_type: u32,
    host: Host,
    device: u64,
    array: Handle,
    pitch: usize,
}

impl Side2d {
    fn side(&self, driver: &Driver) -> Reply<Side> {
        let offset = self.y.checked_mul(self.pitch).and_then(|rows| rows.checked_add(self.x));
        let offset = offset.ok_or(Code::INVALID_VALUE)?;
        let device = |ptr: u64| ptr.checked_add(offset as u64).ok_or(Code::INVALID_VALUE);
        let end = match self.memory_type {
            1 => End::Host(self.host.checked(offset)?.offset(offset)),
            2 => End::Device(device(self.device)?),
            // CU_MEMORYTYPE_ARRAY: there are no textures.
            3 => return Err(Code::NOT_SUPPORTED),
            4 => unified(driver, device(self.device)?)?,
            _ => return Err(Code::INVALID_VALUE),
        };
        Ok(Side { end, pitch: self.pitch })
    }
}

impl Copy2d {
    fn request(&self) -> Reply<Request> {
        let (driver, _) = live()?;
        for side in [&self.src, &self.dst] {
            let row = side.x.checked_add(self.width).ok_or(Code::INVALID_VALUE)?;
            if side.pitch < row && self.height > 1 {
                return Err(Code::INVALID_VALUE);
            }
        }
        let (dst, src) = (self.dst.side(driver)?, self.src.side(driver)?);
        Ok(Request { dst, src, bytes: self.width, rows: self.height })
    }
}

/// Contexts share one device, so a copy between two of them is one within the device.
fn known_contexts(driver: &Driver, contexts: [Handle; 2]) -> Reply {
    let known = |handle: Handle| -> Reply<std::sync::Arc<Context>> {
        driver.contexts.get(handle).map_err(|_| Code::INVALID_CONTEXT)
    };
    contexts.into_iter().try_for_each(|handle| known(handle).map(drop))
}

driver_api! {
    fn cuMemcpyHtoD_v2(dst: u64, src: Host, bytes: usize) {
        Request::flat(End::Device(dst), End::Host(src), bytes).run_sync()
    }

    fn cuMemcpyDtoH_v2(dst: Host, src: u64, bytes: usize) {
        Request::flat(End::Host(dst), End::Device(src), bytes).run_sync()
    }

    fn cuMemcpyDtoD_v2(dst: u64, src: u64, bytes: usize) {
        Request::flat(End::Device(dst), End::Device(src), bytes).run_sync()
    }

    fn cuMemcpyHtoDAsync_v2(dst: u64, src: Host, bytes: usize, stream: Handle) {
        Request::flat(End::Device(dst), End::Host(src), bytes).run_async(stream)
    }

    fn cuMemcpyDtoHAsync_v2(dst: Host, src: u64, bytes: usize, stream: Handle) {
        Request::flat(End::Host(dst), End::Device(src), bytes).run_async(stream)
    }

    fn cuMemcpyDtoDAsync_v2(dst: u64, src: u64, bytes: usize, stream: Handle) {
        Request::flat(End::Device(dst), End::Device(src), bytes).run_async(stream)
    }

    fn cuMemcpy(dst: u64, src: u64, bytes: usize) {
        let (driver, _) = live()?;
        Request::flat(unified(driver, dst)?, unified(driver, src)?, bytes).run_sync()
    }

    fn cuMemcpyAsync(dst: u64, src: u64, bytes: usize, stream: Handle) {
        let (driver, _) = live()?;
        Request::flat(unified(driver, dst)?, unified(driver, src)?, bytes).run_async(stream)
    }

    fn cuMemcpyPeer(dst: u64, to: Handle, src: u64, from: Handle, bytes: usize) {
        known_contexts(live()?.0, [to, from])?;
        Request::flat(End::Device(dst), End::Device(src), bytes).run_sync()
    }

    fn cuMemcpyPeerAsync(dst: u64, to: Handle, src: u64, from: Handle, bytes: usize, stream: Handle) {
        known_contexts(live()?.0, [to, from])?;
        Request::flat(End::Device(dst), End::Device(src), bytes).run_async(stream)
    }

    fn cuMemcpy2D_v2(copy: In<Copy2d>) {
        copy.get()?.request()?.run_sync()
    }

    fn cuMemcpy2DUnaligned_v2(copy: In<Copy2d>) {
        copy.get()?.request()?.run_sync()
    }

    fn cuMemcpy2DAsync_v2(copy: In<Copy2d>, stream: Handle) {
        copy.get()?.request()?.run_async(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_of_rows_ends_with_the_last_row() {
        let side = |pitch| Side { end: End::Device(0), pitch };
        assert_eq!(side(16).span(10, 3), Ok(42));
        assert_eq!(side(0).span(10, 1), Ok(10));
        assert_eq!(side(16).span(10, 0), Ok(0));
        assert_eq!(side(8).span(10, 2), Err(Code::INVALID_VALUE));
        assert_eq!(side(usize::MAX).span(10, 3), Err(Code::INVALID_VALUE));
    }
}
