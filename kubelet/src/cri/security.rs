//! The security context of a container: the pod's where the container has none of its own.

use std::path::Path;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1 as core;

use super::api::{
    Capability, Int64Value, LinuxContainerSecurityContext, SeLinuxOption, SecurityProfile,
    SupplementalGroupsPolicy, security_profile::ProfileType,
};
use super::namespaces;
use crate::pod::spec::{PodExt as _, annotation};

/// The user that an image names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// By number.
    pub uid: Option<i64>,
    /// By name.
    pub name: String,
}

/// What the node adds.
#[derive(Clone, Copy, Debug)]
pub struct Defaults<'a> {
    /// `seccompDefault`.
    pub seccomp_runtime_default: bool,
    /// `ROOT/seccomp`.
    pub seccomp_root: &'a Path,
}

macro_rules! either {
    ($container:expr, $pod:expr, $field:ident) => {
        $container
            .and_then(|c| c.$field.clone())
            .or_else(|| $pod.and_then(|p| p.$field.clone()))
    };
}

/// The context of one container.
///
/// # Errors
/// When `runAsNonRoot` cannot be kept or a profile is not whole (upstream's words).
pub fn of_container(
    pod: &core::Pod,
    container: &core::Container,
    image_user: &ImageUser,
    defaults: &Defaults<'_>,
) -> Result<LinuxContainerSecurityContext, String> {
    let psc = pod.spec().security_context.as_ref();
    let csc = container.security_context.as_ref();
    let run_as_user: Option<i64> = either!(csc, psc, run_as_user);
    let non_root: Option<bool> = either!(csc, psc, run_as_non_root);
    if non_root == Some(true) {
        verify_non_root(pod, container, run_as_user, image_user)?;
    }
    let seccomp: Option<core::SeccompProfile> = either!(csc, psc, seccomp_profile);
    let selinux: Option<core::SELinuxOptions> = either!(csc, psc, se_linux_options);
    let mut groups: Vec<i64> = psc.and_then(|p| p.fs_group).into_iter().collect();
    groups.extend(psc.iter().flat_map(|p| p.supplemental_groups.iter().flatten()));
    let (apparmor, apparmor_profile) = apparmor(pod, container)?;
    let unmasked = csc.and_then(|c| c.proc_mount.as_deref()) == Some("Unmasked");
    let run_as_group: Option<i64> = either!(csc, psc, run_as_group);
    #[allow(deprecated)]
    Ok(LinuxContainerSecurityContext {
        capabilities: csc.and_then(|c| c.capabilities.as_ref()).map(|c| Capability {
            add_capabilities: c.add.clone().unwrap_or_default(),
            drop_capabilities: c.drop.clone().unwrap_or_default(),
            ..Default::default()
        }),
        privileged: csc.and_then(|c| c.privileged).unwrap_or_default(),
        namespace_options: Some(namespaces::of_pod(pod)),
        selinux_options: selinux.as_ref().map(selinux_option),
        run_as_user: run_as_user.or(image_user.uid).map(|value| Int64Value { value }),
        run_as_group: run_as_group.map(|value| Int64Value { value }),
        run_as_username: if run_as_user.is_none() {
            image_user.name.clone()
        } else {
            String::new()
        },
        readonly_rootfs: csc.and_then(|c| c.read_only_root_filesystem).unwrap_or_default(),
        supplemental_groups: groups,
        supplemental_groups_policy: groups_policy(psc)? as i32,
        no_new_privs: csc.and_then(|c| c.allow_privilege_escalation) == Some(false),
        masked_paths: if unmasked { Vec::new() } else { MASKED.clone() },
        readonly_paths: if unmasked {
            Vec::new()
        } else {
            READONLY.iter().map(|p| (*p).to_owned()).collect()
        },
        seccomp: Some(seccomp_profile(seccomp.as_ref(), defaults)?),
        apparmor,
        apparmor_profile,
        ..Default::default()
    })
}

/// `supplementalGroupsPolicy`, for the runtime.
///
/// # Errors
/// When it is one that we do not know.
pub fn groups_policy(psc: Option<&core::PodSecurityContext>) -> Result<SupplementalGroupsPolicy, String> {
    match psc.and_then(|p| p.supplemental_groups_policy.as_deref()) {
        None | Some("Merge") => Ok(SupplementalGroupsPolicy::Merge),
        Some("Strict") => Ok(SupplementalGroupsPolicy::Strict),
        Some(other) => Err(format!("unsupported supplementalGroupsPolicy: {other}")),
    }
}

/// SELinux options, for the runtime.
#[must_use]
pub fn selinux_option(o: &core::SELinuxOptions) -> SeLinuxOption {
    SeLinuxOption {
        user: o.user.clone().unwrap_or_default(),
        role: o.role.clone().unwrap_or_default(),
        r#type: o.type_.clone().unwrap_or_default(),
        level: o.level.clone().unwrap_or_default(),
    }
}

/// A profile of this kind.
#[must_use]
pub fn profile(kind: ProfileType, local: &str) -> SecurityProfile {
    SecurityProfile {
        profile_type: kind as i32,
        localhost_ref: local.to_owned(),
    }
}

fn seccomp_profile(
    asked: Option<&core::SeccompProfile>,
    defaults: &Defaults<'_>,
) -> Result<SecurityProfile, String> {
    Ok(match asked {
        None if defaults.seccomp_runtime_default => profile(ProfileType::RuntimeDefault, ""),
        None => profile(ProfileType::Unconfined, ""),
        Some(p) => match (p.type_.as_str(), p.localhost_profile.as_deref()) {
            ("RuntimeDefault", _) => profile(ProfileType::RuntimeDefault, ""),
            ("Localhost", Some(name)) if !name.is_empty() => profile(
                ProfileType::Localhost,
                &defaults.seccomp_root.join(name).to_string_lossy(),
            ),
            ("Localhost", _) => {
                return Err("localhostProfile must be set if seccompProfile type is Localhost.".into());
            }
            _ => profile(ProfileType::Unconfined, ""),
        },
    })
}

/// The AppArmor profile, in its new and its old form.
fn apparmor(
    pod: &core::Pod,
    container: &core::Container,
) -> Result<(Option<SecurityProfile>, String), String> {
    let field = container
        .security_context
        .as_ref()
        .and_then(|c| c.app_armor_profile.as_ref())
        .or_else(|| {
            pod.spec()
                .security_context
                .as_ref()
                .and_then(|p| p.app_armor_profile.as_ref())
        });
    let key = format!(
        "container.apparmor.security.beta.kubernetes.io/{}",
        container.name
    );
    let (kind, local) = match (field, annotation(pod, &key)) {
        (Some(p), _) => (p.type_.as_str(), p.localhost_profile.as_deref()),
        (None, Some("runtime/default")) => ("RuntimeDefault", None),
        (None, Some("unconfined")) => ("Unconfined", None),
        (None, Some(name)) => ("Localhost", name.strip_prefix("localhost/")),
        (None, None) => return Ok((None, String::new())),
    };
    match (kind, local) {
        ("RuntimeDefault", _) => Ok((
            Some(profile(ProfileType::RuntimeDefault, "")),
            "runtime/default".into(),
        )),
        ("Unconfined", _) => Ok((Some(profile(ProfileType::Unconfined, "")), "unconfined".into())),
        ("Localhost", Some(name)) => Ok((
            Some(profile(ProfileType::Localhost, name)),
            format!("localhost/{name}"),
        )),
        ("Localhost", None) => Err("missing localhost apparmor profile name".into()),
        (other, _) => Err(format!("unknown apparmor profile type: {other:?}")),
    }
}

fn verify_non_root(
    pod: &core::Pod,
    container: &core::Container,
    run_as_user: Option<i64>,
    image: &ImageUser,
) -> Result<(), String> {
    let at = format!("(pod: {:?}, container: {})", pod.full(), container.name);
    match (run_as_user, image.uid) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {at}")),
        (Some(_), _) => Ok(()),
        (None, None) if !image.name.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {at}",
            image.name
        )),
        (None, Some(0)) => Err(format!(
            "container has runAsNonRoot and image will run as root {at}"
        )),
        _ => Ok(()),
    }
}

const READONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What a container must not see of the kernel, with the thermal counters of the CPUs that have them.
static MASKED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut paths: Vec<String> = [
        "/proc/asound",
        "/proc/acpi",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ]
    .map(str::to_owned)
    .into();
    for cpu in 0.. {
        let folder = format!("/sys/devices/system/cpu/cpu{cpu}");
        if !Path::new(&folder).exists() {
            break;
        }
        let path = format!("{folder}/thermal_throttle");
        if Path::new(&path).exists() {
            paths.push(path);
        }
    }
    paths
});

#[cfg(test)]
mod tests {
    use super::*;

    fn build(
        psc: core::PodSecurityContext,
        csc: core::SecurityContext,
        user: &ImageUser,
    ) -> Result<LinuxContainerSecurityContext, String> {
        let pod = core::Pod {
            spec: Some(core::PodSpec {
                security_context: Some(psc),
                ..Default::default()
            }),
            ..Default::default()
        };
        let container = core::Container {
            security_context: Some(csc),
            ..Default::default()
        };
        let defaults = Defaults {
            seccomp_runtime_default: false,
            seccomp_root: Path::new("/var/lib/kubelet/seccomp"),
        };
        of_container(&pod, &container, user, &defaults)
    }

    #[test]
    fn the_container_overrides_the_pod_and_the_image() {
        let psc = core::PodSecurityContext {
            run_as_user: Some(1000),
            run_as_group: Some(7),
            fs_group: Some(2000),
            supplemental_groups: Some(vec![3000]),
            ..Default::default()
        };
        let csc = core::SecurityContext {
            run_as_user: Some(1001),
            allow_privilege_escalation: Some(false),
            ..Default::default()
        };
        let out = build(
            psc,
            csc,
            &ImageUser {
                uid: Some(5),
                name: String::new(),
            },
        )
        .unwrap();
        assert_eq!(out.run_as_user.unwrap().value, 1001);
        assert_eq!(out.run_as_group.unwrap().value, 7);
        assert_eq!(out.supplemental_groups, [2000, 3000]);
        assert!(out.no_new_privs);
        assert_eq!(out.seccomp.unwrap().profile_type, ProfileType::Unconfined as i32);
    }

    #[test]
    fn run_as_non_root_needs_proof() {
        let psc = || core::PodSecurityContext {
            run_as_non_root: Some(true),
            ..Default::default()
        };
        let named = ImageUser {
            uid: None,
            name: "app".into(),
        };
        let csc = |uid| core::SecurityContext {
            run_as_user: uid,
            ..Default::default()
        };
        assert!(
            build(psc(), csc(Some(0)), &named)
                .unwrap_err()
                .contains("breaks non-root policy")
        );
        assert!(build(psc(), csc(Some(1)), &named).is_ok());
        assert!(
            build(psc(), csc(None), &named)
                .unwrap_err()
                .contains("non-numeric user (app)")
        );
        let root = ImageUser {
            uid: Some(0),
            name: String::new(),
        };
        assert!(
            build(psc(), csc(None), &root)
                .unwrap_err()
                .contains("will run as root")
        );
    }
}
