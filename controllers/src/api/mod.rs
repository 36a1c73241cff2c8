//! The objects as the controllers see them: only the fields that one of them reads, shared by all of them.
//!
//! What a controller must hand on unread (a pod template's spec) is kept as the JSON it came in, so nothing that we do
//! not know is lost.

mod budget;
mod claim;
mod condition;
mod controller_revision;
mod cron_job;
mod daemon_set;
mod deployment;
mod endpoint_slice;
mod endpoints;
mod job;
mod namespace;
mod node;
mod pod;
mod replica_set;
mod replication_controller;
mod resource_quota;
mod service;
mod stateful_set;
mod template;
mod value;
mod volume;

pub use budget::{Budget, BudgetSpec, BudgetStatus, MetaCondition};
pub use claim::{Claim, ClaimSpec, ClaimStatus, ModifyVolumeStatus, attributes_classes};
pub use condition::{Condition, ConditionStatus};
pub use controller_revision::ControllerRevision;
pub use cron_job::{ConcurrencyPolicy, CronJob, CronJobSpec, CronJobStatus, JobTemplate, TemplateMeta};
pub use daemon_set::{DaemonSet, DaemonSetSpec, DaemonSetStatus, DaemonSetStrategy};
pub use deployment::{
    Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus, RollingUpdate, Strategy,
};
pub use endpoint_slice::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice, HintName, Hints};
pub use endpoints::{EndpointAddress, EndpointSubset, Endpoints};
pub use job::{
    CompletionMode, FailureAction, FailureRule, Job, JobCondition, JobSpec, JobStatus, Operator,
    PodFailurePolicy, PodReplacement, SuccessPolicy, SuccessRule, Uncounted,
};
pub use namespace::{Namespace, NamespaceCondition, NamespacePhase, NamespaceSpec, NamespaceStatus};
pub use node::{Lease, LeaseSpec, Node, NodeCondition, NodeSpec, NodeStatus};
pub use pod::{ClaimSource, ClaimVolume, Containers, Ended, NamedPort, Phase, Pod, PodSpec, PodStatus};
pub use replica_set::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
pub use replication_controller::ReplicationController;
pub use resource_quota::{
    Amounts, ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus, ScopeExpression, ScopeSelector,
};
pub use service::{Service, ServicePort, ServiceSpec};
pub use stateful_set::{
    ClaimRetention, ClaimTemplate, Ordinals, Retention, StatefulSet, StatefulSetSpec, StatefulSetStatus,
    StatefulSetStrategy,
};
pub use template::Template;
pub use value::{Object, Status, status_update};
pub use volume::{StorageClass, Volume, VolumeSpec, VolumeStatus};
