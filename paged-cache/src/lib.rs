//! A block allocator for paged KV caches: block tables, copy-on-write, prefix sharing.
