//! Upstream's controllers by name (cmd/kube-controller-manager/names), and which of them are here.

/// A controller of upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    pub name: &'static str,
    /// The name it had before, which `--controllers` still takes.
    pub alias: Option<&'static str>,
    /// Whether `*` leaves it out.
    pub off_by_default: bool,
}

const fn on(name: &'static str, alias: &'static str) -> Name {
    Name {
        name,
        alias: Some(alias),
        off_by_default: false,
    }
}
const fn new(name: &'static str) -> Name {
    Name {
        name,
        alias: None,
        off_by_default: false,
    }
}
const fn off(name: &'static str, alias: &'static str) -> Name {
    Name {
        name,
        alias: Some(alias),
        off_by_default: true,
    }
}

/// All of v1.37's.
pub const UPSTREAM: &[Name] = &[
    on("serviceaccount-token-controller", "serviceaccount-token"),
    on("endpoints-controller", "endpoint"),
    on("endpointslice-controller", "endpointslice"),
    on("endpointslice-mirroring-controller", "endpointslicemirroring"),
    on("replicationcontroller-controller", "replicationcontroller"),
    on("pod-garbage-collector-controller", "podgc"),
    on("resourcequota-controller", "resourcequota"),
    on("namespace-controller", "namespace"),
    on("serviceaccount-controller", "serviceaccount"),
    on("garbage-collector-controller", "garbagecollector"),
    on("daemonset-controller", "daemonset"),
    on("job-controller", "job"),
    on("deployment-controller", "deployment"),
    on("replicaset-controller", "replicaset"),
    on("horizontal-pod-autoscaler-controller", "horizontalpodautoscaling"),
    on("disruption-controller", "disruption"),
    on("statefulset-controller", "statefulset"),
    on("cronjob-controller", "cronjob"),
    on("certificatesigningrequest-signing-controller", "csrsigning"),
    on("certificatesigningrequest-approving-controller", "csrapproving"),
    on("certificatesigningrequest-cleaner-controller", "csrcleaner"),
    new("podcertificaterequest-cleaner-controller"),
    on("ttl-controller", "ttl"),
    off("bootstrap-signer-controller", "bootstrapsigner"),
    off("token-cleaner-controller", "tokencleaner"),
    on("node-ipam-controller", "nodeipam"),
    on("node-lifecycle-controller", "nodelifecycle"),
    new("taint-eviction-controller"),
    new("device-taint-eviction-controller"),
    on("persistentvolume-binder-controller", "persistentvolume-binder"),
    on("persistentvolume-attach-detach-controller", "attachdetach"),
    on(
        "persistentvolume-expander-controller",
        "persistentvolume-expander",
    ),
    on("clusterrole-aggregation-controller", "clusterrole-aggregation"),
    on("persistentvolumeclaim-protection-controller", "pvc-protection"),
    on("persistentvolume-protection-controller", "pv-protection"),
    new("podgroup-protection-controller"),
    on("ttl-after-finished-controller", "ttl-after-finished"),
    on(
        "root-ca-certificate-publisher-controller",
        "root-ca-cert-publisher",
    ),
    new("kube-apiserver-serving-clustertrustbundle-publisher-controller"),
    on("ephemeral-volume-controller", "ephemeral-volume"),
    on(
        "storageversion-garbage-collector-controller",
        "storage-version-gc",
    ),
    on("resourceclaim-controller", "resource-claim-controller"),
    new("resourcepoolstatusrequest-controller"),
    on(
        "legacy-serviceaccount-token-cleaner-controller",
        "legacy-service-account-token-cleaner",
    ),
    new("validatingadmissionpolicy-status-controller"),
    new("volumeattributesclass-protection-controller"),
    new("service-cidr-controller"),
    on("storage-version-migrator-controller", "svm"),
    Name {
        name: "selinux-warning-controller",
        alias: None,
        off_by_default: true,
    },
];

/// What `--controllers` asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// To be started, in upstream's order.
    pub start: Vec<&'static str>,
    /// Part of `*`, but not here.
    pub missing: Vec<&'static str>,
}

/// A word of `--controllers` that cannot be done.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    #[error("--controllers: {0:?} is not in the list of known controllers{1}")]
    Unknown(String, String),
    #[error(
        "--controllers: {0:?} is not part of this kube-controller-manager yet; leave it out here, and let an upstream one run it \
         (--controllers={0} and a --leader-elect-resource-name of its own)"
    )]
    NotHere(&'static str),
}

fn known(word: &str) -> Result<&'static Name, Refused> {
    UPSTREAM
        .iter()
        .find(|known| known.name == word || known.alias == Some(word))
        .ok_or_else(|| {
            let near = UPSTREAM
                .iter()
                .map(|known| known.name)
                .min_by_key(|name| distance(name, word));
            Refused::Unknown(
                word.to_owned(),
                near.map(|near| format!("; did you mean {near}?"))
                    .unwrap_or_default(),
            )
        })
}

/// How unlike two names are: letters that have to change, with the common ending left out of account.
fn distance(name: &str, word: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (
        name.trim_end_matches("-controller").chars().collect(),
        word.trim_end_matches("-controller").chars().collect(),
    );
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replace = row.get(j).copied().unwrap_or_default() + usize::from(x != y);
            let insert = next.last().copied().unwrap_or_default() + 1;
            let delete = row.get(j + 1).copied().unwrap_or_default() + 1;
            next.push(replace.min(insert).min(delete));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Reads `--controllers`: `*` for all that are on by default, `NAME`, `-NAME`; the first word about a controller counts. `here` are
/// those we have.
///
/// # Errors
/// A word names no controller, or asks by name for one that we do not have.
pub fn select(words: &[&str], here: &[&str]) -> Result<Selection, Refused> {
    let mut asked: Vec<(&'static str, bool)> = Vec::new();
    let mut all = false;
    for word in words
        .iter()
        .map(|word| word.trim())
        .filter(|word| !word.is_empty())
    {
        match (word, word.strip_prefix('-')) {
            ("*", _) => all = true,
            (_, Some(off)) => asked.push((known(off)?.name, false)),
            (on, None) => asked.push((known(on)?.name, true)),
        }
    }
    let mut selection = Selection::default();
    for Name {
        name, off_by_default, ..
    } in UPSTREAM
    {
        let by_name = asked.iter().find(|(asked, _)| asked == name).map(|(_, on)| *on);
        let wanted = by_name.unwrap_or(all && !off_by_default);
        match (wanted, here.contains(name), by_name) {
            (false, ..) => {}
            (true, true, _) => selection.start.push(name),
            (true, false, Some(_)) => return Err(Refused::NotHere(name)),
            (true, false, None) => selection.missing.push(name),
        }
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &[&str] = &[
        "deployment-controller",
        "replicaset-controller",
        "token-cleaner-controller",
    ];

    #[test]
    fn words_select_controllers() {
        let start = |words: &[&str]| select(words, HERE).map(|selection| selection.start);
        assert_eq!(
            start(&["*"]),
            Ok(vec!["deployment-controller", "replicaset-controller"])
        );
        assert_eq!(
            start(&["*", "-deployment-controller"]),
            Ok(vec!["replicaset-controller"])
        );
        assert_eq!(start(&["-deployment", "*"]), Ok(vec!["replicaset-controller"]));
        assert_eq!(start(&["deployment"]), Ok(vec!["deployment-controller"]));
        assert_eq!(
            start(&["*", "tokencleaner"]),
            Ok(vec![
                "deployment-controller",
                "replicaset-controller",
                "token-cleaner-controller"
            ])
        );
        assert_eq!(start(&["*", "-job-controller"]).map(|start| start.len()), Ok(2));
    }

    #[test]
    fn what_is_not_here_is_said_or_refused() {
        assert!(select(&["*"], HERE).unwrap().missing.contains(&"job-controller"));
        assert!(
            !select(&["*"], HERE)
                .unwrap()
                .missing
                .contains(&"bootstrap-signer-controller")
        );
        assert_eq!(
            select(&["*", "job-controller"], HERE),
            Err(Refused::NotHere("job-controller"))
        );
        let Err(unknown) = select(&["*", "-deploymnt-controller"], HERE) else {
            panic!()
        };
        assert!(
            unknown
                .to_string()
                .contains("did you mean deployment-controller?"),
            "{unknown}"
        );
    }
}
