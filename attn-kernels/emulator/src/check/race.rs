//! The order of accesses to shared memory.
