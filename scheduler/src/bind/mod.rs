//! Binding: the default bind plugin, which posts to the pod's `binding` subresource.
//!
//! ```text
//! BindOrder -> PreBind plugins -> Bind plugins (the first that takes it) -> PostBind plugins
//! ```

mod default_binder;
mod sequence;

pub use default_binder::DefaultBinder;
pub use sequence::bind;
