//! The eight small operations of a decoder step, and the one matrix product.
