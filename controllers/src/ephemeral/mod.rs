//! Claims that come and go with a pod, made of the templates of its ephemeral volumes.

pub mod sync;
