//! Stub to be replaced within the hour.
