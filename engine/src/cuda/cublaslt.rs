//! Linear layers by cublasLt, where it is installed. **Never executed: no machine of ours has a GPU.**
//!
//! The library multiplies bf16 by bf16 and adds in f32. An f32 activation is three bf16 planes, so a
//! layer is three products, the smallest first, each added to the one before. Layers with other
//! weights than bf16, or with a bias, stay with our kernel.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use attn_kernels::cuda::{CudaDevice, CudaMemory, Driver};
use cudarc::cublaslt::{result, sys};
use sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
use sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA;
use sys::cublasLtMatmulPreferenceAttributes_t::{
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
};
use sys::cudaDataType::{CUDA_R_16BF, CUDA_R_32F};

use super::gemm::{Gemm, Library};
use crate::Error;

/// NVIDIA's advice for Hopper and later.
const WORKSPACE: usize = 32 << 20;
/// What the second and the third plane of activations are aligned to: depths are multiples of 32 bf16.
/// Without being told, the library counts on 256.
const PLANE_ALIGNMENT: u32 = 64;
/// Plans that are kept: one per shape, and a batch has any number of rows.
const MOST_PLANS: usize = 1024;

/// cublasLt on a device's stream.
pub(super) struct CublasLt {
    plans: Mutex<HashMap<[usize; 4], Plan>>,
    handle: sys::cublasLtHandle_t,
    workspace: CudaMemory,
    device: CudaDevice,
}

// SAFETY: "cublasLt is thread safe: a handle can be used from several threads"; plans are under a lock.
unsafe impl Send for CublasLt {}
// SAFETY: as above.
unsafe impl Sync for CublasLt {}

impl CublasLt {
    /// Whether the library can be loaded: without asking, using it would panic.
    pub(super) fn is_present() -> bool {
        // SAFETY: loads the library, which has no requirements, and lets go of it.
        unsafe { sys::is_culib_present() }
    }

    /// The library on a device.
    ///
    /// # Errors
    /// When it is not there or cannot be set up.
    pub(super) fn new(device: CudaDevice) -> Result<Self, Error> {
        if !Self::is_present() {
            return Err(failed("not found", None));
        }
        let workspace = device.alloc(WORKSPACE)?;
        bind(&device)?;
        let handle = result::create_handle().map_err(|e| failed("no handle", Some(e)))?;
        Ok(Self { plans: Mutex::default(), handle, workspace, device })
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        // SAFETY: made in `new`, and nobody has it any more. What has been started goes on: the
        // workspace is freed in the stream's order.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

impl Library for CublasLt {
    fn multiply(&self, gemm: &Gemm) -> Result<(), Error> {
        let Gemm { weight, x, y, out, rows, depth, stride, accumulate } = *gemm;
        bind(&self.device)?;
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let shape = [out, rows, depth, stride];
        if !plans.contains_key(&shape) {
            if plans.len() >= MOST_PLANS {
                plans.clear();
            }
            plans.insert(shape, Plan::new(self.handle, shape)?);
        }
        let plan = &plans[&shape];
        let (one, beta) = (1.0f32, if accumulate { 1.0f32 } else { 0.0 });
        let number = |x: &f32| std::ptr::from_ref(x).cast::<c_void>();
        // SAFETY: the descriptors are alive; the addresses are of tensors of these shapes, which the
        // decoder keeps while its stream works; alpha and beta are read at the call.
        unsafe {
            result::matmul(
                self.handle,
                plan.product,
                number(&one),
                number(&beta),
                weight as *const c_void,
                plan.weight,
                x as *const c_void,
                plan.x,
                y as *const c_void,
                plan.y,
                y as *mut c_void,
                plan.y,
                &raw const plan.algorithm,
                self.device.address(&self.workspace) as *mut c_void,
                WORKSPACE,
                self.device.stream().cu_stream().cast(),
            )
        }
        .map_err(|error| failed(&format!("{out} × {rows} × {depth}"), Some(error)))
    }
}

/// A shape's descriptors and the algorithm that the library advises. Matrices are column-major there, so
/// `y[rows][out]` is `out` × `rows`: the transposed weight by the input.
struct Plan {
    product: sys::cublasLtMatmulDesc_t,
    weight: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    y: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Plan {
    fn new(
        handle: sys::cublasLtHandle_t,
        [out, rows, depth, stride]: [usize; 4],
    ) -> Result<Self, Error> {
        let failed = |error| failed(&format!("plan of {out} × {rows} × {depth}"), Some(error));
        let layout = |kind, rows: usize, columns: usize, stride: usize| {
            result::create_matrix_layout(kind, rows as u64, columns as u64, stride as i64)
                .map_err(failed)
        };
        // What was made before an error is not freed: that is the end of the program's decoder.
        let mut plan = Self {
            product: result::create_matmul_desc(CUBLAS_COMPUTE_32F, CUDA_R_32F).map_err(failed)?,
            weight: layout(CUDA_R_16BF, depth, out, depth)?,
            x: layout(CUDA_R_16BF, depth, rows, depth)?,
            y: layout(CUDA_R_32F, out, rows, stride)?,
            algorithm: sys::cublasLtMatmulAlgo_t { data: [0; 8] },
        };
        let (transposed, workspace, alignment) = (1i32, WORKSPACE, PLANE_ALIGNMENT);
        let preference = result::create_matmul_pref().map_err(failed)?;
        // SAFETY: every descriptor was made above; each attribute is given in its own size.
        unsafe {
            let found = result::set_matmul_desc_attribute(
                plan.product,
                CUBLASLT_MATMUL_DESC_TRANSA,
                (&raw const transposed).cast(),
                size_of_val(&transposed),
            )
            .and_then(|()| {
                result::set_matmul_pref_attribute(
                    preference,
                    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                    (&raw const workspace).cast(),
                    size_of::<usize>(),
                )
            })
            .and_then(|()| {
                result::set_matmul_pref_attribute(
                    preference,
                    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                    (&raw const alignment).cast(),
                    size_of::<u32>(),
                )
            })
            .and_then(|()| {
                result::get_matmul_algo_heuristic(
                    handle,
                    plan.product,
                    plan.weight,
                    plan.x,
                    plan.y,
                    plan.y,
                    preference,
                )
            });
            let _ = result::destroy_matmul_pref(preference);
            plan.algorithm = found.map_err(failed)?.algo;
        }
        Ok(plan)
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: made in `new`; the library keeps nothing of them after a call.
        unsafe {
            let _ = result::destroy_matrix_layout(self.weight);
            let _ = result::destroy_matrix_layout(self.x);
            let _ = result::destroy_matrix_layout(self.y);
            let _ = result::destroy_matmul_desc(self.product);
        }
    }
}

fn bind(device: &CudaDevice) -> Result<(), Error> {
    let bound = device.stream().context().bind_to_thread();
    bound.map_err(|error| attn_kernels::Error::Device { reason: error.to_string() }.into())
}

fn failed(what: &str, error: Option<result::CublasError>) -> Error {
    let status = error.map_or(String::new(), |error| format!(": {error}"));
    attn_kernels::Error::Device { reason: format!("cublasLt: {what}{status}") }.into()
}
