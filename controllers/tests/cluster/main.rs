//! The manager against a real API server that has no other controllers: what users see of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
mod batch;
mod bench;
mod budgets;
mod customs;
mod ownership;
mod rollout;
mod sets;
mod volumes;

use bench::Bench;

/// One API server for all of it, and one thing after the other, so that sizes and times mean something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_alone_runs_a_cluster() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.ours();
    ownership::namespaces_are_furnished(&bench).await;
    rollout::three_hundred_pods_are_created_once(&bench).await;
    rollout::a_new_image_rolls_and_rolls_back(&bench).await;
    rollout::a_killed_manager_goes_on_where_it_was(&mut bench).await;
    rollout::upstream_takes_over_and_hands_back(&mut bench).await;
    ownership::dependents_go_with_their_owner(&bench).await;
    ownership::foreground_deletion_waits_for_dependents(&bench).await;
    ownership::orphans_stay(&bench).await;
    ownership::deletion_amid_the_work_is_no_error(&bench).await;
    ownership::namespaces_are_emptied(&bench).await;
    bench.asked_for_no_more_than_upstream();
}

/// Pods with names, and pods on every node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_alone_runs_sets() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.ours();
    sets::daemons_run_on_every_node_and_roll(&bench).await;
    sets::stateful_pods_come_in_order_and_roll(&bench).await;
    sets::upstream_takes_over_and_hands_back(&mut bench).await;
    bench.asked_for_no_more_than_upstream();
}

/// Work that ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_alone_runs_batches() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.ours();
    batch::each_end_is_counted_once_whoever_leads(&mut bench).await;
    bench.asked_for_no_more_than_upstream();
}

/// Budgets, mirrored endpoints, volumes and claims.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_alone_keeps_promises() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.ours();
    budgets::evictions_wait_for_healthy_pods(&bench).await;
    budgets::endpoints_of_users_are_mirrored(&bench).await;
    volumes::claims_are_bound_and_released(&bench).await;
    volumes::claims_in_use_stay(&bench).await;
    volumes::pods_bring_their_claims(&bench).await;
    volumes::attributes_classes_in_use_stay(&bench).await;
    customs::kinds_are_collected_while_they_are_there(&bench).await;
    accounts::tokens_are_put_into_secrets(&bench).await;
    accounts::roles_are_made_up_of_others(&bench).await;
    accounts::kubelets_requests_are_approved(&bench).await;
    bench.asked_for_no_more_than_upstream();
}
