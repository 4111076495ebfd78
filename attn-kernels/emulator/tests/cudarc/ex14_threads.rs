//! 14: many host threads and streams at once; cudarc's own events keep the order.

use cudarc::driver::{CudaContext, DriverError};

pub(crate) fn main() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8_u32)
            .map(|seed| {
                let context = &context;
                scope.spawn(move || -> Result<(), DriverError> {
                    let (left, right) = (context.new_stream()?, context.new_stream()?);
                    for round in 0..50 {
                        let host: Vec<u32> = (0..500).map(|i| seed * 1000 + round + i).collect();
                        let there = left.clone_htod(&host)?;
                        let copy = right.clone_dtod(&there)?;
                        let mut half = left.alloc_zeros::<u32>(250)?;
                        drop(there);
                        left.memcpy_dtod(&copy.slice(250..), &mut half)?;
                        assert_eq!(right.clone_dtoh(&half)?, host[250..]);
                        assert_eq!(left.clone_dtoh(&copy)?, host);
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })?;
    context.synchronize()?;
    let (free, total) = context.mem_get_info()?;
    assert_eq!(free, total, "all of it was given back");
    Ok(())
}
