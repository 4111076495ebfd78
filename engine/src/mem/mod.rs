//! Memory that the rest of the crate uses through safe types: mapped files, aligned buffers,
//! disjoint column panels of one output.

mod aligned;
mod mapped;
mod panels;

pub(crate) use aligned::Aligned;
pub(crate) use mapped::Mapped;
pub(crate) use panels::{Output, Panel, for_each_panel};
