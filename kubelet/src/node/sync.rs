//! Registers the node, then keeps its status: facts gathered, filled in, and the difference sent.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{
    Node as NodeObject, NodeFeatures, NodeRuntimeHandler, NodeRuntimeHandlerFeatures,
};
use k8s_openapi::jiff::Timestamp;
use machinery::arith::backoff::Backoff;
use machinery::client::{ApiError, Client, PatchKind};
use machinery::events::EventType;
use machinery::meta::ObjectRef;
use machinery::meta::resources::NODES;
use tracing::{debug, info, warn};

use super::machine::{MachineInfo, Root, filesystem_capacity};
use super::status::{Facts, Told};
use super::{Identity, Reservation, address, capacity, images, object, patch, reserve, status};
use crate::context::{Capacity, Node};
use crate::cri::RuntimeState;
use crate::cri::api::ListImagesRequest;

const IMAGES_PERIOD: Duration = Duration::from_secs(30);

/// What is fixed while the kubelet runs.
pub(super) struct Keeper {
    node: Arc<Node>,
    identity: Identity,
    machine: MachineInfo,
    reservation: Reservation,
}

impl Keeper {
    pub(super) fn new(node: Arc<Node>) -> anyhow::Result<Keeper> {
        let config = &node.config;
        let identity = Identity {
            name: node.name.to_string(),
            hostname: hostname(&node),
            labels: node.flags.node_labels.clone(),
            taints: config.register_with_taints.clone(),
            provider_id: (!config.provider_id.is_empty()).then(|| config.provider_id.clone()),
            attach_by_controller: config.enable_controller_attach_detach,
            external_cloud: node.flags.external_cloud,
        };
        let machine = Root("/".into()).machine();
        let reservation = reserve::reservation(config)?;
        Ok(Keeper {
            node,
            identity,
            machine,
            reservation,
        })
    }

    /// Publishes addresses and capacity to the rest of the kubelet.
    pub(super) fn publish(&self) -> anyhow::Result<()> {
        let addresses = self.addresses()?;
        self.node
            .addresses
            .send_if_modified(|known| replace(known, addresses));
        let amounts = self.capacity();
        let left = capacity::allocatable(&amounts, &self.reservation);
        let capacity = summary(&amounts, &left);
        self.node
            .capacity
            .send_if_modified(|known| replace(known, capacity));
        Ok(())
    }

    fn addresses(&self) -> anyhow::Result<Vec<IpAddr>> {
        let given = address::parse(&self.node.flags.node_ip)?;
        let named: Vec<IpAddr> = if given.first().is_some_and(|first| !first.is_unspecified()) {
            Vec::new()
        } else {
            let found = (self.identity.name.as_str(), 0).to_socket_addrs();
            found
                .map(|found| found.map(|address| address.ip()).collect())
                .unwrap_or_default()
        };
        let local: Vec<IpAddr> = given
            .iter()
            .chain(&named)
            .copied()
            .filter(|address| address::is_local(*address))
            .collect();
        let routed = address::routed(address::prefers_v4(&given));
        Ok(address::choose(
            &given,
            &self.identity.hostname,
            &named,
            &routed,
            &local,
        )?)
    }

    fn capacity(&self) -> capacity::Amounts {
        let mut machine = self.machine.amounts.clone();
        machine.storage = filesystem_capacity(&self.node.paths.root).ok();
        let config = &self.node.config;
        capacity::capacity(
            &machine,
            i64::from(config.max_pods),
            i64::from(config.pods_per_core),
        )
    }

    fn facts(&self, images: &[images::Image]) -> Facts {
        let runtime = self.node.runtime.borrow();
        let mut problems = problems(&runtime);
        let addresses = match self.addresses() {
            Ok(addresses) => addresses,
            Err(error) => {
                problems.push(error.to_string());
                Vec::new()
            }
        };
        Facts {
            hostname: self.identity.hostname.clone(),
            addresses,
            external_cloud: self.identity.external_cloud,
            machine: self.machine.clone(),
            capacity: self.capacity(),
            reservation: self.reservation.clone(),
            runtime_version: if runtime.version.is_empty() {
                "containerd://Unknown".to_owned()
            } else {
                runtime.version.clone()
            },
            kubelet_version: super::KUBELET_VERSION.to_owned(),
            port: self.node.config.port,
            images: images.to_vec(),
            handlers: handlers(&runtime),
            features: runtime.runtime.is_some().then_some(NodeFeatures {
                supplemental_groups_policy: Some(runtime.supplemental_groups_policy),
            }),
            declared: status::declared(&self.node.config.feature_gates),
            pressure: *self.node.pressure.borrow(),
            problems,
            volumes_in_use: None,
        }
    }

    /// Creates our Node, or brings the one that is there in line, until one of the two has worked.
    /// Returns it, and what its first status tells.
    async fn register(&self, api: &Client) -> (NodeObject, Vec<Told>) {
        let mut backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(7));
        loop {
            let mut wanted = object::initial(&self.identity);
            let told = status::fill(&mut wanted, &self.facts(&[]), Timestamp::now());
            match self.try_register(api, &wanted).await {
                Ok(node) => {
                    info!(node = %self.node.name, "registered");
                    return (node, told);
                }
                Err(error) if backoff.steps() == 0 => {
                    warn!(node = %self.node.name, %error, "cannot register the node; trying on");
                }
                Err(error) => debug!(node = %self.node.name, %error, "registering the node"),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn try_register(&self, api: &Client, wanted: &NodeObject) -> Result<NodeObject, ApiError> {
        match api.create(&NODES, "", wanted).await {
            Ok(created) => return Ok(created),
            // Forbidden: we may not create it, but an administrator may have.
            Err(error) if error.is_already_exists() || error.is_forbidden() => {
                debug!(node = %self.node.name, %error, "not created");
            }
            Err(error) => return Err(error),
        }
        let existing: NodeObject = api.get(&NODES, "", &self.node.name).await?;
        let reconciled = object::reconciled(&existing, wanted);
        match patch::status(&existing, &reconciled) {
            None => Ok(existing),
            Some(change) => self.send(api, &change).await,
        }
    }

    async fn send(&self, api: &Client, change: &serde_json::Value) -> Result<NodeObject, ApiError> {
        api.patch_status(&NODES, "", &self.node.name, PatchKind::Strategic, change)
            .await
    }

    async fn list_images(&self) -> Vec<images::Image> {
        match self
            .node
            .cri
            .images()
            .list_images(ListImagesRequest { filter: None })
            .await
        {
            Ok(answer) => images::largest(
                answer
                    .into_inner()
                    .images
                    .into_iter()
                    .map(|image| {
                        let size = i64::try_from(image.size).unwrap_or(i64::MAX);
                        images::Image::new(image.repo_digests, image.repo_tags, size)
                    })
                    .collect(),
                self.node.config.node_status_max_images,
            ),
            Err(status) => {
                debug!(error = status.message(), "listing images for the node status");
                Vec::new()
            }
        }
    }

    /// Looks at the node every `nodeStatusUpdateFrequency` and whenever the runtime's state or a pressure turns;
    /// writes what changed at once, and heartbeats every `nodeStatusReportFrequency`.
    pub(super) async fn run(&self, api: Client) {
        let mut told = Vec::new();
        if self.node.config.register_node {
            let (node, first) = self.register(&api).await;
            self.node.object.send_replace(Some(Arc::new(node)));
            told = first;
        }
        self.event(EventType::Normal, "Starting", "Starting kubelet.".to_owned());
        told.iter().for_each(|told| self.tell(told));

        let (update, report) = frequencies(&self.node);
        let mut unschedulable = false;
        let mut runtime = self.node.runtime.subscribe();
        let mut pressure = self.node.pressure.subscribe();
        let mut images = self.list_images().await;
        let mut images_at = Instant::now();
        let mut reported: Option<Instant> = None;
        let mut spread = 0.5;
        loop {
            if images_at.elapsed() >= IMAGES_PERIOD || images.is_empty() {
                images = self.list_images().await;
                images_at = Instant::now();
            }
            let due = reported.is_none_or(|at| at.elapsed() >= report.mul_f64(0.5 + spread));
            match self.update(&api, &images, due).await {
                Ok(false) => {}
                Ok(true) => {
                    reported = Some(Instant::now());
                    // Nodes that change together should not report together for ever after.
                    spread = if due { 0.5 } else { rand::random() };
                }
                Err(error) => {
                    warn!(node = %self.node.name, %error, "cannot update the node status; trying again")
                }
            }
            if let Err(error) = self.publish() {
                debug!(%error, "addresses");
            }
            let now = self.is_unschedulable();
            if now != std::mem::replace(&mut unschedulable, now) {
                let reason = if now {
                    "NodeNotSchedulable"
                } else {
                    "NodeSchedulable"
                };
                self.tell(&Told::Turned(reason));
            }
            tokio::select! {
                () = tokio::time::sleep(update) => {}
                Ok(()) = runtime.changed() => {}
                Ok(()) = pressure.changed() => {}
            }
        }
    }

    fn is_unschedulable(&self) -> bool {
        let object = self.node.object.borrow();
        object
            .as_ref()
            .and_then(|node| node.spec.as_ref()?.unschedulable)
            .unwrap_or(false)
    }

    /// True if something was written.
    async fn update(&self, api: &Client, images: &[images::Image], due: bool) -> Result<bool, ApiError> {
        let known = self.node.object.borrow().clone();
        let old = match known {
            Some(node) => node,
            None => Arc::new(api.get(&NODES, "", &self.node.name).await?),
        };
        let mut new = NodeObject::clone(&old);
        let told = status::fill(&mut new, &self.facts(images), Timestamp::now());
        if !due && !status::differs(&old, &new) {
            return Ok(false);
        }
        let Some(change) = patch::status(&old, &new) else {
            return Ok(false);
        };
        let written = self.send(api, &change).await?;
        self.node.object.send_replace(Some(Arc::new(written)));
        for told in told {
            self.tell(&told);
        }
        Ok(true)
    }

    fn tell(&self, told: &Told) {
        let name = &self.node.name;
        match told {
            Told::Turned(reason) => self.event(
                EventType::Normal,
                reason,
                format!("Node {name} status is now: {reason}"),
            ),
            Told::Rebooted { boot_id } => {
                self.event(
                    EventType::Warning,
                    "Rebooted",
                    format!("Node {name} has been rebooted, boot id: {boot_id}"),
                );
            }
        }
    }

    fn event(&self, kind: EventType, reason: &'static str, message: String) {
        // The uid lets `kubectl describe node` find the event; before the node is registered there is none.
        let uid = self
            .node
            .object
            .borrow()
            .as_ref()
            .and_then(|node| node.metadata.uid.clone())
            .unwrap_or_default();
        let about = ObjectRef {
            kind: "Node".into(),
            name: (&*self.node.name).into(),
            uid: uid.as_str().into(),
            ..ObjectRef::default()
        };
        info!(node = %self.node.name, reason, "{message}");
        self.node.events.event(&about, kind, reason, "", message);
    }
}

fn hostname(node: &Node) -> String {
    let given = &node.flags.hostname_override;
    if given.is_empty() {
        node.hostname.to_string()
    } else {
        given.clone()
    }
}

fn replace<T: PartialEq>(known: &mut T, new: T) -> bool {
    let changed = *known != new;
    *known = new;
    changed
}

fn problems(runtime: &RuntimeState) -> Vec<String> {
    let of = |state: &Option<Result<(), String>>, unknown: &str| match state {
        None => Some(unknown.to_owned()),
        Some(Err(why)) => Some(why.clone()),
        Some(Ok(())) => None,
    };
    of(
        &runtime.runtime,
        "container runtime status check may not have completed yet",
    )
    .into_iter()
    .chain(of(&runtime.network, "network state unknown"))
    .collect()
}

fn handlers(runtime: &RuntimeState) -> Vec<NodeRuntimeHandler> {
    let mut handlers: Vec<NodeRuntimeHandler> = runtime
        .handlers
        .iter()
        .map(|handler| NodeRuntimeHandler {
            name: Some(handler.name.clone()),
            features: Some(NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(handler.recursive_read_only_mounts),
                user_namespaces: Some(handler.user_namespaces),
            }),
        })
        .collect();
    // The runtime lists them in any order; a sorted list keeps the status still.
    handlers.sort_by(|a, b| a.name.cmp(&b.name));
    handlers
}

/// How often the status is looked at, and how often an unchanged one is written.
fn frequencies(node: &Node) -> (Duration, Duration) {
    let or = |given: Duration, default: Duration| if given.is_zero() { default } else { given };
    let update: Duration = node.config.node_status_update_frequency.0;
    let report: Duration = node.config.node_status_report_frequency.0;
    let report = match (report.is_zero(), update.is_zero()) {
        (true, false) => update,
        (true, true) => Duration::from_secs(300),
        (false, _) => report,
    };
    (or(update, Duration::from_secs(10)), report)
}

fn summary(have: &capacity::Amounts, left: &capacity::Amounts) -> Capacity {
    let of = |amounts: &capacity::Amounts, name: &str| {
        amounts
            .get(name)
            .and_then(|amount| u64::try_from(*amount).ok())
            .unwrap_or(0)
    };
    Capacity {
        cpu_millis: of(have, capacity::CPU),
        memory: of(have, capacity::MEMORY),
        allocatable_cpu_millis: of(left, capacity::CPU),
        allocatable_memory: of(left, capacity::MEMORY),
        ephemeral_storage: of(have, capacity::EPHEMERAL_STORAGE),
        allocatable_ephemeral_storage: of(left, capacity::EPHEMERAL_STORAGE),
        pods: of(have, capacity::PODS),
        hugepages: left
            .iter()
            .filter_map(|(name, amount)| {
                let size = name.strip_prefix(capacity::HUGE_PAGES_PREFIX)?;
                let size: machinery::arith::Quantity = size.parse().ok()?;
                Some((u64::try_from(size.value()).ok()?, u64::try_from(*amount).ok()?))
            })
            .collect(),
    }
}
