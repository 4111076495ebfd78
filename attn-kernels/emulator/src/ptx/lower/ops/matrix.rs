//! `mma.sync`, `ldmatrix`, `stmatrix`, `movmatrix` (PTX ISA, "Warp Level Matrix
//! Multiply-Accumulate Instructions").

use super::super::line::Line;
use super::super::types::Ty;
use super::Lowered;
use crate::isa::{Elements, MatrixForm, Mma, MmaNum, MmaShape, Num, Op, Src};
use crate::ptx::PtxError;
use crate::ptx::ast::{Kind, Operand};

/// One shape of one family of types: registers of D (and C), A, B, and since when.
struct Form {
    shape: (&'static str, MmaShape),
    /// Types of A and B.
    inputs: &'static str,
    /// Types of D and C.
    sums: &'static str,
    regs: (usize, usize, usize),
    since: (u32, (u32, u32)),
}

const fn form(
    shape: (&'static str, u8, u8, u8),
    inputs: &'static str,
    sums: &'static str,
    regs: (usize, usize, usize),
    since: (u32, (u32, u32)),
) -> Form {
    let (name, m, n, k) = shape;
    Form { shape: (name, MmaShape { m, n, k }), inputs, sums, regs, since }
}

const M16N8K4: (&str, u8, u8, u8) = ("m16n8k4", 16, 8, 4);
const M16N8K8: (&str, u8, u8, u8) = ("m16n8k8", 16, 8, 8);
const M16N8K16: (&str, u8, u8, u8) = ("m16n8k16", 16, 8, 16);
const M16N8K32: (&str, u8, u8, u8) = ("m16n8k32", 16, 8, 32);
const M8N8K4: (&str, u8, u8, u8) = ("m8n8k4", 8, 8, 4);
const M8N8K16: (&str, u8, u8, u8) = ("m8n8k16", 8, 8, 16);

/// PTX ISA, "Matrix Data-types" and the fragment tables: 32-bit registers per thread (f64: 64).
const FORMS: &[Form] = &[
    form(M16N8K8, "f16", "f16", (2, 2, 1), (75, (6, 5))),
    form(M16N8K8, "f16", "f32", (4, 2, 1), (75, (6, 5))),
    form(M16N8K16, "f16", "f16", (2, 4, 2), (80, (7, 0))),
    form(M16N8K16, "f16", "f32", (4, 4, 2), (80, (7, 0))),
    form(M16N8K8, "bf16", "f32", (4, 2, 1), (80, (7, 0))),
    form(M16N8K16, "bf16", "f32", (4, 4, 2), (80, (7, 0))),
    form(M16N8K4, "tf32", "f32", (4, 2, 1), (80, (7, 0))),
    form(M16N8K8, "tf32", "f32", (4, 4, 2), (80, (7, 0))),
    form(M8N8K16, "s8 u8", "s32", (2, 1, 1), (75, (6, 5))),
    form(M16N8K16, "s8 u8", "s32", (4, 2, 1), (80, (7, 0))),
    form(M16N8K32, "s8 u8", "s32", (4, 4, 2), (80, (7, 0))),
    form(M16N8K32, "e4m3 e5m2", "f32", (4, 4, 2), (89, (8, 4))),
    form(M16N8K32, "e4m3 e5m2", "f16", (2, 4, 2), (89, (8, 7))),
    form(M16N8K16, "e4m3 e5m2", "f32", (4, 2, 1), (89, (8, 7))),
    form(M16N8K16, "e4m3 e5m2", "f16", (2, 2, 1), (89, (8, 7))),
    form(M8N8K4, "f64", "f64", (2, 1, 1), (80, (7, 0))),
    form(M16N8K4, "f64", "f64", (4, 2, 1), (90, (7, 8))),
    form(M16N8K8, "f64", "f64", (4, 4, 2), (90, (7, 8))),
    form(M16N8K16, "f64", "f64", (4, 8, 4), (90, (7, 8))),
];

fn element(name: &str) -> Option<MmaNum> {
    Some(match name {
        "f16" => MmaNum::F16,
        "bf16" => MmaNum::Bf16,
        "tf32" => MmaNum::Tf32,
        "e4m3" => MmaNum::E4m3,
        "e5m2" => MmaNum::E5m2,
        "s8" => MmaNum::S8,
        "u8" => MmaNum::U8,
        "f64" => MmaNum::F64,
        _ => return None,
    })
}

/// The type of one register of A or B.
fn holder(input: MmaNum) -> Ty {
    match input {
        MmaNum::F16 => Ty::F16X2,
        MmaNum::F64 => Ty::F64,
        _ => Ty::FRAGMENT,
    }
}

pub(super) fn mma(line: &mut Line<'_, '_, '_>) -> Lowered {
    for special in ["sp", "sp::ordered_metadata", "block_scale", "xor", "and"] {
        if line.has(special) {
            return Err(line.unsupported(format!("mma with .{special}")));
        }
    }
    for name in ["sync", "aligned", "row", "col"] {
        if !line.flag(name) {
            return Err(line.invalid(format!(".{name} is missing")));
        }
    }
    line.in_order(&["row", "col"])?;
    let general = line.flag("kind::f8f6f4");
    let satfinite = line.flag("satfinite");
    let shapes: Vec<_> = FORMS.iter().map(|form| form.shape).collect();
    let Some(shape) = line.pick(&shapes) else {
        return Err(line.unsupported("shape of mma"));
    };
    let mut types = [Ty::F32; 4];
    for ty in &mut types {
        *ty = line.any_ty().ok_or_else(|| line.invalid("it has four types"))?;
    }
    let [d_ty, a_ty, b_ty, c_ty] = types;
    let has = |list: &str, ty: Ty| list.split(' ').any(|name| name == ty.name);
    let form = FORMS.iter().find(|form| {
        form.shape.1 == shape
            && has(form.inputs, a_ty)
            && has(form.inputs, b_ty)
            && has(form.sums, d_ty)
            && d_ty.name == c_ty.name
    });
    let (Some(form), Some(a_num), Some(b_num)) = (form, element(a_ty.name), element(b_ty.name))
    else {
        let names = types.map(|ty| format!(".{}", ty.name)).concat();
        return Err(line.unsupported(format!("mma of {names} in this shape")));
    };
    if satfinite && form.sums != "s32" {
        return Err(line.invalid(".satfinite is for integers"));
    }
    line.end(4..=4)?;
    let (least, version) = form.since;
    let what = format!("mma.{}.{}", form.shape.0, a_ty.name);
    line.since(&what, least, version)?;
    if general {
        if form.inputs != "e4m3 e5m2" || shape.k != 32 {
            return Err(line.invalid(".kind::f8f6f4 of these types"));
        }
        line.since("mma.kind::f8f6f4", 120, (8, 7))?;
        line.specific("mma.kind::f8f6f4")?;
    }
    let sum = if form.sums == "f16" { Ty::F16X2 } else { d_ty };
    let (sums, a_regs, b_regs) = form.regs;
    let mut d = Vec::with_capacity(sums);
    for item in registers(line, 0, sums)? {
        d.push(line.dst_of(item, sum)?);
    }
    let mut read = |index: usize, count: usize, ty: Ty| -> Result<Box<[Src]>, PtxError> {
        let mut list = Vec::with_capacity(count);
        for item in registers(line, index, count)? {
            // Bits may be written as a number where a register holds two halves.
            let bits = ty == Ty::F16X2 && matches!(item.kind, Kind::Int { .. });
            list.push(line.src_exact_of(item, if bits { Ty::B32 } else { ty })?);
        }
        Ok(list.into())
    };
    let a = read(1, a_regs, holder(a_num))?;
    let b = read(2, b_regs, holder(b_num))?;
    let c = read(3, sums, sum)?;
    let acc = match form.sums {
        "f16" => Num::F16,
        "s32" => Num::S32,
        "f64" => Num::F64,
        _ => Num::F32,
    };
    Ok(Op::Mma(Box::new(Mma { shape, a_num, b_num, acc, satfinite, d: d.into(), a, b, c })))
}

/// `{…}` of `count` registers.
fn registers<'a>(
    line: &Line<'_, '_, 'a>,
    index: usize,
    count: usize,
) -> Result<&'a [Operand<'a>], PtxError> {
    let items = line.vector(index)?;
    if items.len() == count {
        return Ok(items);
    }
    Err(line.invalid(format!("operand {} has {} registers, not {count}", index + 1, items.len())))
}

/// The common part of `ldmatrix` and `stmatrix`: the number of matrices, their form, and whether
/// `.shared` is said.
struct Matrices {
    count: usize,
    form: MatrixForm,
    shared: bool,
}

fn matrices(
    line: &mut Line<'_, '_, '_>,
    shapes: &[(&str, (u8, u8))],
) -> Result<Matrices, PtxError> {
    for name in ["sync", "aligned"] {
        if !line.flag(name) {
            return Err(line.invalid(format!(".{name} is missing")));
        }
    }
    let shape = line.need(shapes)?;
    let count = line.need(&[("x1", 1), ("x2", 2), ("x4", 4)])?;
    let trans = line.flag("trans");
    let shared = line.pick(&[("shared", ()), ("shared::cta", ())]).is_some();
    let elements = if line.flag("b8x16") {
        line.need(&[("b6x16_p32", Elements::B6), ("b4x16_p64", Elements::B4)])?
    } else if line.ty("b16 b8")?.bits() == 16 {
        Elements::B16
    } else {
        Elements::B8
    };
    line.end(2..=2)?;
    let packed = matches!(elements, Elements::B6 | Elements::B4);
    let (fits, rule) = match shape {
        (8, 8) => (elements == Elements::B16, ".m8n8 is for .b16"),
        (8, _) => (packed && !trans, ".m8n16 is for .b8x16, without .trans"),
        (_, 16) => (elements != Elements::B16 && trans, ".m16n16 is for bytes, with .trans"),
        _ => (elements == Elements::B8 && trans, ".m16n8 is for .b8, with .trans"),
    };
    if !fits {
        return Err(line.invalid(rule));
    }
    let tall = shape == (16, 16);
    if tall && count == 4 {
        return Err(line.invalid(".m16n16 is for .x1 and .x2"));
    }
    if elements != Elements::B16 {
        let what = format!("{} of bytes", line.opcode());
        line.since(&what, 100, (8, 6))?;
        line.specific(&what)?;
    }
    Ok(Matrices { count, form: MatrixForm { elements, trans, tall }, shared })
}

pub(super) fn ldmatrix(line: &mut Line<'_, '_, '_>) -> Lowered {
    let shapes = [("m8n8", (8, 8)), ("m8n16", (8, 16)), ("m16n16", (16, 16))];
    let Matrices { count, form, shared } = matrices(line, &shapes)?;
    line.since("ldmatrix", 75, (6, 5))?;
    let count = if form.tall { 2 * count } else { count };
    let mut dst = Vec::with_capacity(count);
    for item in registers(line, 0, count)? {
        dst.push(line.dst_of(item, Ty::B32)?);
    }
    let addr = line.shared_addr(1, shared)?;
    Ok(Op::LdMatrix { form, dst: dst.into(), addr })
}

pub(super) fn stmatrix(line: &mut Line<'_, '_, '_>) -> Lowered {
    let shapes = [("m8n8", (8, 8)), ("m16n8", (16, 8))];
    let Matrices { count, form, shared } = matrices(line, &shapes)?;
    line.since("stmatrix", 90, (7, 8))?;
    let addr = line.shared_addr(0, shared)?;
    let mut src = Vec::with_capacity(count);
    for item in registers(line, 1, count)? {
        src.push(line.src_reg_of(item, Ty::B32)?);
    }
    Ok(Op::StMatrix { form, src: src.into(), addr })
}

pub(super) fn movmatrix(line: &mut Line<'_, '_, '_>) -> Lowered {
    for name in ["sync", "aligned", "m8n8", "trans"] {
        if !line.flag(name) {
            return Err(line.invalid(format!(".{name} is missing")));
        }
    }
    line.ty("b16")?;
    line.end(2..=2)?;
    line.since("movmatrix", 75, (7, 8))?;
    let dst = line.dst(0, Ty::B32)?;
    let a = line.src(1, Ty::B32)?;
    Ok(Op::MovMatrix { dst, a })
}
