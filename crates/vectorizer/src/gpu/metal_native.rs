//! The names under which the Metal document knows this crate's types. They are the same types, not copies: on macOS
//! their device is Metal, elsewhere whatever device is there.

pub use crate::gpu::context::Context as MetalNativeContext;
