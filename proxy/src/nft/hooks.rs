//! The base chains: where the table hangs in the kernel, and what each hook asks.

use super::conditions::new_connections;
use super::expr::Expr;
use super::object::{Chain, ChainKind, Hook, HookNumber, Rule};
use super::verdict::Verdict;

pub fn base_chains() -> impl Iterator<Item = Chain> {
    use ChainKind::{Filter, Nat};
    use HookNumber::{Forward, Input, Output, Postrouting, Prerouting};
    const DNAT: i32 = -100;
    const FILTER: i32 = 0;
    const SNAT: i32 = 100;
    let base = |name: &str, kind, number, priority, new_only: bool, jumps: &[&str]| Chain {
        name: name.into(),
        hook: Some(Hook {
            kind,
            number,
            priority,
        }),
        rules: jumps
            .iter()
            .map(|to| {
                let condition = if new_only { new_connections() } else { Vec::new() };
                Rule::of([condition, vec![Expr::Verdict(Verdict::jump(to))]])
            })
            .collect(),
    };
    let firewall = ["firewall-check"];
    [
        base(
            "filter-prerouting-pre-dnat",
            Filter,
            Prerouting,
            DNAT - 10,
            true,
            &firewall,
        ),
        base(
            "filter-output-pre-dnat",
            Filter,
            Output,
            DNAT - 10,
            true,
            &firewall,
        ),
        base(
            "filter-input",
            Filter,
            Input,
            FILTER,
            true,
            &["nodeport-endpoints-check", "service-endpoints-check"],
        ),
        base(
            "filter-forward",
            Filter,
            Forward,
            FILTER,
            true,
            &["service-endpoints-check", "cluster-ips-check"],
        ),
        base(
            "filter-output",
            Filter,
            Output,
            FILTER,
            true,
            &["service-endpoints-check", "cluster-ips-check"],
        ),
        base("nat-prerouting", Nat, Prerouting, DNAT, false, &["services"]),
        base("nat-output", Nat, Output, DNAT, false, &["services"]),
        base(
            "nat-postrouting",
            Nat,
            Postrouting,
            SNAT,
            false,
            &["masquerading"],
        ),
    ]
    .into_iter()
}
