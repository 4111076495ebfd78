//! `ld`, `ldu`, `st`, prefetches, fences (PTX ISA, "Data Movement and Conversion Instructions",
//! "membar / fence"). Cache and eviction hints change no value: they are checked and dropped.

use super::super::line::Line;
use super::super::types::Ty;
use super::Lowered;
use super::moves::SPACES;
use crate::isa::{Access, Op, Ordering, Space};
use crate::ptx::PtxError;
use crate::ptx::ast::{Kind, Operand};

const TYPES: &str = "b8 b16 b32 b64 u8 u16 u32 u64 s8 s16 s32 s64 f32 f64";
const SCOPES: &[(&str, ())] = &[("cta", ()), ("cluster", ()), ("gpu", ()), ("sys", ())];
const VECTORS: &[(&str, usize)] = &[("v2", 2), ("v4", 4), ("v8", 8)];

/// Takes `.cta`, `.gpu` …; whether one was there.
pub(super) fn scope(line: &mut Line<'_, '_, '_>) -> Result<bool, PtxError> {
    if line.has("cluster") {
        line.since("scope .cluster", 90, (7, 8))?;
    }
    Ok(line.pick(SCOPES).is_some())
}

/// Takes the eviction, prefetch and cache hints. Whether a policy operand follows.
pub(super) fn hints(line: &mut Line<'_, '_, '_>) -> Result<bool, PtxError> {
    let evict = [
        ("L1::evict_normal", ()),
        ("L1::evict_unchanged", ()),
        ("L1::evict_first", ()),
        ("L1::evict_last", ()),
        ("L1::no_allocate", ()),
    ];
    line.pick(&evict);
    line.pick(&[("L2::evict_normal", ()), ("L2::evict_first", ()), ("L2::evict_last", ())]);
    line.pick(&[("L2::64B", ()), ("L2::128B", ()), ("L2::256B", ())]);
    let policy = line.flag("L2::cache_hint");
    if policy {
        line.since(".L2::cache_hint", 80, (7, 4))?;
    }
    Ok(policy)
}

/// Space, ordering, vector width and type of an access.
struct Head {
    access: Access,
    items: usize,
    ty: Ty,
    policy: bool,
}

fn head(line: &mut Line<'_, '_, '_>, load: bool) -> Result<Head, PtxError> {
    let order = line.pick(&[
        ("volatile", Ordering::Volatile),
        ("weak", Ordering::Weak),
        ("relaxed", Ordering::Relaxed),
        if load { ("acquire", Ordering::Acquire) } else { ("release", Ordering::Release) },
    ]);
    let scoped = scope(line)?;
    let strong = matches!(order, Some(Ordering::Relaxed | Ordering::Acquire | Ordering::Release));
    if strong != scoped {
        return Err(line.invalid("a scope goes with .relaxed, .acquire and .release"));
    }
    if strong {
        line.since("memory ordering", 70, (6, 0))?;
    }
    let space = if line.flag("param::func") {
        Space::Param
    } else {
        line.pick(SPACES).unwrap_or(Space::Generic)
    };
    let nc = load && line.flag("nc");
    if nc && (space != Space::Global || order.is_some()) {
        return Err(line.invalid(".nc is for plain loads of .global"));
    }
    if order != Some(Ordering::Volatile) && !strong {
        let caches: &[(&str, ())] = if load {
            &[("ca", ()), ("cg", ()), ("cs", ()), ("lu", ()), ("cv", ())]
        } else {
            &[("wb", ()), ("cg", ()), ("cs", ()), ("wt", ())]
        };
        line.pick(caches);
    }
    let policy = hints(line)?;
    if policy && !matches!(space, Space::Global | Space::Generic) {
        return Err(line.invalid(".L2::cache_hint is for .global"));
    }
    let items = line.pick(VECTORS).unwrap_or(1);
    let ty = line.ty(TYPES)?;
    let bits = usize::try_from(ty.bits()).unwrap_or(0) * items;
    let wide = items == 8 || (items == 4 && ty.bits() == 64);
    if bits > 256 || (wide && bits != 256) {
        return Err(line.invalid(format!("{items} elements of {} bits", ty.bits())));
    }
    if wide {
        line.since("256-bit access", 100, (8, 8))?;
        if space != Space::Global {
            return Err(line.invalid("256-bit access outside .global"));
        }
    }
    let order = order.unwrap_or(Ordering::Weak);
    Ok(Head { access: Access { space, ty: ty.num, nc, order }, items, ty, policy })
}

/// One operand, or the `{…}` of a vector access, of the right length.
fn items<'a>(
    line: &Line<'_, '_, 'a>,
    index: usize,
    count: usize,
) -> Result<&'a [Operand<'a>], PtxError> {
    let operand = line.operand(index)?;
    let items = match &operand.kind {
        Kind::Vector(items) => items.as_slice(),
        _ => std::slice::from_ref(operand),
    };
    let vector = matches!(operand.kind, Kind::Vector(_));
    if items.len() != count || (count > 1 && !vector) {
        return Err(line.invalid(format!("{} registers, not {count}", items.len())));
    }
    Ok(items)
}

/// The policy operand: checked, ignored.
pub(super) fn policy(line: &mut Line<'_, '_, '_>, index: usize) -> Result<(), PtxError> {
    line.src(index, Ty::B64).map(|_| ())
}

/// `.param` is the kernel's, or a call's variable (local memory).
fn param(line: &Line<'_, '_, '_>, wanted: Space, found: Space) -> Result<(), PtxError> {
    if wanted == Space::Param && found == Space::Param && line.body.stack.len() > 1 {
        return Err(line.unsupported("a .param address in a register of a device function"));
    }
    Ok(())
}

pub(super) fn ld(line: &mut Line<'_, '_, '_>) -> Lowered {
    let uniform = line.opcode() == "ldu";
    let Head { mut access, items: count, ty, policy: hint } = head(line, true)?;
    if uniform {
        if !matches!(access.space, Space::Global | Space::Generic) {
            return Err(line.invalid("ldu is for .global"));
        }
        access.nc = true;
    }
    let operands = if hint { 3 } else { 2 };
    line.end(operands..=operands)?;
    let mut dst = Vec::with_capacity(count);
    for item in items(line, 0, count)? {
        let sink = count > 1 && matches!(item.kind, Kind::Name("_"));
        dst.push(if sink { None } else { Some(line.dst_wide_of(item, ty)?) });
    }
    let (addr, space) = line.addr(1, access.space)?;
    param(line, access.space, space)?;
    access.space = space;
    if hint {
        policy(line, 2)?;
    }
    Ok(Op::Ld { access, dst: dst.into(), addr })
}

pub(super) fn st(line: &mut Line<'_, '_, '_>) -> Lowered {
    let Head { mut access, items: count, ty, policy: hint } = head(line, false)?;
    let operands = if hint { 3 } else { 2 };
    line.end(operands..=operands)?;
    let (addr, space) = line.addr(0, access.space)?;
    if matches!(space, Space::Const | Space::Param) {
        return Err(line.invalid("a store to constants or kernel parameters"));
    }
    access.space = space;
    let mut src = Vec::with_capacity(count);
    for item in items(line, 1, count)? {
        src.push(line.src_wide_of(item, ty)?);
    }
    if hint {
        policy(line, 2)?;
    }
    Ok(Op::St { access, src: src.into(), addr })
}

/// `prefetch`, `prefetchu`, `applypriority`, `discard`
pub(super) fn prefetch(line: &mut Line<'_, '_, '_>) -> Lowered {
    let spaces = [("global", Space::Global), ("local", Space::Local)];
    let (levels, sized): (&[(&str, ())], bool) = match line.opcode() {
        "prefetch" => {
            (&[("L1", ()), ("L2", ()), ("L2::evict_last", ()), ("L2::evict_normal", ())], false)
        }
        "prefetchu" => (&[("L1", ())], false),
        "applypriority" => (&[("L2::evict_normal", ())], true),
        _ => (&[("L2", ())], true),
    };
    let space = line.pick(if sized { &spaces[..1] } else { &spaces }).unwrap_or(Space::Generic);
    line.need(levels)?;
    let operands = if sized { 2 } else { 1 };
    line.end(operands..=operands)?;
    let (addr, space) = line.addr(0, space)?;
    if sized {
        line.since(line.opcode(), 80, (7, 4))?;
        line.literal(1, 128, 128)?;
    }
    Ok(Op::Prefetch { space, addr })
}

/// `membar`, `fence`: the machine is sequentially consistent.
pub(super) fn fence(line: &mut Line<'_, '_, '_>) -> Lowered {
    let old = line.opcode() == "membar";
    if line.flag("proxy") {
        if line.pick(&[("async", ()), ("alias", ())]).is_none() {
            return Err(line.unsupported("fence.proxy other than .async and .alias"));
        }
        if line.has("alias") {
            line.since("fence.proxy.alias", 70, (7, 5))?;
        } else {
            line.since("fence.proxy.async", 90, (8, 0))?;
        }
        line.pick(SPACES);
    } else if line.flag("mbarrier_init") {
        line.need(&[("release", ())])?;
        line.need(&[("cluster", ())])?;
        line.since("fence.mbarrier_init", 90, (8, 0))?;
    } else if old {
        line.need(&[("cta", ()), ("gl", ()), ("sys", ())])?;
    } else {
        let order = [("sc", ()), ("acq_rel", ()), ("acquire", ()), ("release", ())];
        if line.has("acquire") || line.has("release") {
            line.since("fence.acquire and fence.release", 90, (8, 6))?;
        }
        line.pick(&order);
        if !scope(line)? {
            return Err(line.invalid("a scope is missing"));
        }
    }
    line.end(0..=0)?;
    Ok(Op::Fence)
}
