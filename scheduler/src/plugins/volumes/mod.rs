//! Volume plugins, as far as pods with bound claims need them. Claims that wait for a pod are not bound yet.
//!
//! ```text
//! the pod's claims -> VolumeBinding: bound ones only, and where their volumes can be reached
//!                  -> VolumeZone: where their volumes' zone labels allow
//!                  -> VolumeRestrictions: claims for one pod alone are used by one pod alone
//! ```

mod binding;
mod restrictions;
#[cfg(test)]
mod tests;
mod zone;

use machinery::meta::ObjectKey;

pub use binding::VolumeBinding;
pub use restrictions::VolumeRestrictions;
pub use zone::VolumeZone;

use crate::framework::PodView;

/// The keys of the pod's claims.
fn claims(view: &PodView<'_>) -> Vec<ObjectKey> {
    let key = |name| ObjectKey {
        namespace: view.pod.namespace().clone(),
        name,
    };
    view.pod.claim_names().map(key).collect()
}
