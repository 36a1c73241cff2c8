//! What a machine's own mount namespace looks like, as a list of steps for its first process.
//!
//! A machine sees the host's files, but `/etc` and `/var/lib` are covered by overlays whose upper side is in memory,
//! `/run` is its own, and what containerd and the kubelet write lands below the state folder. All of it goes away with
//! the namespace.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::address::{self, CONTROL_PLANE};
use super::site::Site;

/// One step, done in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    MakeFolder(PathBuf),
    Tmpfs(PathBuf),
    /// A fresh proc or sysfs.
    Fresh {
        kind: String,
        at: PathBuf,
    },
    Overlay {
        at: PathBuf,
        upper: PathBuf,
        work: PathBuf,
    },
    Bind {
        from: PathBuf,
        at: PathBuf,
    },
    BindTree {
        from: PathBuf,
        at: PathBuf,
    },
    /// Takes a mount, and what is mounted below it, out of sight.
    Detach(PathBuf),
    /// Replaces a file, and a link of that name.
    File {
        at: PathBuf,
        text: String,
    },
    /// Writes a kernel setting of the machine's own namespaces, if the kernel has it.
    Setting {
        at: PathBuf,
        value: String,
    },
    /// Covers a kernel setting that belongs to the host with the value that a program would write there, so that it
    /// is neither written nor missed.
    Pretend {
        at: PathBuf,
        value: String,
        file: PathBuf,
    },
    /// Makes every mount visible to the namespaces of containers.
    Share,
}

/// A machine for the supervisor to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub name: String,
    pub cgroup: String,
    pub log: PathBuf,
    /// Where its first process writes its process id once the machine is ready.
    pub ready: PathBuf,
    pub steps: Vec<Step>,
}

/// The machine `name` of a rig with `nodes` nodes.
pub fn machine(site: &Site, name: &str, nodes: u8) -> Machine {
    let own = site.folder.machine(name);
    let mut steps = private_files(&own);
    if name != CONTROL_PLANE {
        steps.extend(node_folders(site, name));
    }
    steps.extend(kernel_views(&own));
    steps.extend(names(name, nodes));
    steps.extend(settings(name));
    steps.push(Step::Share);
    Machine {
        name: name.to_owned(),
        cgroup: site.programs_cgroup(name),
        log: site.folder.log(&format!("machine@{name}")),
        ready: own.join("ready"),
        steps,
    }
}

fn private_files(own: &Path) -> Vec<Step> {
    let scratch = own.join("scratch");
    let mut steps = vec![Step::MakeFolder(scratch.clone()), Step::Tmpfs(scratch.clone())];
    for (name, at) in [("etc", "/etc"), ("var-lib", "/var/lib")] {
        let (upper, work) = (scratch.join(name).join("upper"), scratch.join(name).join("work"));
        steps.extend([
            Step::MakeFolder(upper.clone()),
            Step::MakeFolder(work.clone()),
            Step::Overlay {
                at: at.into(),
                upper,
                work,
            },
        ]);
    }
    steps.push(Step::Tmpfs("/run".into()));
    steps
}

fn node_folders(site: &Site, node: &str) -> Vec<Step> {
    let own = site.folder.machine(node);
    [
        (own.join("kubelet"), "/var/lib/kubelet"),
        (own.join("containerd"), "/var/lib/containerd"),
        (own.join("cni-state"), "/var/lib/cni"),
        (site.folder.cni(node), "/etc/cni/net.d"),
        (site.folder.manifests(node), "/etc/kubernetes/manifests"),
        (own.join("log"), "/var/log"),
    ]
    .into_iter()
    .flat_map(|(from, at)| {
        [
            Step::MakeFolder(from.clone()),
            Step::MakeFolder(at.into()),
            Step::Bind { from, at: at.into() },
        ]
    })
    .collect()
}

/// A sysfs of the machine's own network namespace hides the cgroup tree: it is kept aside and put back.
fn kernel_views(own: &Path) -> Vec<Step> {
    let aside = own.join("scratch/cgroup");
    let mut steps = vec![
        Step::MakeFolder(aside.clone()),
        Step::BindTree {
            from: "/sys/fs/cgroup".into(),
            at: aside.clone(),
        },
        Step::Fresh {
            kind: "sysfs".to_owned(),
            at: "/sys".into(),
        },
        Step::BindTree {
            from: aside.clone(),
            at: "/sys/fs/cgroup".into(),
        },
        Step::Detach(aside),
        Step::Fresh {
            kind: "proc".to_owned(),
            at: "/proc".into(),
        },
    ];
    // What kubelets write to settings that are not namespaced (pkg/kubelet/cm: setupKernelTunables).
    let tunables = [
        ("vm/overcommit_memory", "1"),
        ("vm/panic_on_oom", "0"),
        ("kernel/panic", "10"),
        ("kernel/panic_on_oops", "1"),
        ("kernel/keys/root_maxkeys", "1000000"),
        ("kernel/keys/root_maxbytes", "25000000"),
    ];
    steps.extend(tunables.into_iter().map(|(name, value)| Step::Pretend {
        at: Path::new("/proc/sys").join(name),
        value: value.to_owned(),
        file: own.join("scratch").join(name.replace('/', ".")),
    }));
    steps
}

fn names(machine: &str, nodes: u8) -> Vec<Step> {
    let mut hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n".to_owned();
    let control_plane = address::control_plane();
    hosts += &format!(
        "{} {CONTROL_PLANE}\n{} {CONTROL_PLANE}\n",
        control_plane.v4, control_plane.v6
    );
    for number in 1..=nodes {
        let (node, name) = (address::node(number), address::node_name(number));
        hosts += &format!("{} {name}\n{} {name}\n", node.v4, node.v6);
    }
    // Nothing answers there, at once: a rig knows no name outside the cluster.
    let resolver = format!("nameserver {}\n", control_plane.v4);
    [
        ("/etc/hostname", format!("{machine}\n")),
        ("/etc/hosts", hosts),
        ("/etc/resolv.conf", resolver),
    ]
    .into_iter()
    .map(|(at, text)| Step::File { at: at.into(), text })
    .collect()
}

fn settings(machine: &str) -> Vec<Step> {
    let mut settings = vec![
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        // A pod's address may be given to another pod at once: ask again rather than trust.
        ("net/ipv4/neigh/default/delay_first_probe_time", "0"),
        ("net/ipv4/neigh/default/ucast_solicit", "0"),
        ("net/ipv4/neigh/default/mcast_resolicit", "3"),
    ];
    // On nodes, Services see what crosses the pods' bridge; on the control plane's bridge there is nothing to see.
    let filter = if machine == CONTROL_PLANE { "0" } else { "1" };
    settings.extend([
        ("net/bridge/bridge-nf-call-iptables", filter),
        ("net/bridge/bridge-nf-call-ip6tables", filter),
    ]);
    settings
        .into_iter()
        .map(|(name, value)| Step::Setting {
            at: Path::new("/proc/sys").join(name),
            value: value.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::site::Folder;

    fn site() -> Site {
        Site {
            folder: Folder::new("/s".into()),
            ours: "/o".into(),
        }
    }

    #[test]
    fn what_a_node_writes_lands_in_the_state_folder() {
        let machine = machine(&site(), "n1", 2);
        for at in [
            "/var/lib/kubelet",
            "/var/lib/containerd",
            "/var/log",
            "/etc/cni/net.d",
        ] {
            let bind = machine.steps.iter().find_map(|step| match step {
                Step::Bind { from, at: there } if there == Path::new(at) => Some(from),
                _ => None,
            });
            assert!(bind.unwrap().starts_with("/s/machines/n1"), "{at}");
        }
    }

    #[test]
    fn no_setting_of_the_host_is_written() {
        for step in machine(&site(), "n1", 2).steps {
            if let Step::Setting { at, .. } = step {
                assert!(
                    at.starts_with("/proc/sys/net"),
                    "{} is not namespaced",
                    at.display()
                );
            }
        }
    }

    #[test]
    fn folders_below_etc_are_made_only_after_it_is_covered() {
        let steps = machine(&site(), "n1", 2).steps;
        let covered = |path: &str| {
            steps
                .iter()
                .position(|step| matches!(step, Step::Overlay { at, .. } if at == Path::new(path)))
                .unwrap()
        };
        for (index, step) in steps.iter().enumerate() {
            if let Step::MakeFolder(path) | Step::File { at: path, .. } = step {
                assert!(!path.starts_with("/etc") || index > covered("/etc"));
                assert!(!path.starts_with("/var/lib") || index > covered("/var/lib"));
            }
        }
        assert_eq!(steps.last(), Some(&Step::Share));
    }
}
