//! Labels that older software reads, kept equal to the stable ones.

use machinery::meta::Labels;

const PAIRS: [(&str, &str); 2] = [
    ("kubernetes.io/os", "beta.kubernetes.io/os"),
    ("kubernetes.io/arch", "beta.kubernetes.io/arch"),
];

/// The labels to set on a node.
pub fn missing(labels: &Labels) -> Vec<(&'static str, String)> {
    let pair = |(stable, beta): (&str, &'static str)| {
        let value = labels.get(stable)?;
        (labels.get(beta) != Some(value)).then(|| (beta, value.to_owned()))
    };
    PAIRS.into_iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beta_labels_follow_the_stable_ones() {
        let labels =
            |pairs: &[(&str, &str)]| -> Labels { pairs.iter().map(|(key, value)| (*key, *value)).collect() };
        assert_eq!(
            missing(&labels(&[("kubernetes.io/os", "linux")])),
            [("beta.kubernetes.io/os", "linux".to_owned())]
        );
        let wrong = labels(&[
            ("kubernetes.io/arch", "arm64"),
            ("beta.kubernetes.io/arch", "amd64"),
        ]);
        assert_eq!(missing(&wrong), [("beta.kubernetes.io/arch", "arm64".to_owned())]);
        assert!(missing(&labels(&[("beta.kubernetes.io/os", "linux")])).is_empty());
    }
}
