//! Requests, limits and the quality of service that follows from them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::arith::quantity::Quantity;

use super::spec::{PodExt as _, is_sidecar};

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// A pod's quality of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Every container has cpu and memory limits equal to its requests.
    Guaranteed,
    /// Anything in between.
    Burstable,
    /// No container asks for anything.
    BestEffort,
}

impl Qos {
    /// `status.qosClass`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }

    /// Of a pod: what its status says, else computed.
    #[must_use]
    pub fn of(pod: &core::Pod) -> Self {
        match pod.status.as_ref().and_then(|s| s.qos_class.as_deref()) {
            Some("Guaranteed") => Self::Guaranteed,
            Some("Burstable") => Self::Burstable,
            Some("BestEffort") => Self::BestEffort,
            _ => Self::compute(pod),
        }
    }

    fn compute(pod: &core::Pod) -> Self {
        if let Some(resources) = &pod.spec().resources {
            return Self::of_requirements(Some(resources));
        }
        let mut classes = pod
            .init()
            .iter()
            .chain(pod.app())
            .map(|c| Self::of_requirements(c.resources.as_ref()));
        let Some(first) = classes.next() else {
            return Self::BestEffort;
        };
        if first != Self::Burstable && classes.all(|c| c == first) {
            first
        } else {
            Self::Burstable
        }
    }

    fn of_requirements(resources: Option<&core::ResourceRequirements>) -> Self {
        let amount = |list: Option<&BTreeMap<String, Text>>, name: &str| {
            list.and_then(|l| l.get(name)).map(parse).filter(|q| !q.is_zero())
        };
        let Some(r) = resources else {
            return Self::BestEffort;
        };
        let mut any = false;
        let mut guaranteed = true;
        for name in ["cpu", "memory"] {
            let (request, limit) = (amount(r.requests.as_ref(), name), amount(r.limits.as_ref(), name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|q| Some(q) == limit);
        }
        match (any, guaranteed) {
            (_, true) => Self::Guaranteed,
            (true, false) => Self::Burstable,
            (false, false) => Self::BestEffort,
        }
    }
}

/// An amount; what does not parse (the API server lets nothing such through) is zero.
#[must_use]
pub fn parse(text: &Text) -> Quantity {
    text.0.parse().unwrap_or_default()
}

/// One container's request or limit.
#[must_use]
pub fn of(list: Option<&BTreeMap<String, Text>>, name: &str) -> Option<Quantity> {
    list.and_then(|l| l.get(name)).map(parse)
}

/// A container's cpu limit in thousandths of a core and memory limit in bytes, 0 for none; the pod's where it has none.
#[must_use]
pub fn limits(pod: &core::Pod, container: &core::Container) -> (i64, i64) {
    let own = container.resources.as_ref().and_then(|r| r.limits.as_ref());
    let pods = pod.spec().resources.as_ref().and_then(|r| r.limits.as_ref());
    let pick = |name: &str| {
        of(own, name)
            .filter(|q| !q.is_zero())
            .or_else(|| of(pods, name))
            .unwrap_or_default()
    };
    (pick("cpu").milli_value(), pick("memory").value())
}

/// What the scheduler reserved for the pod: containers and sidecars together, or the largest moment of initialization.
#[must_use]
pub fn pod_requests(pod: &core::Pod) -> Amounts {
    total(pod, |r| r.requests.as_ref())
}

/// The same of limits.
#[must_use]
pub fn pod_limits(pod: &core::Pod) -> Amounts {
    total(pod, |r| r.limits.as_ref())
}

fn total(
    pod: &core::Pod,
    list: impl Fn(&core::ResourceRequirements) -> Option<&BTreeMap<String, Text>>,
) -> Amounts {
    let amounts = |c: &core::Container| -> Amounts {
        let list = c.resources.as_ref().and_then(&list);
        list.into_iter()
            .flatten()
            .map(|(name, text)| (name.clone(), parse(text)))
            .collect()
    };
    let mut sum = Amounts::new();
    for c in pod.app() {
        add(&mut sum, &amounts(c));
    }
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for c in pod.init() {
        let own = amounts(c);
        if is_sidecar(c) {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut peak, &sidecars);
        } else {
            let mut moment = sidecars.clone();
            add(&mut moment, &own);
            raise(&mut peak, &moment);
        }
    }
    raise(&mut sum, &peak);
    for (name, text) in pod
        .spec()
        .resources
        .as_ref()
        .and_then(&list)
        .into_iter()
        .flatten()
    {
        sum.insert(name.clone(), parse(text));
    }
    for (name, text) in pod.spec().overhead.iter().flatten() {
        *sum.entry(name.clone()).or_default() += parse(text);
    }
    sum
}

fn add(to: &mut Amounts, what: &Amounts) {
    for (name, amount) in what {
        *to.entry(name.clone()).or_default() += *amount;
    }
}

fn raise(to: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        let slot = to.entry(name.clone()).or_default();
        *slot = (*slot).max(*amount);
    }
}

/// The kernel's cpu shares for thousandths of a core.
#[must_use]
pub fn shares(millis: i64) -> u64 {
    u64::try_from(millis * 1024 / 1000)
        .unwrap_or_default()
        .clamp(2, 262_144)
}

/// The CFS quota in µs for thousandths of a core, 0 for no limit.
#[must_use]
pub fn quota(millis: i64, period_micros: i64) -> i64 {
    if millis == 0 {
        0
    } else {
        (millis * period_micros / 1000).max(1000)
    }
}

/// The oom_score_adj of a container: the less of the node it asks for, the sooner it goes.
#[must_use]
pub fn oom_score_adj(pod: &core::Pod, container: &core::Container, node_memory: u64) -> i64 {
    let node_critical = pod.spec().priority.is_some_and(|p| p >= 2_000_001_000)
        && pod.spec().priority_class_name.as_deref() == Some("system-node-critical");
    match Qos::of(pod) {
        _ if node_critical => -997,
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let memory = i64::try_from(node_memory).unwrap_or(i64::MAX).max(1);
            let request = |c: &core::Container| {
                of(c.resources.as_ref().and_then(|r| r.requests.as_ref()), "memory")
                    .unwrap_or_default()
                    .value()
            };
            let mut bytes = request(container);
            if is_sidecar(container) {
                bytes = bytes.max(pod.app().iter().map(request).min().unwrap_or_default());
            }
            (1000 - 1000_i64.saturating_mul(bytes) / memory).clamp(3, 999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> core::Container {
        let list = |l: &[(&str, &str)]| {
            Some(
                l.iter()
                    .map(|(k, v)| ((*k).to_owned(), Text((*v).to_owned())))
                    .collect(),
            )
        };
        core::Container {
            resources: Some(core::ResourceRequirements {
                requests: list(requests),
                limits: list(limits),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn pod(init: Vec<core::Container>, app: Vec<core::Container>) -> core::Pod {
        core::Pod {
            spec: Some(core::PodSpec {
                init_containers: Some(init),
                containers: app,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn qos_classes() {
        let full: &[(&str, &str)] = &[("cpu", "1"), ("memory", "1Gi")];
        for (name, app, class) in [
            ("nothing", vec![container(&[], &[])], Qos::BestEffort),
            ("equal", vec![container(full, full)], Qos::Guaranteed),
            ("limits only", vec![container(&[], full)], Qos::Guaranteed),
            (
                "cpu only",
                vec![container(&[("cpu", "1")], &[("cpu", "1")])],
                Qos::Burstable,
            ),
            (
                "mixed",
                vec![container(full, full), container(&[], &[])],
                Qos::Burstable,
            ),
            (
                "less than the limit",
                vec![container(&[("cpu", "500m")], full)],
                Qos::Burstable,
            ),
            (
                "same written otherwise",
                vec![container(&[("cpu", "1000m"), ("memory", "1024Mi")], full)],
                Qos::Guaranteed,
            ),
        ] {
            assert_eq!(Qos::of(&pod(vec![], app)), class, "{name}");
        }
    }

    #[test]
    fn requests_are_the_larger_of_running_and_initializing() {
        let mut sidecar = container(&[("cpu", "100m")], &[]);
        sidecar.restart_policy = Some("Always".into());
        let init = container(&[("cpu", "900m")], &[]);
        let app = container(&[("cpu", "200m")], &[]);
        let cpu = |p: &core::Pod| pod_requests(p)["cpu"].milli_value();
        assert_eq!(cpu(&pod(vec![], vec![app.clone(), app.clone()])), 400);
        assert_eq!(cpu(&pod(vec![init.clone()], vec![app.clone()])), 900);
        assert_eq!(
            cpu(&pod(vec![sidecar.clone(), init.clone()], vec![app.clone()])),
            1000
        );
        assert_eq!(cpu(&pod(vec![init, sidecar], vec![app])), 900);
    }

    #[test]
    fn shares_and_quota_have_their_floors() {
        assert_eq!(
            (shares(0), shares(1), shares(500), shares(1000)),
            (2, 2, 512, 1024)
        );
        assert_eq!(
            (quota(0, 100_000), quota(1, 100_000), quota(1500, 100_000)),
            (0, 1000, 150_000)
        );
    }
}
