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

/// Keeps a driver from talking into our output: Mesa's device-select layer asks a Wayland session which GPU it is on, and where
/// there is no session (a container, a machine reached over ssh) each try is a line on standard error. Without a session it
/// has nothing to say; a selection somebody made stays in force. To be called before anything else.
pub(crate) fn hush_driver() {
    #[cfg(all(feature = "gpu", target_os = "linux"))]
    {
        let set = |name| std::env::var_os(name).is_some();
        if !set("XDG_RUNTIME_DIR") && !set("MESA_VK_DEVICE_SELECT") && !set("DRI_PRIME") {
            #[expect(
                unsafe_code,
                reason = "there is no other way to switch off a Vulkan layer that the loader adds by itself"
            )]
            // SAFETY: the first thing that main does: no other thread is there to read the environment.
            unsafe {
                std::env::set_var("NODEVICE_SELECT", "1");
            }
        }
    }
}
