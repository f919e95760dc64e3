//! The contract of the stores: what gateway/src/store promises, held against each store that keeps it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod admins;
mod cluster;
mod limits;
mod postgres;
mod redis;
mod replica;
mod sessions;
mod shared;
mod sqlite;
mod stores;
mod test_stores;
mod tls;
mod users;

/// One test per promise and store: `promises!(room of the promises, how the store is opened, [promises])`.
macro_rules! promises {
    ($name:ident, $room:ident, $open:path, [$($promise:ident),* $(,)?]) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    crate::$room::$promise(&$open().await).await;
                }
            )*
        }
    };
}

macro_rules! of_sessions {
    ($name:ident, $open:path) => {
        promises!(
            $name,
            sessions,
            $open,
            [
                a_session_is_found_as_it_was_opened,
                a_session_without_optional_parts_is_found_as_it_was_opened,
                an_unknown_token_finds_nothing,
                a_session_is_not_found_past_its_end,
                a_session_opened_in_the_past_is_never_found,
                an_ended_session_is_gone_at_once_and_ends_only_once,
                an_expired_session_ends_as_if_there_were_none,
                a_token_is_worth_nothing_in_another_tenant,
                a_session_opened_again_under_its_token_replaces_the_first,
                a_session_is_replaced_only_while_there_is_one,
                nothing_printed_holds_the_session_key_or_the_token,
                many_sessions_opened_at_once_are_all_found,
                a_read_that_races_an_end_leaves_nothing_behind,
                a_caller_that_goes_away_harms_nobody,
                sessions_are_counted_while_they_last,
                the_sessions_of_a_person_are_listed_newest_first,
                a_tenant_s_sessions_end_together_however_many_and_no_other_s,
            ]
        );
    };
}

macro_rules! of_shared {
    ($name:ident, $open:path) => {
        promises!(
            $name,
            shared,
            $open,
            [
                one_of_many_gets_the_claim,
                a_claim_can_be_made_again_when_its_life_is_over,
                a_claim_is_a_value_like_any_other,
                a_value_is_read_as_it_was_put_until_its_life_is_over,
                put_replaces_value_and_life,
                an_empty_value_is_a_value,
                a_removed_value_is_gone,
                tenants_do_not_see_each_other_s_values,
                a_counter_counts_each_of_many_at_once,
                a_counter_starts_anew_after_its_window_however_often_it_is_counted,
                the_longest_and_the_shortest_life_are_taken,
                ping_answers,
            ]
        );
    };
}

macro_rules! of_users {
    ($name:ident, $open:path) => {
        promises!(
            $name,
            users,
            $open,
            [
                nobody_is_bound_at_first,
                a_new_account_is_bound_and_found,
                ids_are_unique_over_tenants_and_start_from_one,
                a_second_new_for_a_bound_openid_gives_the_account_as_it_is,
                new_raced_for_one_openid_makes_one_account,
                a_phone_number_has_one_account_per_tenant,
                a_phone_number_raced_by_many_openids_makes_one_account,
                an_external_id_has_one_account_and_brings_it_up_to_date,
                an_external_id_raced_makes_one_account,
                an_existing_account_is_bound_to_several_openids,
                an_account_of_another_tenant_is_not_bound,
                a_binding_gives_way_to_another_account,
                different_accounts_raced_for_one_openid_end_with_one_binding,
                an_unbound_openid_is_gone_at_once_and_its_account_stays,
                an_update_changes_what_is_given_for_all_openids,
                a_user_of_another_tenant_is_not_updated,
                an_account_name_is_taken_once_per_tenant,
                an_account_name_raced_is_taken_once,
                credentials_are_those_of_the_account,
                accounts_without_password_have_no_credentials,
                names_of_any_language_and_length_are_kept,
                a_read_that_races_an_update_leaves_nothing_behind,
                ping_answers,
            ]
        );
    };
}

macro_rules! of_admins {
    ($accounts:ident, $admins:ident, $open:path) => {
        promises!(
            $accounts,
            accounts,
            $open,
            [
                an_account_is_found_by_whatever_is_known_of_it,
                accounts_are_listed_page_by_page,
                a_change_of_what_was_not_seen_is_refused,
                an_erased_account_is_gone_with_its_bindings,
            ]
        );
        promises!(
            $admins,
            admins,
            $open,
            [a_token_is_found_as_it_was_made_until_it_is_revoked, deeds_are_read_newest_first_page_by_page]
        );
    };
}

of_sessions!(sqlite_sessions, crate::test_stores::embedded);
of_shared!(sqlite_shared, crate::test_stores::embedded);
of_users!(sqlite_users, crate::test_stores::embedded);
of_admins!(sqlite_accounts, sqlite_admins, crate::test_stores::embedded);

of_sessions!(redis_sessions, crate::test_stores::redis);
of_shared!(redis_shared, crate::test_stores::redis);
of_users!(postgres_users, crate::test_stores::postgres);
of_admins!(postgres_accounts, postgres_admins, crate::test_stores::postgres);
