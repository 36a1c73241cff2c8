//! What a configuration must and must not say.

use super::Invalid;
use super::file::{Configuration, Profile};

/// Plugins that were once and are no more.
const REMOVED: [&str; 4] = ["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];

impl Configuration {
    /// Fills in what depends on the whole: a single profile without a name is the default scheduler's.
    pub fn complete(&mut self) {
        if self.profiles.is_empty() {
            self.profiles.push(Profile::default());
        }
        if let [only] = &mut self.profiles[..] {
            only.scheduler_name
                .get_or_insert_with(|| "default-scheduler".into());
        }
    }

    /// Checks what can be checked without making the plugins.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        let refuse = |field: &str, why: &str| Err(Invalid::new(field, why));
        if self.parallelism <= 0 {
            return refuse("parallelism", "should be an integer value greater than zero");
        }
        percentage("percentageOfNodesToScore", self.percentage_of_nodes_to_score)?;
        if self.pod_initial_backoff_seconds <= 0 {
            return refuse("podInitialBackoffSeconds", "must be greater than 0");
        }
        if self.pod_max_backoff_seconds < self.pod_initial_backoff_seconds {
            return refuse(
                "podMaxBackoffSeconds",
                "must be greater than or equal to podInitialBackoffSeconds",
            );
        }
        let election = &self.leader_election;
        if election.leader_elect {
            if election.resource_lock != "leases" {
                return refuse("leaderElection.resourceLock", "must be \"leases\"");
            }
            if election.lease_duration.0 <= election.renew_deadline.0 {
                return refuse(
                    "leaderElection.leaseDuration",
                    "must be greater than renewDeadline",
                );
            }
            if election.renew_deadline.0 <= election.retry_period.0 {
                return refuse("leaderElection.renewDeadline", "must be greater than retryPeriod");
            }
            if election.retry_period.0.is_zero() {
                return refuse("leaderElection.retryPeriod", "must be greater than zero");
            }
            if election.resource_name.is_empty() || election.resource_namespace.is_empty() {
                return refuse(
                    "leaderElection",
                    "resourceName and resourceNamespace are required",
                );
            }
        }
        for (index, profile) in self.profiles.iter().enumerate() {
            let at = format!("profiles[{index}]");
            check_profile(&at, profile)?;
            let earlier = self.profiles[..index].iter();
            if earlier
                .clone()
                .any(|earlier| earlier.scheduler_name == profile.scheduler_name)
            {
                return Err(Invalid::new(format!("{at}.schedulerName"), "is given twice"));
            }
            let sort = |profile: &Profile| {
                profile
                    .plugins
                    .as_ref()
                    .map(|plugins| plugins.queue_sort.clone())
                    .unwrap_or_default()
            };
            if earlier
                .into_iter()
                .next()
                .is_some_and(|first| sort(first) != sort(profile))
            {
                return Err(Invalid::new(
                    format!("{at}.plugins.queueSort"),
                    "must be the same for all profiles",
                ));
            }
        }
        for (index, extender) in self.extenders.iter().enumerate() {
            if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
                return Err(Invalid::new(
                    format!("extenders[{index}].weight"),
                    "must have a positive weight applied to it",
                ));
            }
        }
        if self
            .extenders
            .iter()
            .filter(|extender| !extender.bind_verb.is_empty())
            .count()
            > 1
        {
            return refuse("extenders", "only one extender can implement bind");
        }
        Ok(())
    }
}

fn percentage(field: &str, value: Option<i32>) -> Result<(), Invalid> {
    match value {
        Some(value) if !(0..=100).contains(&value) => Err(Invalid::new(field, "not in valid range [0-100]")),
        _ => Ok(()),
    }
}

fn check_profile(at: &str, profile: &Profile) -> Result<(), Invalid> {
    if profile.scheduler_name.as_deref().unwrap_or_default().is_empty() {
        return Err(Invalid::new(format!("{at}.schedulerName"), "is required"));
    }
    percentage(
        &format!("{at}.percentageOfNodesToScore"),
        profile.percentage_of_nodes_to_score,
    )?;
    for (index, config) in profile.plugin_config.iter().enumerate() {
        let field = format!("{at}.pluginConfig[{index}]");
        if profile.plugin_config[..index]
            .iter()
            .any(|earlier| earlier.name == config.name)
        {
            return Err(Invalid::new(
                field,
                format!("{} is configured twice", config.name),
            ));
        }
        let kind = config.args.get("kind").and_then(|kind| kind.as_str());
        if kind.is_some_and(|kind| kind != format!("{}Args", config.name)) {
            return Err(Invalid::new(format!("{field}.args"), "has to match plugin args"));
        }
        if REMOVED.contains(&config.name.as_str()) {
            return Err(Invalid::new(field, format!("plugin {} is no more", config.name)));
        }
    }
    Ok(())
}
