//! Special registers (PTX ISA, "Special Registers").

use crate::isa::Special;

/// Whether it is a special register of PTX that is not there.
pub(super) fn missing(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "%tid",
        "%ntid",
        "%ctaid",
        "%nctaid",
        "%clusterid",
        "%nclusterid",
        "%cluster_",
        "%envreg",
        "%pm",
        "%is_explicit_cluster",
        "%aggr_smem_size",
        "%current_graph_exec",
    ];
    NAMES.iter().any(|start| name.starts_with(start)) || name.starts_with("%reserved_smem_")
}

/// The register, its width in bits, and the `.target` it needs.
pub(super) fn special(name: &str) -> Option<(Special, u32, u32)> {
    let vector = |base: &str| {
        let side = name.strip_prefix(base)?.strip_prefix('.')?;
        ["x", "y", "z"].iter().position(|&s| s == side).and_then(|i| u8::try_from(i).ok())
    };
    if let Some(side) = vector("%tid") {
        return Some((Special::Tid(side), 32, 0));
    }
    if let Some(side) = vector("%ntid") {
        return Some((Special::Ntid(side), 32, 0));
    }
    if let Some(side) = vector("%ctaid") {
        return Some((Special::Ctaid(side), 32, 0));
    }
    if let Some(side) = vector("%nctaid") {
        return Some((Special::Nctaid(side), 32, 0));
    }
    for (base, at_cluster) in [
        ("%clusterid", Special::Ctaid as fn(u8) -> Special),
        ("%nclusterid", Special::Nctaid as fn(u8) -> Special),
    ] {
        // Clusters of one CTA: the grid of clusters is the grid of CTAs.
        if let Some(side) = vector(base) {
            return Some((at_cluster(side), 32, 90));
        }
    }
    if vector("%cluster_ctaid").is_some() {
        return Some((Special::ClusterZero, 32, 90));
    }
    if vector("%cluster_nctaid").is_some() {
        return Some((Special::ClusterOne, 32, 90));
    }
    Some(match name {
        "%laneid" => (Special::LaneId, 32, 0),
        "%warpid" => (Special::WarpId, 32, 0),
        "%nwarpid" => (Special::NwarpId, 32, 0),
        "%smid" => (Special::SmId, 32, 0),
        "%nsmid" => (Special::NsmId, 32, 0),
        "%gridid" => (Special::GridId, 64, 0),
        "%lanemask_eq" => (Special::LanemaskEq, 32, 0),
        "%lanemask_le" => (Special::LanemaskLe, 32, 0),
        "%lanemask_lt" => (Special::LanemaskLt, 32, 0),
        "%lanemask_ge" => (Special::LanemaskGe, 32, 0),
        "%lanemask_gt" => (Special::LanemaskGt, 32, 0),
        "%clock" => (Special::Clock(false), 32, 0),
        "%clock_hi" => (Special::Clock(true), 32, 0),
        "%clock64" => (Special::Clock64, 64, 0),
        "%globaltimer" => (Special::GlobalTimer, 64, 0),
        "%globaltimer_lo" => (Special::GlobalTimerHalf(false), 32, 0),
        "%globaltimer_hi" => (Special::GlobalTimerHalf(true), 32, 0),
        "%dynamic_smem_size" => (Special::DynamicSmemSize, 32, 0),
        "%total_smem_size" => (Special::TotalSmemSize, 32, 0),
        "%cluster_ctarank" => (Special::ClusterZero, 32, 90),
        "%cluster_nctarank" => (Special::ClusterOne, 32, 90),
        _ => return None,
    })
}
