//! ResourceQuotas limit what a namespace holds. The API server charges what is created; here it is counted anew when something goes.
//!
//! ```text
//! hard limits --measure--> which kinds are to be counted --usage--> what each object costs --plan--> status
//! ResourceQuotas, and the kinds that some quota limits -> caches -> queue -> sync
//! ```
//!
//! Only kinds that a quota limits are watched, so a cluster without quotas pays nothing.

pub mod claim;
pub mod demand;
pub mod measure;
pub mod plan;
pub mod scope;
pub mod sync;
pub mod usage;
pub mod watches;
