//! Fills: `cuMemset*`. They leave the host running, the synchronous ones as well, as documented for
//! device memory.

use super::abi::{Handle, Reply, driver_api};
use super::code::Code;
use super::op::{Fill, Op, Value};
use super::state::{Driver, live, live_stream};

/// Rows of values, with the distance of the rows.
#[derive(Clone, Copy)]
struct Rows {
    dst: u64,
    count: usize,
    rows: usize,
    pitch: usize,
}

impl Rows {
    fn one(dst: u64, count: usize) -> Rows {
        Rows { dst, count, rows: 1, pitch: 0 }
    }

    /// `None` when nothing is filled.
    fn prepare(self, driver: &Driver, value: Value) -> Reply<Option<Op>> {
        let width = value.bytes();
        let bytes = self.count.checked_mul(width).ok_or(Code::INVALID_VALUE)?;
        if !self.dst.is_multiple_of(width as u64) || !self.pitch.is_multiple_of(width) {
            return Err(Code::INVALID_VALUE);
        }
        if bytes == 0 || self.rows == 0 {
            return Ok(None);
        }
        if self.rows > 1 && self.pitch < bytes {
            return Err(Code::INVALID_VALUE);
        }
        let before = self.pitch.checked_mul(self.rows - 1).ok_or(Code::INVALID_VALUE)?;
        let span = before.checked_add(bytes).ok_or(Code::INVALID_VALUE)?;
        let dst = driver.memory.check(self.dst, span)?;
        let (count, rows, pitch) = (self.count, self.rows, self.pitch);
        Ok(Some(Op::Fill(Fill { dst, value, count, rows, pitch })))
    }

    fn run_sync(self, value: Value) -> Reply {
        let (driver, context) = live()?;
        context.core.not_capturing()?;
        if let Some(op) = self.prepare(driver, value)? {
            context.legacy.push_now(op)?;
        }
        context.core.check()
    }

    fn run_async(self, value: Value, stream: Handle) -> Reply {
        let (driver, _, stream) = live_stream(stream)?;
        self.prepare(driver, value)?.map_or(Ok(()), |op| stream.push(op))
    }
}

driver_api! {
    fn cuMemsetD8_v2(dst: u64, value: u8, count: usize) {
        Rows::one(dst, count).run_sync(Value::D8(value))
    }

    fn cuMemsetD16_v2(dst: u64, value: u16, count: usize) {
        Rows::one(dst, count).run_sync(Value::D16(value))
    }

    fn cuMemsetD32_v2(dst: u64, value: u32, count: usize) {
        Rows::one(dst, count).run_sync(Value::D32(value))
    }

    fn cuMemsetD8Async(dst: u64, value: u8, count: usize, stream: Handle) {
        Rows::one(dst, count).run_async(Value::D8(value), stream)
    }

    fn cuMemsetD16Async(dst: u64, value: u16, count: usize, stream: Handle) {
        Rows::one(dst, count).run_async(Value::D16(value), stream)
    }

    fn cuMemsetD32Async(dst: u64, value: u32, count: usize, stream: Handle) {
        Rows::one(dst, count).run_async(Value::D32(value), stream)
    }

    fn cuMemsetD2D8_v2(dst: u64, pitch: usize, value: u8, count: usize, rows: usize) {
        Rows { dst, count, rows, pitch }.run_sync(Value::D8(value))
    }

    fn cuMemsetD2D16_v2(dst: u64, pitch: usize, value: u16, count: usize, rows: usize) {
        Rows { dst, count, rows, pitch }.run_sync(Value::D16(value))
    }

    fn cuMemsetD2D32_v2(dst: u64, pitch: usize, value: u32, count: usize, rows: usize) {
        Rows { dst, count, rows, pitch }.run_sync(Value::D32(value))
    }

    fn cuMemsetD2D8Async(
        dst: u64, pitch: usize, value: u8, count: usize, rows: usize, stream: Handle,
    ) {
        Rows { dst, count, rows, pitch }.run_async(Value::D8(value), stream)
    }

    fn cuMemsetD2D16Async(
        dst: u64, pitch: usize, value: u16, count: usize, rows: usize, stream: Handle,
    ) {
        Rows { dst, count, rows, pitch }.run_async(Value::D16(value), stream)
    }

    fn cuMemsetD2D32Async(
        dst: u64, pitch: usize, value: u32, count: usize, rows: usize, stream: Handle,
    ) {
        Rows { dst, count, rows, pitch }.run_async(Value::D32(value), stream)
    }
}
