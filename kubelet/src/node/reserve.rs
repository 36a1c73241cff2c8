//! Reads `systemReserved`, `kubeReserved` and `evictionHard` of the configuration into a [`Reservation`].

use std::collections::BTreeMap;

use machinery::arith::Quantity;

use super::capacity::{Amounts, CPU, Reservation, Threshold};
use crate::config::KubeletConfig;

/// Upstream's thresholds where the configuration has none.
const DEFAULT_MEMORY: &str = "100Mi";
const DEFAULT_STORAGE: &str = "10%";

/// A value that cannot be read, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}[{key:?}]: {value:?} is not {wanted}")]
pub struct ReserveError {
    field: &'static str,
    key: String,
    value: String,
    wanted: &'static str,
}

/// The node's reservation.
///
/// # Errors
/// Names the first value that is not a quantity (or, for a threshold, a percentage).
pub fn reservation(config: &KubeletConfig) -> Result<Reservation, ReserveError> {
    let threshold = |signal: &str, default: &str| {
        let merge = config.merge_default_eviction_settings;
        let text = match &config.eviction_hard {
            None => Some(default),
            Some(given) => given.get(signal).map(String::as_str).or(merge.then_some(default)),
        };
        text.map(|text| {
            read_threshold(text).ok_or_else(|| ReserveError {
                field: "evictionHard",
                key: signal.to_owned(),
                value: text.to_owned(),
                wanted: "a quantity such as 100Mi or a percentage such as 10%",
            })
        })
        .transpose()
    };
    Ok(Reservation {
        system: amounts("systemReserved", &config.system_reserved)?,
        kube: amounts("kubeReserved", &config.kube_reserved)?,
        eviction_memory: threshold("memory.available", DEFAULT_MEMORY)?,
        eviction_storage: threshold("nodefs.available", DEFAULT_STORAGE)?,
    })
}

fn amounts(field: &'static str, given: &BTreeMap<String, String>) -> Result<Amounts, ReserveError> {
    given
        .iter()
        .map(|(name, text)| {
            let quantity: Quantity = text.parse().map_err(|_| ReserveError {
                field,
                key: name.clone(),
                value: text.clone(),
                wanted: "a quantity such as 100m or 1Gi",
            })?;
            let amount = if name == CPU {
                quantity.milli_value()
            } else {
                quantity.value()
            };
            Ok((name.clone(), amount))
        })
        .collect()
}

fn read_threshold(text: &str) -> Option<Threshold> {
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent: f32 = percent.parse().ok()?;
            (0.0..=100.0)
                .contains(&percent)
                .then(|| Threshold::Share(percent / 100.0))
        }
        None => Some(Threshold::Amount(text.parse::<Quantity>().ok()?.value())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(of: &[(&str, &str)]) -> KubeletConfig {
        let map = of
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        KubeletConfig {
            eviction_hard: Some(map),
            ..KubeletConfig::default()
        }
    }

    #[test]
    fn without_thresholds_the_defaults_apply() {
        let reservation = reservation(&KubeletConfig::default()).unwrap();
        assert_eq!(reservation.eviction_memory, Some(Threshold::Amount(100 << 20)));
        assert_eq!(reservation.eviction_storage, Some(Threshold::Share(0.1)));
    }

    #[test]
    fn given_thresholds_replace_all_defaults_unless_merged() {
        let mut config = config(&[("memory.available", "5%")]);
        let given = reservation(&config).unwrap();
        assert_eq!(
            (given.eviction_memory, given.eviction_storage),
            (Some(Threshold::Share(0.05)), None)
        );
        config.merge_default_eviction_settings = true;
        assert_eq!(
            reservation(&config).unwrap().eviction_storage,
            Some(Threshold::Share(0.1))
        );
    }

    #[test]
    fn reserved_amounts_are_in_the_unit_of_their_resource() {
        let mut config = config(&[]);
        config.system_reserved = [("cpu", "0.5"), ("memory", "1Gi"), ("pid", "1k")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let system = reservation(&config).unwrap().system;
        assert_eq!(system["cpu"], 500);
        assert_eq!(system["memory"], 1 << 30);
        assert_eq!(system["pid"], 1000);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = reservation(&config(&[("memory.available", "lots")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"evictionHard["memory.available"]: "lots" is not a quantity such as 100Mi or a percentage such as 10%"#
        );
        assert!(reservation(&config(&[("nodefs.available", "101%")])).is_err());
    }
}
