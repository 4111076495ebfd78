//! The paged KV cache of one model: blocks and tables, one `KvCache` per layer, capacity.
