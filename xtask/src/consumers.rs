//! Outside consumers.
