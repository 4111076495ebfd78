//! Copies from global to shared memory that run beside the computation (PTX ISA, `cp.async`).
#pragma once
#include "types.cuh"

/// 16 bytes, past the L1 cache; zeros where not `valid` (nothing is read then).
DEVICE void copy16(u32 shared, const void *global, bool valid) {
    u32 size = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(size)
                 : "memory");
}

/// 4 bytes; zero where not `valid`.
DEVICE void copy4(u32 shared, const void *global, bool valid) {
    u32 size = valid ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared), "l"(global), "r"(size)
                 : "memory");
}

/// Ends the group of the copies issued since the last call; a group may be empty.
DEVICE void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most `LEFT` of this thread's groups are under way. What other threads copied is
/// there after the barrier that must follow.
template <u32 LEFT> DEVICE void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}
