//! The contract of the traits of `menlou-store`, tested against each store that implements them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod admins;
mod cluster;
mod ephemeral;
mod postgres;
mod rate_limits;
mod redis;
mod replica;
mod sessions;
mod sqlite;
mod stores;
mod test_stores;
mod tls;
mod users;
mod waiting;

/// One test per requirement and store: `contract!(name of the tests, module of the requirements, how the store is opened,
/// [requirements])`.
macro_rules! contract {
    ($name:ident, $module:ident, $open:path, [$($requirement:ident),* $(,)?]) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $requirement() {
                    crate::$module::$requirement(&$open().await).await;
                }
            )*
        }
    };
}

macro_rules! session_contract {
    ($name:ident, $open:path) => {
        contract!(
            $name,
            sessions,
            $open,
            [
                session_is_found_as_it_was_opened,
                session_without_optional_fields_is_found_as_it_was_opened,
                unknown_token_finds_nothing,
                expired_session_is_not_found,
                session_opened_already_expired_is_never_found,
                ended_session_is_gone_immediately_and_ends_only_once,
                ending_an_expired_session_returns_false,
                token_is_unknown_in_another_tenant,
                reopening_a_token_replaces_its_session,
                only_an_existing_session_is_replaced,
                debug_output_holds_neither_session_key_nor_token,
                sessions_opened_concurrently_are_all_found,
                read_concurrent_with_an_end_caches_nothing,
                cancelled_operations_leave_the_store_usable,
                sessions_are_counted_until_they_expire,
                sessions_of_an_identity_are_listed_newest_first,
                all_sessions_of_one_tenant_end_and_no_others,
            ]
        );
    };
}

macro_rules! ephemeral_contract {
    ($name:ident, $open:path) => {
        contract!(
            $name,
            ephemeral,
            $open,
            [
                one_of_many_concurrent_claims_succeeds,
                expired_claim_can_be_made_again,
                claim_can_be_read_replaced_and_removed,
                value_is_read_until_it_expires,
                put_replaces_value_and_ttl,
                empty_value_is_stored,
                removed_value_is_gone,
                values_are_separate_per_tenant,
                concurrent_increments_are_all_counted,
                counter_restarts_after_its_window_despite_increments,
                longest_and_shortest_ttl_are_accepted,
                ping_succeeds,
            ]
        );
    };
}

macro_rules! user_contract {
    ($name:ident, $open:path) => {
        contract!(
            $name,
            users,
            $open,
            [
                empty_store_has_no_binding,
                new_account_is_bound_and_found,
                ids_are_unique_across_tenants_and_start_at_one,
                new_account_for_a_bound_openid_returns_the_existing_one,
                concurrent_new_accounts_for_one_openid_create_one,
                phone_number_has_one_account_per_tenant,
                concurrent_bindings_of_one_phone_number_create_one_account,
                external_id_has_one_account_and_updates_it,
                concurrent_bindings_of_one_external_id_create_one_account,
                existing_account_can_have_several_openids,
                account_of_another_tenant_is_not_bound,
                binding_is_replaced_by_another_account,
                concurrent_bindings_of_one_openid_end_with_one,
                unbound_openid_is_gone_immediately_and_its_account_stays,
                update_changes_the_given_fields_for_all_openids,
                user_of_another_tenant_is_not_updated,
                account_name_is_unique_per_tenant,
                account_name_is_unique_under_concurrent_calls,
                credentials_are_those_of_the_account,
                accounts_without_password_have_no_credentials,
                names_of_any_language_and_length_are_stored,
                read_concurrent_with_an_update_caches_nothing_stale,
                ping_succeeds,
            ]
        );
    };
}

macro_rules! admin_contract {
    ($accounts:ident, $admins:ident, $open:path) => {
        contract!(
            $accounts,
            accounts,
            $open,
            [
                account_is_found_by_each_of_its_identifiers,
                accounts_are_listed_page_by_page,
                change_of_another_version_is_refused,
                deleted_account_is_gone_with_its_bindings,
            ]
        );
        contract!(
            $admins,
            admins,
            $open,
            [
                token_is_found_as_it_was_created_until_it_is_revoked,
                audit_entries_are_read_newest_first_page_by_page,
                old_audit_entries_are_read_and_recent_ones_cannot_be_deleted,
            ]
        );
    };
}

session_contract!(sqlite_sessions, crate::test_stores::embedded);
ephemeral_contract!(sqlite_ephemeral, crate::test_stores::embedded);
user_contract!(sqlite_users, crate::test_stores::embedded);
admin_contract!(sqlite_accounts, sqlite_admins, crate::test_stores::embedded);

session_contract!(redis_sessions, crate::test_stores::redis);
ephemeral_contract!(redis_ephemeral, crate::test_stores::redis);
user_contract!(postgres_users, crate::test_stores::postgres);
admin_contract!(postgres_accounts, postgres_admins, crate::test_stores::postgres);
