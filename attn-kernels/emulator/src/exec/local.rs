//! Local memory: arrays and spills of one thread.

use super::memory::{Request, aligned};
use super::regs::{Lanes, lanes};
use super::stop::Stop;
use super::warp::Warp;
use crate::check::FaultKind;

/// The words of a lane's local memory that a request touches.
fn local_place(warp: &Warp, request: Request<'_>, lane: usize) -> Result<(usize, u32), Stop> {
    let at = request.at[lane] & 0xffff_ffff;
    if at + u64::from(request.bytes) > u64::from(warp.local_bytes) {
        let detail =
            format!("{} bytes of local memory, a thread has {}", request.bytes, warp.local_bytes);
        return Err(Stop::new(FaultKind::OutOfBounds, 1 << lane, detail).at(at));
    }
    let words = warp.local_bytes.div_ceil(4) as usize;
    Ok((lane * words + (at >> 2) as usize, (at & 3) as u32))
}

pub(super) fn load_local<const N: usize>(
    warp: &Warp,
    request: Request<'_>,
    check: bool,
    words: &mut [Lanes<u32>; N],
) -> Result<(), Stop> {
    aligned(request, false)?;
    for lane in lanes(request.mask) {
        let (start, byte) = local_place(warp, request, lane)?;
        let need = ((1u32 << request.bytes.min(4)) - 1) << byte;
        for (k, word) in words.iter_mut().enumerate() {
            if check && u32::from(warp.local_written[start + k]) & need != need {
                let detail = format!("{} bytes of local memory", request.bytes);
                let stop = Stop::new(FaultKind::UninitializedMemory, 1 << lane, detail);
                return Err(stop.at(request.at[lane] & 0xffff_ffff));
            }
            word[lane] = warp.local[start + k] >> (byte * 8);
        }
    }
    Ok(())
}

pub(super) fn store_local<const N: usize>(
    warp: &mut Warp,
    request: Request<'_>,
    words: &[Lanes<u32>; N],
) -> Result<(), Stop> {
    aligned(request, false)?;
    for lane in lanes(request.mask) {
        let (start, byte) = local_place(warp, request, lane)?;
        let size = request.bytes.min(4);
        let field = (u32::MAX >> (32 - 8 * size)) << (byte * 8);
        for (k, word) in words.iter().enumerate() {
            let old = warp.local[start + k];
            warp.local[start + k] = old & !field | word[lane] << (byte * 8) & field;
            warp.local_written[start + k] |= (((1u32 << size) - 1) << byte) as u8;
        }
    }
    Ok(())
}
