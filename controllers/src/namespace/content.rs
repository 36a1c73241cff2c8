//! Deleting the objects of one kind in one namespace.

use super::plan::{Remains, Target, remains};
use crate::pods::reason;
use machinery::client::{ApiError, Client, DeleteOptions, ListOptions, Propagation};
use machinery::meta::PartialObject;
use std::time::Duration;

/// Objects of a page: a namespace may hold any number of them.
const PAGE: u32 = 500;

/// Kinds come and go with their definitions, and some cannot do what they promise.
fn is_unsupported(error: &ApiError) -> bool {
    error.is_not_found() || error.is_method_not_supported()
}

/// The metadata of all objects; `None` if they cannot be listed.
async fn list(
    client: &Client,
    target: &Target,
    namespace: &str,
) -> Result<Option<Vec<PartialObject>>, ApiError> {
    if !target.listable {
        return Ok(None);
    }
    let mut options = ListOptions::default().limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = match client
            .list_metadata::<PartialObject>(&target.resource, namespace, &options)
            .await
        {
            Ok(page) => page,
            Err(error) if is_unsupported(&error) => return Ok(None),
            // The list took longer than the server remembers: start anew.
            Err(error) if error.is_expired() && options.continue_token.is_some() => {
                options.continue_token = None;
                all.clear();
                continue;
            }
            Err(error) => return Err(error),
        };
        all.extend(page.items);
        match page.metadata.continue_token.filter(|token| !token.is_empty()) {
            Some(token) => options.continue_token = Some(token.into()),
            None => return Ok(Some(all)),
        }
    }
}

/// Deletes all of it. Whatever its owners would do, their objects go in any case: no finalizer is needed for that.
async fn delete(
    client: &Client,
    target: &Target,
    namespace: &str,
    held: &[PartialObject],
) -> Result<(), ApiError> {
    let options = DeleteOptions::default().propagation(Propagation::Background);
    if target.at_once {
        match client
            .delete_collection(&target.resource, namespace, &options, &ListOptions::default())
            .await
        {
            Err(error) if is_unsupported(&error) => {}
            answered => return answered,
        }
    }
    for object in held {
        match client
            .delete(&target.resource, namespace, &object.metadata.name, &options)
            .await
        {
            Err(error) if !is_unsupported(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn try_clear(
    client: &Client,
    target: &Target,
    namespace: &str,
    age: Duration,
) -> Result<(Remains, Option<String>), ApiError> {
    // Nothing new can be created in a namespace that is being deleted, so what is empty now stays so: most kinds cost one list.
    let held = list(client, target, namespace).await?;
    if held.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Default::default());
    }
    delete(client, target, namespace, &held.unwrap_or_default()).await?;
    let left = list(client, target, namespace).await?.unwrap_or_default();
    Ok(remains(
        target,
        namespace,
        left.iter().map(|object| &object.metadata),
        age,
    ))
}

/// Deletes all objects of a kind and looks what is left.
pub async fn clear(
    client: &Client,
    target: &Target,
    namespace: &str,
    age: Duration,
) -> (Remains, Option<String>) {
    try_clear(client, target, namespace, age)
        .await
        .unwrap_or_else(|error| (Remains::default(), Some(reason(&error))))
}
