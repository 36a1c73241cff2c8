//! The objects as the controllers see them: only the fields that one of them reads, shared by all of them.
//!
//! What a controller must hand on unread (a pod template's spec) is kept as the JSON it came in, so nothing that we do
//! not know is lost.

mod condition;
mod deployment;
mod endpoint_slice;
mod endpoints;
mod namespace;
mod node;
mod pod;
mod replica_set;
mod service;
mod template;
mod value;

pub use condition::{Condition, ConditionStatus};
pub use deployment::{
    Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus, RollingUpdate, Strategy,
};
pub use endpoint_slice::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice, HintName, Hints};
pub use endpoints::{EndpointAddress, EndpointSubset, Endpoints};
pub use namespace::{Namespace, NamespaceCondition, NamespacePhase, NamespaceSpec, NamespaceStatus};
pub use node::{Lease, LeaseSpec, Node, NodeCondition, NodeSpec, NodeStatus};
pub use pod::{NamedPort, Phase, Pod, PodSpec, PodStatus};
pub use replica_set::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
pub use service::{Service, ServicePort, ServiceSpec};
pub use template::Template;
pub use value::{Object, Status, status_update};
