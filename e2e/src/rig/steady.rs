//! A client that asks a Service again and again from inside the cluster, a new connection each time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;

use super::{Kubectl, agnhost, eventually};

/// One line an answer: the name of the pod that gave it, or what went wrong.
const ASK: &str = r#"while :; do
answer=$(curl --silent --show-error --max-time 5 "$URL" 2>&1) && echo "ok $answer" || echo "failed $(date +%T.%N) $answer"
sleep 0.05
done >>/tmp/answers"#;

/// The client, which runs until it is dropped with its namespace.
pub struct Steady<'a> {
    kubectl: &'a Kubectl,
    pod: String,
}

/// What the client has heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers, by the pod that gave them.
    pub answers: BTreeMap<String, u32>,
    pub failures: Vec<String>,
}

impl Tally {
    fn read(text: &str) -> Self {
        let mut tally = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("ok", answer)) => *tally.answers.entry(answer.to_owned()).or_default() += 1,
                Some(("failed", why)) => tally.failures.push(why.to_owned()),
                _ => {}
            }
        }
        tally
    }

    pub fn count(&self) -> u32 {
        self.answers.values().sum()
    }
}

impl<'a> Steady<'a> {
    /// Starts a client of `url` on `node`, and waits for its first answer.
    pub fn start(kubectl: &'a Kubectl, url: &str, node: &str) -> Result<Self> {
        Self::named(kubectl, "steady-client", url, node)
    }

    /// The same, in a pod of this name.
    pub fn named(kubectl: &'a Kubectl, pod: &str, url: &str, node: &str) -> Result<Self> {
        kubectl.apply(&json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": pod },
            "spec": {
                "nodeSelector": { "kubernetes.io/hostname": node },
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "client",
                    "image": agnhost(),
                    "command": ["bash", "-c", ASK],
                    "env": [{ "name": "URL", "value": url }],
                }],
            },
        }))?;
        let client = Self {
            kubectl,
            pod: pod.to_owned(),
        };
        eventually("the steady client is answered", Duration::from_secs(60), || {
            let tally = client.tally()?;
            if tally.count() == 0 {
                bail!("no answer yet: {:?}", tally.failures.last())
            }
            Ok(())
        })?;
        Ok(client)
    }

    /// Everything that it has heard so far. A kubelet that has just started may not know the client yet.
    pub fn tally(&self) -> Result<Tally> {
        let mut tally = Tally::default();
        eventually("the steady client can be asked", Duration::from_secs(30), || {
            tally = Tally::read(
                &self
                    .kubectl
                    .run(&["exec", &self.pod, "--", "cat", "/tmp/answers"])?,
            );
            Ok(())
        })?;
        Ok(tally)
    }

    /// Waits until it has been answered `more` times from now on.
    pub fn hears(&self, more: u32) -> Result<()> {
        let goal = self.tally()?.count() + more;
        eventually("the steady client is answered", Duration::from_secs(60), || {
            let tally = self.tally()?;
            if tally.count() < goal {
                bail!("{} of {goal} answers", tally.count())
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_pod_and_failures_kept() {
        let tally = Tally::read("ok web-a\nok web-b\nfailed 10:00:00 curl: (28) timed out\nok web-a\n");
        assert_eq!(tally.count(), 3);
        assert_eq!(tally.answers["web-a"], 2);
        assert_eq!(tally.failures, ["10:00:00 curl: (28) timed out"]);
    }
}
