//! The upstream programs and how each is built.

use std::path::{Path, PathBuf};

use super::module::Module;
use super::store::{Key, Layout, Slot};

/// A program that the rig runs as upstream published it, in the order in which they are built: what a bare API
/// server needs comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    Etcd,
    KubeApiserver,
    Kubectl,
    Runc,
    Containerd,
    ContainerdShim,
    Ctr,
    Bridge,
    Loopback,
    HostLocal,
    Portmap,
    Ptp,
    Agnhost,
    CoreDns,
    KubeControllerManager,
    KubeScheduler,
    KubeProxy,
    Kubelet,
    E2eTest,
    Nonewprivs,
    SampleApiserver,
}

use Program::*;

impl Program {
    pub const ALL: &'static [Program] = &[
        Etcd,
        KubeApiserver,
        Kubectl,
        Runc,
        Containerd,
        ContainerdShim,
        Ctr,
        Bridge,
        Loopback,
        HostLocal,
        Portmap,
        Ptp,
        Agnhost,
        CoreDns,
        KubeControllerManager,
        KubeScheduler,
        KubeProxy,
        Kubelet,
        E2eTest,
        Nonewprivs,
        SampleApiserver,
    ];
    /// What an API server without nodes needs.
    pub const BARE: &'static [Program] = &[Etcd, KubeApiserver];
    /// What a node needs beside its kubelet and kube-proxy.
    pub const NODE: &'static [Program] = &[
        Runc,
        Containerd,
        ContainerdShim,
        Ctr,
        Bridge,
        Loopback,
        HostLocal,
        Portmap,
        Ptp,
    ];
    /// The plugins that a CNI configuration names; containerd's `bin_dirs` is the programs' folder.
    pub const CNI: &'static [Program] = &[Bridge, Loopback, HostLocal, Portmap, Ptp];
    /// Upstream's side of the four that we replace.
    pub const REPLACED: &'static [Program] = &[KubeControllerManager, KubeScheduler, KubeProxy, Kubelet];

    /// Its file name.
    pub fn name(self) -> &'static str {
        match self {
            Etcd => "etcd",
            KubeApiserver => "kube-apiserver",
            Kubectl => "kubectl",
            Runc => "runc",
            Containerd => "containerd",
            ContainerdShim => "containerd-shim-runc-v2",
            Ctr => "ctr",
            Bridge => "bridge",
            Loopback => "loopback",
            HostLocal => "host-local",
            Portmap => "portmap",
            Ptp => "ptp",
            Agnhost => "agnhost",
            CoreDns => "coredns",
            KubeControllerManager => "kube-controller-manager",
            KubeScheduler => "kube-scheduler",
            KubeProxy => "kube-proxy",
            Kubelet => "kubelet",
            E2eTest => "e2e.test",
            Nonewprivs => "nonewprivs",
            SampleApiserver => "sample-apiserver",
        }
    }

    /// Whether a cluster is made with it; the others are for the conformance tests alone.
    pub fn is_of_cluster(self) -> bool {
        self <= Kubelet
    }

    pub(super) fn recipe(self) -> Recipe {
        let kubernetes = |package, hint| Recipe {
            set: KUBERNETES_SET,
            ..Recipe::of(Module::Kubernetes, package, hint)
        };
        let containerd = |package| Recipe {
            tags: "no_btrfs,no_devmapper,no_zfs",
            set: &["github.com/containerd/containerd/v2/version.Version=v2.4.2"],
            ..Recipe::of(Module::Containerd, package, "about 30 s from an empty cache")
        };
        let cni = |package| Recipe {
            set: &["github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v1.9.1"],
            ..Recipe::of(Module::Containerd, package, "a few seconds")
        };
        match self {
            Etcd => Recipe::of(Module::Etcd, ".", "about 30 s from an empty cache"),
            KubeApiserver => kubernetes(
                "k8s.io/kubernetes/cmd/kube-apiserver",
                "about 5 min from an empty cache",
            ),
            Kubectl => kubernetes("k8s.io/kubernetes/cmd/kubectl", "about 1 min from an empty cache"),
            Runc => Recipe {
                tags: "seccomp",
                set: &["main.version=1.5.2"],
                cgo: true,
                ..Recipe::of(
                    Module::Runc,
                    "github.com/opencontainers/runc",
                    "about 20 s from an empty cache",
                )
            },
            Containerd => containerd("github.com/containerd/containerd/v2/cmd/containerd"),
            ContainerdShim => containerd("github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"),
            Ctr => containerd("github.com/containerd/containerd/v2/cmd/ctr"),
            Bridge => cni("github.com/containernetworking/plugins/plugins/main/bridge"),
            Loopback => cni("github.com/containernetworking/plugins/plugins/main/loopback"),
            HostLocal => cni("github.com/containernetworking/plugins/plugins/ipam/host-local"),
            Portmap => cni("github.com/containernetworking/plugins/plugins/meta/portmap"),
            Ptp => cni("github.com/containernetworking/plugins/plugins/main/ptp"),
            Agnhost => kubernetes("k8s.io/kubernetes/test/images/agnhost", "a few seconds"),
            CoreDns => Recipe::of(Module::CoreDns, ".", "about 1 min from an empty cache"),
            KubeControllerManager => kubernetes(
                "k8s.io/kubernetes/cmd/kube-controller-manager",
                "about 90 s from an empty cache",
            ),
            KubeScheduler => kubernetes("k8s.io/kubernetes/cmd/kube-scheduler", "about 10 s"),
            KubeProxy => kubernetes("k8s.io/kubernetes/cmd/kube-proxy", "about 10 s"),
            Kubelet => kubernetes("k8s.io/kubernetes/cmd/kubelet", "about 20 s"),
            E2eTest => Recipe {
                test: true,
                ..kubernetes("k8s.io/kubernetes/test/e2e", "about 3 min from an empty cache")
            },
            Nonewprivs => Recipe::of(
                Module::Kubernetes,
                "k8s.io/kubernetes/test/images/nonewprivs",
                "a few seconds",
            ),
            SampleApiserver => Recipe::of(Module::SampleApiserver, "k8s.io/sample-apiserver", "about 10 s"),
        }
    }

    pub(super) fn slot(self, layout: &Layout) -> Slot {
        Slot {
            name: self.name().into(),
            path: layout.bin().join(self.name()),
            key: self.recipe().key(),
        }
    }

    /// The user's own build of it: a file of its name in the folder `KUBEBUILDER_ASSETS`, as envtest has it.
    pub(super) fn given(self, folder: Option<&Path>) -> Option<PathBuf> {
        folder
            .map(|folder| folder.join(self.name()))
            .filter(|path| path.is_file())
    }
}

/// How `go build` makes a program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe {
    pub(super) module: Module,
    pub(super) package: &'static str,
    pub(super) tags: &'static str,
    /// Variables for the linker, `import/path.name=value`.
    pub(super) set: &'static [&'static str],
    pub(super) cgo: bool,
    /// The tests of the package, as a program, rather than the package's own.
    pub(super) test: bool,
    pub(super) hint: &'static str,
}

/// Clients and servers compare these: a build without them calls itself v0.0.0 and is treated so.
const KUBERNETES_SET: &[&str] = &[
    "k8s.io/component-base/version.gitVersion=v1.37.1",
    "k8s.io/component-base/version.gitMajor=1",
    "k8s.io/component-base/version.gitMinor=37",
    "k8s.io/component-base/version.gitTreeState=clean",
    "k8s.io/client-go/pkg/version.gitVersion=v1.37.1",
    "k8s.io/client-go/pkg/version.gitMajor=1",
    "k8s.io/client-go/pkg/version.gitMinor=37",
    "k8s.io/client-go/pkg/version.gitTreeState=clean",
];

impl Recipe {
    fn of(module: Module, package: &'static str, hint: &'static str) -> Recipe {
        Recipe {
            module,
            package,
            tags: "",
            set: &[],
            cgo: false,
            test: false,
            hint,
        }
    }

    /// `-ldflags`: no symbol tables, and the variables.
    pub(super) fn ldflags(&self) -> String {
        self.set
            .iter()
            .fold("-s -w".to_owned(), |flags, set| format!("{flags} -X {set}"))
    }

    pub(super) fn key(&self) -> Key {
        let ldflags = self.ldflags();
        let own = [
            ("package", self.package.as_bytes()),
            ("tags", self.tags.as_bytes()),
            ("ldflags", ldflags.as_bytes()),
            ("cgo", &[u8::from(self.cgo)]),
            ("machine", std::env::consts::ARCH.as_bytes()),
        ];
        let test = self.test.then_some(("test", b"1".as_slice()));
        Key::of(
            own.into_iter()
                .chain(test)
                .chain(self.module.files().iter().copied()),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_list_is_whole_in_order_and_without_two_of_a_name() {
        assert!(Program::ALL.is_sorted());
        assert_eq!(Program::ALL.len(), SampleApiserver as usize + 1);
        let names: HashSet<_> = Program::ALL.iter().map(|p| p.name()).collect();
        assert_eq!(names.len(), Program::ALL.len());
    }

    #[test]
    fn the_versions_that_are_linked_in_are_those_of_go_mod() {
        let cases = [
            (
                KubeApiserver,
                "k8s.io/kubernetes",
                "k8s.io/component-base/version.gitVersion=",
            ),
            (
                KubeApiserver,
                "k8s.io/kubernetes",
                "k8s.io/client-go/pkg/version.gitVersion=",
            ),
            (
                Containerd,
                "github.com/containerd/containerd/v2",
                "github.com/containerd/containerd/v2/version.Version=",
            ),
            (
                Bridge,
                "github.com/containernetworking/plugins",
                "github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=",
            ),
            (Runc, "github.com/opencontainers/runc", "main.version="),
        ];
        for (program, package, variable) in cases {
            let recipe = program.recipe();
            let linked = recipe
                .set
                .iter()
                .find_map(|set| set.strip_prefix(variable))
                .unwrap();
            let required = recipe.module.requires(package).unwrap();
            assert_eq!(
                linked.trim_start_matches('v'),
                required.trim_start_matches('v'),
                "{}",
                program.name()
            );
        }
    }

    #[test]
    fn a_key_follows_the_recipe() {
        let recipe = Kubelet.recipe();
        assert_eq!(recipe.key(), Kubelet.recipe().key());
        assert_ne!(recipe.key(), KubeProxy.recipe().key());
        assert_ne!(recipe.key(), Recipe { tags: "x", ..recipe }.key());
        assert_ne!(recipe.key(), Recipe { cgo: true, ..recipe }.key());
        assert_ne!(
            recipe.key(),
            Recipe {
                set: &["a.b=c"],
                ..recipe
            }
            .key()
        );
    }

    #[test]
    fn a_program_is_taken_from_the_users_folder_only_if_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("etcd"), "").unwrap();
        assert_eq!(Etcd.given(Some(dir.path())), Some(dir.path().join("etcd")));
        assert_eq!(Kubectl.given(Some(dir.path())), None);
        assert_eq!(Etcd.given(None), None);
    }
}
