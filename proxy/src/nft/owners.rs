//! Who has what only one Service at a time can have.

use super::compile::Claim;
use crate::model::ServiceName;
use rustc_hash::FxHashMap;

/// The owners of claims, and who waits for a claim to come free. Hardly anybody waits, and claims are as many as
/// destinations: the line is kept apart, to keep an entry small.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    first: FxHashMap<Claim, ServiceName>,
    waiting: FxHashMap<Claim, Vec<ServiceName>>,
}

impl Owners {
    pub fn has(&self, service: &ServiceName, claim: &Claim) -> bool {
        self.first.get(claim) == Some(service)
    }

    /// Who comes first has it; others stand in line.
    pub fn claim(&mut self, claim: Claim, service: &ServiceName) {
        let first = self.first.entry(claim).or_insert_with(|| service.clone());
        if *first != *service {
            self.waiting.entry(claim).or_default().push(service.clone());
        }
    }

    /// Gives a claim up, or the place in its line; returns who has it now, if that is somebody new.
    pub fn release(&mut self, service: &ServiceName, claim: &Claim) -> Option<&ServiceName> {
        let line = self.waiting.get_mut(claim);
        if self.first.get(claim) != Some(service) {
            if let Some(line) = line {
                line.retain(|waiting| waiting != service);
                if line.is_empty() {
                    self.waiting.remove(claim);
                }
            }
            return None;
        }
        let Some(line) = line else {
            self.first.remove(claim);
            return None;
        };
        // A line that is kept has somebody in it.
        let next = line.remove(0);
        if line.is_empty() {
            self.waiting.remove(claim);
        }
        let first = self.first.get_mut(claim)?;
        *first = next;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_pass_on_in_the_order_of_their_line() {
        let name = |text: &str| ServiceName::new("ns", text);
        let claim = Claim::NodePort {
            protocol: 6,
            port: 30000,
        };
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let mut owners = Owners::default();
        for service in [&a, &b, &c] {
            owners.claim(claim, service);
        }
        assert!(owners.has(&a, &claim) && !owners.has(&b, &claim));
        assert_eq!(owners.release(&b, &claim), None);
        assert_eq!(owners.release(&a, &claim), Some(&c));
        assert!(owners.has(&c, &claim) && owners.waiting.is_empty());
        assert_eq!(owners.release(&c, &claim), None);
        assert!(owners.first.is_empty());
        owners.claim(claim, &b);
        assert!(owners.has(&b, &claim));
    }
}
