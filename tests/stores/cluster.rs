//! A Redis Cluster keeps the contract, too. One cluster serves all promises: starting it takes longer than they do.

use crate::{sessions, shared, test_stores::at};
use menlou_harness as harness;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_what_the_session_store_promises() {
    let cluster = harness::Cluster::start();
    let url = cluster.url();
    let mut number = 0;
    // Each in a place of its own.
    macro_rules! hold {
        ($($room:ident::$promise:ident),* $(,)?) => {
            $(
                number += 1;
                $room::$promise(&at(&url, &format!("p{number}")).await).await;
            )*
        };
    }
    hold!(
        sessions::a_session_is_found_as_it_was_opened,
        sessions::an_unknown_token_finds_nothing,
        sessions::a_session_is_not_found_past_its_end,
        sessions::an_ended_session_is_gone_at_once_and_ends_only_once,
        sessions::a_token_is_worth_nothing_in_another_tenant,
        sessions::a_session_is_replaced_only_while_there_is_one,
        sessions::many_sessions_opened_at_once_are_all_found,
        sessions::a_read_that_races_an_end_leaves_nothing_behind,
        shared::one_of_many_gets_the_claim,
        shared::a_claim_can_be_made_again_when_its_life_is_over,
        shared::tenants_do_not_see_each_other_s_values,
        shared::a_counter_counts_each_of_many_at_once,
        shared::a_counter_starts_anew_after_its_window_however_often_it_is_counted,
        shared::the_longest_and_the_shortest_life_are_taken,
        shared::ping_answers,
    );
}
