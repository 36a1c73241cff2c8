//! Metrics of pods and of the node in the Prometheus text format, from one summary: `/metrics/resource` and the part of
//! `/metrics/cadvisor` that the runtime knows. Pure. Samples carry the time at which the runtime measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::summary::{CpuStats, MemoryStats, PodStats, Summary, Time};
use crate::context::Capacity;

/// Families by name: (help, type, samples).
#[derive(Default)]
struct Families(BTreeMap<&'static str, (&'static str, &'static str, String)>);

impl Families {
    fn add(
        &mut self,
        name: &'static str,
        kind: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        value: f64,
        time: Option<Time>,
    ) {
        let (_, _, samples) = self.0.entry(name).or_insert((help, kind, String::new()));
        samples.push_str(name);
        if !labels.is_empty() {
            samples.push('{');
            for (at, (label, value)) in labels.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                // Writing to a String cannot fail.
                let _ = write!(samples, "{comma}{label}=\"{}\"", escape(value));
            }
            samples.push('}');
        }
        let _ = match time {
            Some(time) => writeln!(samples, " {value} {}", time.0.as_millisecond()),
            None => writeln!(samples, " {value}"),
        };
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for (name, (help, kind, samples)) in &self.0 {
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
        }
        out
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn seconds(cpu: &CpuStats) -> Option<(f64, Time)> {
    Some((cpu.usage_core_nano_seconds? as f64 / 1e9, cpu.time))
}

fn working_set(memory: &MemoryStats) -> Option<(f64, Time)> {
    Some((memory.working_set_bytes? as f64, memory.time))
}

fn epoch(time: Time) -> f64 {
    time.0.as_nanosecond() as f64 / 1e9
}

/// `/metrics/resource`; without a summary only that it failed.
pub fn resource(summary: Option<&Summary>) -> String {
    let mut families = Families::default();
    let failed = f64::from(u8::from(summary.is_none()));
    families.add(
        "resource_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
        &[],
        failed,
        None,
    );
    let Some(summary) = summary else {
        return families.text();
    };
    if let Some((value, time)) = summary.node.cpu.as_ref().and_then(seconds) {
        families.add(
            "node_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the node in core-seconds",
            &[],
            value,
            Some(time),
        );
    }
    if let Some((value, time)) = summary.node.memory.as_ref().and_then(working_set) {
        families.add(
            "node_memory_working_set_bytes",
            "gauge",
            "Current working set of the node in bytes",
            &[],
            value,
            Some(time),
        );
    }
    if let Some((swap, used)) = summary
        .node
        .swap
        .as_ref()
        .and_then(|swap| Some((swap, swap.swap_usage_bytes?)))
    {
        families.add(
            "node_swap_usage_bytes",
            "gauge",
            "Current swap usage of the node in bytes. Reported only on non-windows systems",
            &[],
            used as f64,
            Some(swap.time),
        );
    }
    for pod in &summary.pods {
        let of_pod = [
            ("namespace", pod.pod_ref.namespace.as_str()),
            ("pod", pod.pod_ref.name.as_str()),
        ];
        if let Some((value, time)) = pod.cpu.as_ref().and_then(seconds) {
            families.add(
                "pod_cpu_usage_seconds_total",
                "counter",
                "Cumulative cpu time consumed by the pod in core-seconds",
                &of_pod,
                value,
                Some(time),
            );
        }
        if let Some((value, time)) = pod.memory.as_ref().and_then(working_set) {
            families.add(
                "pod_memory_working_set_bytes",
                "gauge",
                "Current working set of the pod in bytes",
                &of_pod,
                value,
                Some(time),
            );
        }
        if let Some((swap, used)) = pod
            .swap
            .as_ref()
            .and_then(|swap| Some((swap, swap.swap_usage_bytes?)))
        {
            families.add(
                "pod_swap_usage_bytes",
                "gauge",
                "Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
                &of_pod,
                used as f64,
                Some(swap.time),
            );
        }
        for container in &pod.containers {
            let labels = [("container", container.name.as_str()), of_pod[0], of_pod[1]];
            if let Some(start) = container.start_time {
                families.add(
                    "container_start_time_seconds",
                    "gauge",
                    "Start time of the container since unix epoch in seconds",
                    &labels,
                    epoch(start),
                    None,
                );
            }
            if let Some((value, time)) = container.cpu.as_ref().and_then(seconds) {
                families.add(
                    "container_cpu_usage_seconds_total",
                    "counter",
                    "Cumulative cpu time consumed by the container in core-seconds",
                    &labels,
                    value,
                    Some(time),
                );
            }
            if let Some((value, time)) = container.memory.as_ref().and_then(working_set) {
                families.add(
                    "container_memory_working_set_bytes",
                    "gauge",
                    "Current working set of the container in bytes",
                    &labels,
                    value,
                    Some(time),
                );
            }
            let Some(swap) = &container.swap else { continue };
            let used = swap.swap_usage_bytes.unwrap_or(0) as f64;
            if swap.swap_usage_bytes.is_some() {
                families.add("container_swap_usage_bytes", "gauge", "Current amount of the container swap usage in bytes. Reported only on non-windows systems", &labels, used, Some(swap.time));
            }
            if let Some(left) = swap.swap_available_bytes {
                families.add("container_swap_limit_bytes", "gauge", "Current amount of the container swap limit in bytes. Reported only on non-windows systems", &labels, left as f64 + used, Some(swap.time));
            }
        }
    }
    families.text()
}

/// `/metrics/cadvisor`: what scrapers most ask of it. `images` names a container's image by its id.
pub fn cadvisor(summary: &Summary, capacity: &Capacity, images: &BTreeMap<String, String>) -> String {
    let mut families = Families::default();
    families.add(
        "machine_cpu_cores",
        "gauge",
        "Number of logical CPU cores.",
        &[],
        (capacity.cpu_millis / 1000) as f64,
        None,
    );
    families.add(
        "machine_memory_bytes",
        "gauge",
        "Amount of memory installed on the machine.",
        &[],
        capacity.memory as f64,
        None,
    );
    for pod in &summary.pods {
        pod_families(&mut families, pod, images);
    }
    families.text()
}

fn pod_families(families: &mut Families, pod: &PodStats, images: &BTreeMap<String, String>) {
    let PodRef { namespace, name } = PodRef::of(pod);
    let of_pod = |container: &'static str| {
        [
            ("container", container),
            ("id", ""),
            ("image", ""),
            ("name", ""),
            ("namespace", namespace),
            ("pod", name),
        ]
    };
    for (cpu, memory, labels) in std::iter::once((pod.cpu.as_ref(), pod.memory.as_ref(), of_pod(""))).chain(
        pod.containers.iter().map(|container| {
            let image = images.get(&container.id).map_or("", String::as_str);
            let labels = [
                ("container", container.name.as_str()),
                ("id", container.id.as_str()),
                ("image", image),
                ("name", container.id.as_str()),
                ("namespace", namespace),
                ("pod", name),
            ];
            (container.cpu.as_ref(), container.memory.as_ref(), labels)
        }),
    ) {
        if let Some((value, time)) = cpu.and_then(seconds) {
            let mut labels = labels.to_vec();
            labels.insert(1, ("cpu", "total"));
            families.add(
                "container_cpu_usage_seconds_total",
                "counter",
                "Cumulative cpu time consumed in seconds.",
                &labels,
                value,
                Some(time),
            );
        }
        let Some(memory) = memory else { continue };
        for (family, help, value) in [
            (
                "container_memory_usage_bytes",
                "Current memory usage in bytes, including all memory regardless of when it was accessed",
                memory.usage_bytes,
            ),
            (
                "container_memory_working_set_bytes",
                "Current working set in bytes.",
                memory.working_set_bytes,
            ),
            ("container_memory_rss", "Size of RSS in bytes.", memory.rss_bytes),
        ] {
            if let Some(value) = value {
                families.add(family, "gauge", help, &labels, value as f64, Some(memory.time));
            }
        }
    }
    for container in &pod.containers {
        let labels = [
            ("container", container.name.as_str()),
            ("id", container.id.as_str()),
            ("namespace", namespace),
            ("pod", name),
        ];
        if let Some(start) = container.start_time {
            families.add(
                "container_start_time_seconds",
                "gauge",
                "Start time of the container since unix epoch in seconds.",
                &labels,
                epoch(start),
                None,
            );
        }
        if let Some((fs, used)) = container
            .rootfs
            .as_ref()
            .and_then(|fs| Some((fs, fs.used_bytes?)))
        {
            families.add(
                "container_fs_usage_bytes",
                "gauge",
                "Number of bytes that are consumed by the container on this filesystem.",
                &labels,
                used as f64,
                Some(fs.time),
            );
        }
    }
    let Some(network) = &pod.network else { return };
    for interface in &network.interfaces {
        let labels = [
            ("interface", interface.name.as_str()),
            ("namespace", namespace),
            ("pod", name),
        ];
        for (family, help, value) in [
            (
                "container_network_receive_bytes_total",
                "Cumulative count of bytes received",
                interface.rx_bytes,
            ),
            (
                "container_network_receive_errors_total",
                "Cumulative count of errors encountered while receiving",
                interface.rx_errors,
            ),
            (
                "container_network_transmit_bytes_total",
                "Cumulative count of bytes transmitted",
                interface.tx_bytes,
            ),
            (
                "container_network_transmit_errors_total",
                "Cumulative count of errors encountered while transmitting",
                interface.tx_errors,
            ),
        ] {
            families.add(family, "counter", help, &labels, value as f64, Some(network.time));
        }
    }
}

struct PodRef<'a> {
    namespace: &'a str,
    name: &'a str,
}

impl<'a> PodRef<'a> {
    fn of(pod: &'a PodStats) -> PodRef<'a> {
        PodRef {
            namespace: &pod.pod_ref.namespace,
            name: &pod.pod_ref.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::summary::{ContainerStats, NodeStats, PodReference};
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn summary() -> Summary {
        let cpu = |nanos| {
            Some(CpuStats {
                time: at(2),
                usage_nano_cores: None,
                usage_core_nano_seconds: Some(nanos),
            })
        };
        let memory = |bytes| {
            Some(MemoryStats {
                time: at(2),
                available_bytes: None,
                usage_bytes: Some(bytes * 2),
                working_set_bytes: Some(bytes),
                rss_bytes: None,
                page_faults: None,
                major_page_faults: None,
            })
        };
        let container = ContainerStats {
            name: "c".into(),
            start_time: Some(at(1)),
            cpu: cpu(1_500_000_000),
            memory: memory(10),
            rootfs: None,
            swap: None,
            id: "id1".into(),
        };
        Summary {
            node: NodeStats {
                node_name: "n1".into(),
                start_time: at(0),
                cpu: cpu(9_000_000_000),
                memory: memory(100),
                network: None,
                fs: None,
                runtime: None,
                rlimit: None,
                swap: None,
            },
            pods: vec![PodStats {
                pod_ref: PodReference {
                    name: "p".into(),
                    namespace: "ns".into(),
                    uid: "u".into(),
                },
                start_time: None,
                containers: vec![container],
                cpu: cpu(2_000_000_000),
                memory: None,
                network: None,
                ephemeral_storage: None,
                process_stats: None,
                swap: None,
            }],
        }
    }

    #[test]
    fn resource_metrics_have_upstreams_names_and_times() {
        let text = resource(Some(&summary()));
        for line in [
            "node_cpu_usage_seconds_total 9 2000",
            "node_memory_working_set_bytes 100 2000",
            "pod_cpu_usage_seconds_total{namespace=\"ns\",pod=\"p\"} 2 2000",
            "container_cpu_usage_seconds_total{container=\"c\",namespace=\"ns\",pod=\"p\"} 1.5 2000",
            "container_memory_working_set_bytes{container=\"c\",namespace=\"ns\",pod=\"p\"} 10 2000",
            "container_start_time_seconds{container=\"c\",namespace=\"ns\",pod=\"p\"} 1",
            "resource_scrape_error 0",
            "# TYPE container_cpu_usage_seconds_total counter",
        ] {
            assert!(
                text.lines().any(|known| known == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(resource(None).contains("resource_scrape_error 1\n"));
    }

    #[test]
    fn cadvisor_metrics_name_container_and_pod() {
        let images = [("id1".to_owned(), "img\"x".to_owned())].into();
        let text = cadvisor(
            &summary(),
            &Capacity {
                cpu_millis: 2000,
                memory: 5,
                ..Capacity::default()
            },
            &images,
        );
        for line in [
            "machine_cpu_cores 2",
            "container_cpu_usage_seconds_total{container=\"c\",cpu=\"total\",id=\"id1\",image=\"img\\\"x\",name=\"id1\",namespace=\"ns\",pod=\"p\"} 1.5 2000",
            "container_memory_usage_bytes{container=\"c\",id=\"id1\",image=\"img\\\"x\",name=\"id1\",namespace=\"ns\",pod=\"p\"} 20 2000",
        ] {
            assert!(
                text.lines().any(|known| known == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
