//! The tensors of a checkpoint, located, checked and read in place.
