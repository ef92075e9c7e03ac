//! The device that was asked for.

use vectorizer::gpu::context::{Context, DeviceChoice};

use crate::args::DeviceArguments;
use crate::failure::Result;

/// What `--device` asks for, else the environment.
pub(crate) fn choice(arguments: &DeviceArguments) -> Result<DeviceChoice> {
    Ok(match &arguments.device {
        Some(text) => text.parse()?,
        None => DeviceChoice::from_environment()?,
    })
}

/// Opens it.
pub(crate) fn open(arguments: &DeviceArguments) -> Result<Context> {
    Ok(Context::with_choice(&choice(arguments)?)?)
}
