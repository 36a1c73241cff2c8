//! The nf_tables data plane: routes in, transactions out.
//!
//! ```text
//! PortRoutes --compile--> elements, chains --Table (diff)--> Batch --Kernel--> nf_tables
//! ```
//!
//! Tables, base chains, set names and behaviour are upstream's (`ip kube-proxy`, `ip6 kube-proxy`), so either side
//! takes over from the other. Inside, a Service without session affinity is data alone:
//!
//! ```text
//! destination . protocol . port @service-routes -> chain service-spread:
//!   destination . protocol . port @service-spread-N . random mod N -> service-endpoints -> address . port -> dnat
//! ```
//!
//! The rules that choose among N endpoints are shared by all destinations that have N. A change of endpoints is thus
//! a change of a few elements of sets and data maps: no chain, no rule and no verdict changes, and the kernel, which
//! validates the whole table after a change of those, has nothing to validate. Services with session affinity have
//! chains of their own behind verdict maps, as upstream's.

mod adopt;
mod batch;
mod compile;
mod conditions;
mod element;
mod expr;
mod hooks;
mod ip;
mod kernel;
mod layout;
mod names;
mod object;
mod owners;
mod sets;
mod settings;
mod slots;
mod table;
mod title;
mod userdata;
mod verdict;
mod wire;

pub use adopt::{AffinityEntry, affinity_entries};
pub use batch::Batch;
pub use compile::{Claim, claims};
pub use element::{Bytes, Element, Value};
pub use expr::Expr;
pub use kernel::{CommitError, Kernel};
pub use layout::TABLE;
pub use names::{Class, Front, LOCAL_SLOTS, Names, Scope};
pub use object::{Chain, Rule, Set};
pub use settings::{LocalTraffic, NodePortAddresses, Settings};
pub use table::Table;
pub use verdict::Verdict;

#[cfg(test)]
mod tests;
