//! The images that the rig has and what each is made of. Another image is another recipe.

use super::busybox;
use super::debian::Tree;
use super::module::Module;
use super::oci::Config;
use super::program::Program;
use super::store::{Key, Layout, Slot};

/// An archive of one image under one or several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Image {
    Pause,
    Busybox,
    CoreDns,
    Agnhost,
    Nginx,
    Kitten,
    Nautilus,
    GlibcDns,
    Nonewprivs,
    SampleApiserver,
    Etcd,
}

impl Image {
    pub const ALL: &'static [Image] = &[
        Image::Pause,
        Image::Busybox,
        Image::CoreDns,
        Image::Agnhost,
        Image::Nginx,
        Image::Kitten,
        Image::Nautilus,
        Image::GlibcDns,
        Image::Nonewprivs,
        Image::SampleApiserver,
        Image::Etcd,
    ];
    /// What a first try and our own tests run.
    pub const CLUSTER: &'static [Image] = &[
        Image::Pause,
        Image::Busybox,
        Image::CoreDns,
        Image::Agnhost,
        Image::Nginx,
    ];

    /// The names under which pods ask for it. Where there are several, they are versions for a rollout to choose from.
    pub fn references(self) -> &'static [&'static str] {
        match self {
            Image::Pause => &["registry.k8s.io/pause:3.10.2"],
            Image::Busybox => &["registry.k8s.io/e2e-test-images/busybox:1.37.0-2"],
            Image::CoreDns => &["registry.k8s.io/coredns/coredns:v1.15.0"],
            Image::Agnhost => &[
                "registry.k8s.io/e2e-test-images/agnhost:2.66.1",
                "registry.k8s.io/e2e-test-images/agnhost:2.55",
            ],
            Image::Nginx => &[
                "registry.k8s.io/e2e-test-images/nginx:1.27.0-2",
                "registry.k8s.io/e2e-test-images/nginx:1.28.0-2",
            ],
            Image::Kitten => &["registry.k8s.io/e2e-test-images/kitten:1.8"],
            Image::Nautilus => &["registry.k8s.io/e2e-test-images/nautilus:1.8"],
            Image::GlibcDns => &["registry.k8s.io/e2e-test-images/glibc-dns-testing:2.1.1"],
            Image::Nonewprivs => &["registry.k8s.io/e2e-test-images/nonewprivs:1.4"],
            Image::SampleApiserver => &["registry.k8s.io/e2e-test-images/sample-apiserver:1.29.2"],
            Image::Etcd => &["registry.k8s.io/etcd:3.7.0-0"],
        }
    }

    /// The first of its names.
    pub fn reference(self) -> &'static str {
        self.references().first().copied().unwrap_or_default()
    }

    /// The archive's file name without `.tar`.
    pub fn name(self) -> &'static str {
        match self {
            Image::Pause => "pause",
            Image::Busybox => "busybox",
            Image::CoreDns => "coredns",
            Image::Agnhost => "agnhost",
            Image::Nginx => "nginx",
            Image::Kitten => "kitten",
            Image::Nautilus => "nautilus",
            Image::GlibcDns => "glibc-dns-testing",
            Image::Nonewprivs => "nonewprivs",
            Image::SampleApiserver => "sample-apiserver",
            Image::Etcd => "etcd",
        }
    }

    pub(super) fn recipe(self) -> Recipe {
        match self {
            Image::Pause => Recipe {
                layer: &[Part::Compiled {
                    source: "build/pause/linux/pause.c",
                    to: "pause",
                }],
                config: Config {
                    user: "65535:65535",
                    entrypoint: &["/pause"],
                    env: PATH,
                    ..Config::default()
                },
            },
            Image::Busybox => Recipe {
                layer: BUSYBOX,
                config: Config {
                    cmd: &["sh"],
                    env: PATH,
                    ..Config::default()
                },
            },
            Image::CoreDns => Recipe {
                layer: &[
                    Part::Folder {
                        path: "etc",
                        mode: 0o755,
                    },
                    Part::Bytes {
                        path: "etc/passwd",
                        content: "nonroot:x:65532:65532::/:/sbin/nologin\n",
                    },
                    Part::Program(Program::CoreDns, "coredns"),
                ],
                config: Config {
                    user: "65532:65532",
                    entrypoint: &["/coredns"],
                    working_dir: "/",
                    env: PATH,
                    ..Config::default()
                },
            },
            Image::Agnhost => Recipe {
                layer: AGNHOST,
                config: Config {
                    entrypoint: &["/agnhost"],
                    cmd: &["pause"],
                    env: PATH,
                    ..Config::default()
                },
            },
            Image::Nginx => Recipe {
                layer: NGINX,
                config: Config {
                    cmd: &["nginx", "-g", "daemon off;"],
                    env: PATH,
                    ..Config::default()
                },
            },
            Image::Kitten => Recipe {
                layer: KITTEN,
                config: TEST_WEBSERVER,
            },
            Image::Nautilus => Recipe {
                layer: NAUTILUS,
                config: TEST_WEBSERVER,
            },
            Image::GlibcDns => Recipe {
                layer: &[Part::Tree(&AGNHOST_TREE)],
                config: Config {
                    cmd: &["bash"],
                    env: PATH,
                    ..Config::default()
                },
            },
            Image::Nonewprivs => Recipe {
                layer: NONEWPRIVS,
                config: Config {
                    cmd: &["nnp"],
                    env: PATH,
                    ..Config::default()
                },
            },
            Image::SampleApiserver => Recipe {
                layer: &[TMP, Part::Program(Program::SampleApiserver, "sample-apiserver")],
                config: Config {
                    entrypoint: &["/sample-apiserver"],
                    env: PATH,
                    ..Config::default()
                },
            },
            Image::Etcd => Recipe {
                layer: ETCD,
                config: Config {
                    entrypoint: &["/usr/local/bin/etcd"],
                    env: PATH,
                    ..Config::default()
                },
            },
        }
    }

    /// Whether a tree of Debian packages is to be made for it, which takes longer than the rest.
    pub(super) fn stands_on_debian(self) -> bool {
        matches!(self.recipe().layer.first(), Some(Part::Tree(_)))
    }

    pub(super) fn slot(self, layout: &Layout, program: impl Fn(Program) -> Key) -> Slot {
        let name = format!("{}-image", self.name());
        let path = layout.images().join(format!("{}.tar", self.name()));
        let recipe = self.recipe();
        let mut fields = vec![
            ("recipe", format!("{recipe:?}").into_bytes()),
            ("references", format!("{:?}", self.references()).into_bytes()),
            ("machine", std::env::consts::ARCH.into()),
        ];
        for part in recipe.layer {
            match part {
                Part::Program(p, _) => fields.push(("program", program(*p).as_bytes().into())),
                Part::SetUid(p, _) => fields.push(("program", program(*p).as_bytes().into())),
                Part::Tree(tree) => fields.push(("tree", tree.slot(layout).key.as_bytes().into())),
                Part::Busybox => fields.push(("busybox", busybox::slot(layout).key.as_bytes().into())),
                Part::Source { .. } | Part::Compiled { .. } => {
                    fields.extend(
                        SOURCE
                            .files()
                            .iter()
                            .map(|(name, content)| (*name, content.to_vec())),
                    );
                }
                _ => {}
            }
        }
        Slot {
            name,
            path,
            key: Key::of(fields.iter().map(|(name, value)| (*name, value.as_slice()))),
        }
    }
}

#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) layer: &'static [Part],
    pub(super) config: Config,
}

/// Something in an image's layer. Paths in the image have no leading slash.
#[derive(Debug)]
pub(super) enum Part {
    /// A tree of Debian packages; comes first.
    Tree(&'static Tree),
    /// One of the programs, at a path.
    Program(Program, &'static str),
    /// One of the programs, which takes its owner's identity, root's, when it is run.
    SetUid(Program, &'static str),
    /// A file of upstream's source.
    Source {
        file: &'static str,
        to: &'static str,
        mode: u32,
    },
    /// A C file of upstream's source, compiled and linked statically.
    Compiled {
        source: &'static str,
        to: &'static str,
    },
    /// busybox, and a link for each of its commands.
    Busybox,
    Folder {
        path: &'static str,
        mode: u32,
    },
    Bytes {
        path: &'static str,
        content: &'static str,
    },
    Link {
        path: &'static str,
        to: &'static str,
    },
}

/// Where [`Part::Source`] and [`Part::Compiled`] come from.
pub(super) const SOURCE: Module = Module::Kubernetes;
pub(super) const SOURCE_PACKAGE: &str = "k8s.io/kubernetes";

const PATH: &[&str] = &["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];

const BUSYBOX: &[Part] = &[
    Part::Folder {
        path: "bin",
        mode: 0o755,
    },
    Part::Busybox,
    Part::Folder {
        path: "etc",
        mode: 0o755,
    },
    Part::Folder {
        path: "root",
        mode: 0o700,
    },
    Part::Folder {
        path: "home",
        mode: 0o755,
    },
    Part::Folder {
        path: "tmp",
        mode: 0o1777,
    },
    Part::Folder {
        path: "var",
        mode: 0o755,
    },
    Part::Folder {
        path: "var/www",
        mode: 0o755,
    },
    Part::Bytes {
        path: "etc/passwd",
        content: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    },
    Part::Bytes {
        path: "etc/group",
        content: "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    },
];

const TMP: Part = Part::Folder {
    path: "tmp",
    mode: 0o1777,
};

/// After upstream's `test/images/agnhost/Dockerfile`, whose user and group a conformance test asks for.
const AGNHOST_TREE: Tree = Tree {
    name: "agnhost",
    packages: "bash,bind9-dnsutils,curl,iperf,iproute2,netcat-openbsd,procps,socat",
    hook: r#"
            echo user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh >> "$1"/etc/passwd
            echo user-defined-in-image:x:1000: >> "$1"/etc/group
            echo group-defined-in-image:x:50000:user-defined-in-image >> "$1"/etc/group
            install -d -o 1000 -g 1000 "$1"/home/user-defined-in-image
        "#,
};

const AGNHOST: &[Part] = &[
    Part::Tree(&AGNHOST_TREE),
    Part::Folder {
        path: "uploads",
        mode: 0o755,
    },
    Part::Source {
        file: "test/images/agnhost/porter/localhost.crt",
        to: "localhost.crt",
        mode: 0o644,
    },
    Part::Source {
        file: "test/images/agnhost/porter/localhost.key",
        to: "localhost.key",
        mode: 0o644,
    },
    Part::Program(Program::Agnhost, "agnhost"),
    Part::Link {
        path: "agnhost-2",
        to: "agnhost",
    },
    Part::Link {
        path: "usr/local/bin/iperf",
        to: "/usr/bin/iperf",
    },
];

const TEST_WEBSERVER: Config = Config {
    user: "",
    entrypoint: &["/agnhost"],
    cmd: &["test-webserver"],
    env: PATH,
    working_dir: "",
};

/// A conformance test mounts this image and reads there whose it is: upstream's stands on Alpine.
const KITTEN: &[Part] = &[
    Part::Tree(&AGNHOST_TREE),
    Part::Bytes {
        path: "etc/os-release",
        content: "NAME=\"Alpine Linux\"\nID=alpine\n",
    },
    Part::Program(Program::Agnhost, "agnhost"),
    Part::Source {
        file: "test/images/kitten/html/kitten.jpg",
        to: "kitten.jpg",
        mode: 0o644,
    },
    Part::Source {
        file: "test/images/kitten/html/data.json",
        to: "data.json",
        mode: 0o644,
    },
];

const NAUTILUS: &[Part] = &[
    Part::Tree(&AGNHOST_TREE),
    Part::Program(Program::Agnhost, "agnhost"),
    Part::Source {
        file: "test/images/nautilus/html/nautilus.jpg",
        to: "nautilus.jpg",
        mode: 0o644,
    },
    Part::Source {
        file: "test/images/nautilus/html/data.json",
        to: "data.json",
        mode: 0o644,
    },
];

const NONEWPRIVS: &[Part] = &[
    TMP,
    Part::Folder {
        path: "usr/local/bin",
        mode: 0o755,
    },
    Part::SetUid(Program::Nonewprivs, "usr/local/bin/nnp"),
];

const ETCD: &[Part] = &[
    TMP,
    Part::Folder {
        path: "usr/local/bin",
        mode: 0o755,
    },
    Part::Program(Program::Etcd, "usr/local/bin/etcd"),
];

const NGINX: &[Part] = &[Part::Tree(&Tree {
    name: "nginx",
    packages: "nginx-light",
    hook: r#"
        mkdir -p "$1"/usr/share/nginx/html "$1"/var/log/nginx
        echo '<html><head><title>Welcome to nginx!</title></head><body><h1>Welcome to nginx!</h1></body></html>' \
            > "$1"/usr/share/nginx/html/index.html
        sed -i 's#root /var/www/html;#root /usr/share/nginx/html;#' "$1"/etc/nginx/sites-available/default
        sed -i 's#/var/log/nginx/access.log#/dev/stdout#; s#/var/log/nginx/error.log#/dev/stderr#' \
            "$1"/etc/nginx/nginx.conf
    "#,
})];

#[cfg(test)]
mod tests {
    use super::*;

    fn key(program: &'static str) -> impl Fn(Program) -> Key {
        move |p| Key::of([(p.name(), program.as_bytes())])
    }

    #[test]
    fn an_image_is_made_anew_when_a_program_in_it_changes_and_only_then() {
        let layout = Layout::new("/a");
        let slot = |image: Image, program| image.slot(&layout, key(program));
        assert_eq!(slot(Image::Agnhost, "1").key, slot(Image::Agnhost, "1").key);
        assert_ne!(slot(Image::Agnhost, "1").key, slot(Image::Agnhost, "2").key);
        assert_eq!(slot(Image::Nginx, "1").key, slot(Image::Nginx, "2").key);
    }

    #[test]
    fn images_have_their_own_names_and_full_references() {
        let mut seen = std::collections::HashSet::new();
        for image in Image::ALL {
            assert!(seen.insert(image.name()));
            assert!(!image.references().is_empty());
            for reference in image.references() {
                assert!(seen.insert(*reference));
                assert!(
                    reference.starts_with("registry.k8s.io/") && reference.contains(':'),
                    "{reference}"
                );
            }
        }
    }

    #[test]
    fn a_tree_comes_first_since_later_entries_win() {
        for image in Image::ALL {
            for part in image.recipe().layer.iter().skip(1) {
                assert!(!matches!(part, Part::Tree(_)), "{}", image.name());
            }
        }
    }
}
