//! What the kernel and the proxy say of the rules.

/// Whether `nft list ruleset` names an address, alone and not as part of another.
pub fn has(rules: &str, address: &str) -> bool {
    rules.match_indices(address).any(|(at, _)| {
        let before = rules[..at].bytes().next_back();
        let after = rules[at + address.len()..].bytes().next();
        let part = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit() || byte == b'.');
        !part(before) && !part(after)
    })
}

/// How often a proxy has synced its rules, and for how long in all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Syncs {
    count: f64,
    seconds: f64,
}

impl Syncs {
    /// Reads upstream's histogram, which both sides serve.
    pub fn read(metrics: &str) -> Self {
        let sum = |suffix: &str| {
            let name = format!("kubeproxy_sync_proxy_rules_duration_seconds_{suffix}");
            metrics
                .lines()
                .filter(|line| line.starts_with(&name))
                .filter(|line| !line.contains("IPv6"))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        Self {
            count: sum("count"),
            seconds: sum("sum"),
        }
    }

    /// Seconds of each sync since `before`.
    pub fn mean_since(self, before: Self) -> Option<f64> {
        let count = self.count - before.count;
        (count > 0.0).then(|| (self.seconds - before.seconds) / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_found_in_a_longer_one() {
        let rules = "elements = { 10.0.1.20 . tcp . 80 : goto x, 10.0.1.3 comment \"y\" }";
        assert!(has(rules, "10.0.1.20") && has(rules, "10.0.1.3"));
        assert!(!has(rules, "10.0.1.2") && !has(rules, "0.0.1.3") && !has(rules, "10.0.1"));
    }

    #[test]
    fn the_mean_is_that_of_the_syncs_in_between() {
        let text = |count: u32, sum: f64| {
            format!(
                "kubeproxy_sync_proxy_rules_duration_seconds_bucket{{ip_family=\"IPv4\",le=\"1\"}} 7\n\
                 kubeproxy_sync_proxy_rules_duration_seconds_sum{{ip_family=\"IPv4\"}} {sum}\n\
                 kubeproxy_sync_proxy_rules_duration_seconds_sum{{ip_family=\"IPv6\"}} 99\n\
                 kubeproxy_sync_proxy_rules_duration_seconds_count{{ip_family=\"IPv4\"}} {count}\n"
            )
        };
        let (before, after) = (Syncs::read(&text(2, 3.0)), Syncs::read(&text(6, 3.4)));
        assert!((after.mean_since(before).unwrap() - 0.1).abs() < 1e-9);
        assert_eq!(before.mean_since(before), None);
    }
}
