//! Resolves the KV-cache scales of a checkpoint, with provenance, and says which were dropped.
