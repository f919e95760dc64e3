//! The contract of session and ephemeral stores, tested against a Redis Cluster. All requirements share one cluster, since
//! its start takes longer than the tests.

use crate::{ephemeral, sessions, test_stores::redis_with_prefix};
use menlou_harness as harness;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_keeps_the_contract_of_session_and_ephemeral_stores() {
    let cluster = harness::Cluster::start();
    let url = cluster.url();
    let mut number = 0;
    // Each requirement has a key prefix of its own.
    macro_rules! check {
        ($($module:ident::$requirement:ident),* $(,)?) => {
            $(
                number += 1;
                $module::$requirement(&redis_with_prefix(&url, &format!("p{number}")).await).await;
            )*
        };
    }
    check!(
        sessions::session_is_found_as_it_was_opened,
        sessions::unknown_token_finds_nothing,
        sessions::expired_session_is_not_found,
        sessions::ended_session_is_gone_immediately_and_ends_only_once,
        sessions::token_is_unknown_in_another_tenant,
        sessions::only_an_existing_session_is_replaced,
        sessions::sessions_opened_concurrently_are_all_found,
        sessions::read_concurrent_with_an_end_caches_nothing,
        ephemeral::one_of_many_concurrent_claims_succeeds,
        ephemeral::expired_claim_can_be_made_again,
        ephemeral::values_are_separate_per_tenant,
        ephemeral::concurrent_increments_are_all_counted,
        ephemeral::counter_restarts_after_its_window_despite_increments,
        ephemeral::longest_and_shortest_ttl_are_accepted,
        ephemeral::ping_succeeds,
    );
}
