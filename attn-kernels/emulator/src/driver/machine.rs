//! From the driver to the machine: the device that the settings ask for, and which driver error an
//! error of the machine is.

pub(super) use crate::mem::HostPages;
pub(super) use crate::{
    Device, DevicePtr, Error, Kernel, LaunchConfig, LaunchReport, Module, Profile,
};

use super::code::Code;
use super::settings::Settings;
use crate::{DeviceConfig, FaultKind};

/// The device of this process.
pub(super) fn device(settings: &Settings) -> Result<Device, String> {
    let profile = Profile::by_name(&settings.profile).ok_or_else(|| {
        let known: Vec<&str> = Profile::ALL.iter().map(|profile| profile.name).collect();
        format!("CUDA_EMULATOR_PROFILE={:?} is not one of {}", settings.profile, known.join(", "))
    })?;
    let mut config = DeviceConfig { profile, checks: settings.checks, ..DeviceConfig::default() };
    config.threads = settings.threads.unwrap_or(config.threads);
    config.instruction_budget = settings.budget.unwrap_or(config.instruction_budget);
    Ok(Device::new(config))
}

/// The driver's name for an error.
pub(super) fn code_of(error: &Error) -> Code {
    match error {
        Error::OutOfMemory { .. } => Code::OUT_OF_MEMORY,
        Error::EmptyAllocation | Error::NotAllocated { .. } => Code::INVALID_VALUE,
        Error::LaunchShape { .. } | Error::ParameterBytes { .. } => Code::INVALID_VALUE,
        Error::OutOfBounds { .. } => Code::ILLEGAL_ADDRESS,
        Error::Uninitialized { .. } => Code::LAUNCH_FAILED,
        Error::Ptx(_) => Code::INVALID_PTX,
        Error::PtxVersion { .. } => Code::UNSUPPORTED_PTX_VERSION,
        Error::Target { .. } => Code::NO_BINARY_FOR_GPU,
        Error::UnknownKernel { .. } | Error::UnknownVariable { .. } => Code::NOT_FOUND,
        Error::WrongDevice { .. } => Code::INVALID_HANDLE,
        Error::Threads { .. } => Code::OPERATING_SYSTEM,
        Error::Fault(fault) => code_of_fault(fault.kind),
    }
}

/// What the hardware reports where it notices such a fault; `CUDA_ERROR_LAUNCH_FAILED` for what only
/// the emulator notices.
fn code_of_fault(kind: FaultKind) -> Code {
    match kind {
        FaultKind::OutOfBounds | FaultKind::UseAfterFree | FaultKind::ReadOnly => {
            Code::ILLEGAL_ADDRESS
        }
        FaultKind::Misaligned => Code::MISALIGNED_ADDRESS,
        FaultKind::InstructionBudget => Code::LAUNCH_TIMEOUT,
        FaultKind::IllegalOperand => Code::ILLEGAL_INSTRUCTION,
        _ => Code::LAUNCH_FAILED,
    }
}
