//! Watches and writes.

use super::plan;
use crate::context::Context;
use crate::work::until_stopped;
use machinery::cache::Event;
use machinery::meta::resources::SERVICE_ACCOUNTS;
use machinery::meta::{Istr, ObjectKey};
use machinery::queue::{Next, Queue};
use serde::de::IgnoredAny;
use serde_json::json;

/// Runs until the context is stopped.
pub async fn run(context: Context) {
    let (namespaces, accounts) = (
        context.caches.namespaces().clone(),
        context.caches.service_accounts().clone(),
    );
    let queue: Queue<Istr> = Queue::new("serviceaccount");
    let added = queue.clone();
    namespaces.subscribe(move |event| {
        if !matches!(event, Event::Deleted(_)) {
            added.add(event.object().metadata.name.clone());
        }
    });
    let deleted = queue.clone();
    accounts.subscribe(move |event| {
        if let Event::Deleted(account) = event {
            deleted.add(account.metadata.namespace.clone());
        }
    });
    tokio::join!(namespaces.synced(), accounts.synced());
    let stop = context.stop.clone();
    until_stopped(&queue, 1, &stop, move |name: Istr| {
        let (context, namespaces, accounts) = (context.clone(), namespaces.clone(), accounts.clone());
        async move {
            let Some(namespace) = namespaces.get(&ObjectKey::cluster(&name)) else {
                return Ok(Next::Done);
            };
            for account in plan::missing(&namespace, |account| accounts.get_named(&name, account).is_some()) {
                let body = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": account, "namespace": name } });
                match context
                    .client
                    .create::<IgnoredAny, _>(&SERVICE_ACCOUNTS, &name, &body)
                    .await
                {
                    Err(error) if !error.is_already_exists() && !error.is_namespace_terminating() => {
                        return Err(error);
                    }
                    _ => {}
                }
            }
            Ok(Next::Done)
        }
    })
    .await;
}
