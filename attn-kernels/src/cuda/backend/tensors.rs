//! Tensors on the device: made, filled, read back.

use std::sync::Arc;

use fp8_format::ElementType;

use super::CudaBackend;
use crate::cuda::{CudaTensor, Driver};
use crate::error::Error;
use crate::plan::check_length;

impl<D: Driver> CudaBackend<D> {
    /// Copies numbers to the device.
    pub fn upload(&self, values: &[f32]) -> Result<CudaTensor<D::Memory>, Error> {
        let tensor = self.zeros(values.len())?;
        self.write(&tensor, values)?;
        Ok(tensor)
    }

    /// Copies elements of any type to the device, from their bytes (little endian): weights as a
    /// checkpoint has them.
    ///
    /// # Errors
    ///
    /// [`Error::BufferLength`] where the bytes are no whole number of elements.
    pub fn upload_bytes(
        &self,
        element: ElementType,
        bytes: &[u8],
    ) -> Result<CudaTensor<D::Memory>, Error> {
        let len = bytes.len() / element.size();
        check_length("bytes", bytes.len(), len * element.size(), "elements × size")?;
        let tensor = self.zeros_of(element, len)?;
        self.driver.write(&tensor.memory, 0, bytes)?;
        Ok(tensor)
    }

    /// A tensor of `len` zeros.
    pub fn zeros(&self, len: usize) -> Result<CudaTensor<D::Memory>, Error> {
        self.zeros_of(ElementType::F32, len)
    }

    /// A tensor of `len` zeros of any type.
    pub fn zeros_of(
        &self,
        element: ElementType,
        len: usize,
    ) -> Result<CudaTensor<D::Memory>, Error> {
        let bytes = len.checked_mul(element.size());
        let element_type = element.name();
        let bytes = bytes.ok_or(Error::TensorTooLarge { len, element_type })?;
        let memory = Arc::new(self.driver.alloc(bytes.max(1))?);
        Ok(CudaTensor { memory, offset: 0, len, element })
    }

    /// Replaces a tensor's numbers. They are taken at the call; the device is not waited for.
    ///
    /// # Errors
    ///
    /// [`Error::BufferLength`], [`Error::TensorType`].
    pub fn write(&self, tensor: &CudaTensor<D::Memory>, values: &[f32]) -> Result<(), Error> {
        tensor.require_f32("tensor")?;
        check_length("values", values.len(), tensor.len, "elements of the tensor")?;
        self.driver.write(&tensor.memory, tensor.offset, bytes_of(values))
    }

    /// Copies a tensor to the host, once everything before is done.
    ///
    /// # Errors
    ///
    /// [`Error::TensorType`].
    pub fn download(&self, tensor: &CudaTensor<D::Memory>) -> Result<Vec<f32>, Error> {
        let mut values = vec![0.0; tensor.len];
        self.read(tensor, &mut values)?;
        Ok(values)
    }

    /// Copies a tensor into `values`, once everything before is done. A part of one is read through
    /// its [`view`](CudaTensor::view).
    ///
    /// # Errors
    ///
    /// [`Error::BufferLength`], [`Error::TensorType`].
    pub fn read(&self, tensor: &CudaTensor<D::Memory>, values: &mut [f32]) -> Result<(), Error> {
        tensor.require_f32("tensor")?;
        check_length("values", values.len(), tensor.len, "elements of the tensor")?;
        self.driver.read(&tensor.memory, tensor.offset, bytes_of_mut(values))
    }

    /// Copies a tensor into another of the same type and length, on the device.
    ///
    /// # Errors
    ///
    /// [`Error::BufferLength`], [`Error::TensorType`], [`Error::Overlap`].
    pub fn copy(
        &self,
        from: &CudaTensor<D::Memory>,
        to: &mut CudaTensor<D::Memory>,
    ) -> Result<(), Error> {
        if from.element != to.element {
            let (element_type, expected) = (to.element.name(), from.element.name());
            return Err(Error::TensorType { name: "to", element_type, expected });
        }
        check_length("from", from.len, to.len, "elements of the destination")?;
        let (bytes, from_at, to_at) = (from.bytes(), from.offset, to.offset);
        let apart = from_at + bytes <= to_at || to_at + bytes <= from_at;
        if Arc::ptr_eq(&from.memory, &to.memory) && !apart {
            return Err(Error::Overlap { from: from_at, to: to_at, bytes });
        }
        self.driver.copy(from.memory(), to.memory(), bytes)
    }

    /// Where a tensor is on the device, for an [`Argument`](crate::cuda::Argument).
    pub fn address(&self, tensor: &CudaTensor<D::Memory>) -> u64 {
        self.driver.address(&tensor.memory) + tensor.offset as u64
    }
}

// Every host that CUDA runs on is little endian, as the device is.
const _: () = assert!(cfg!(target_endian = "little"), "numbers go to the device as they lie");

/// Numbers as they lie in memory.
fn bytes_of(values: &[f32]) -> &[u8] {
    // SAFETY: the same range; every byte of a float is initialised, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The same, to be written.
fn bytes_of_mut(values: &mut [f32]) -> &mut [u8] {
    // SAFETY: the same range, borrowed as long; any bytes are a float.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}
