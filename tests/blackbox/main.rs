//! Black-box tests: the real binary with its plugins, driven over sockets, with a simulated WeChat and real stores.
//!
//! One module per topic; its `//!` sentence says what belongs there. In every module, each response is checked against the
//! envelope of the contract, and at the end of a test the gateway's log is searched for every secret of the test.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod admin_access;
mod admin_activity;
mod admin_listener;
mod admin_load;
mod admin_people;
mod admin_redaction;
mod admin_tenants;
mod attempts;
mod audit_retention;
mod bad_input;
mod bad_plugins;
mod circuits;
mod clients;
mod closed_outputs;
mod command_line;
mod compression;
mod console;
mod console_settings;
mod console_walk;
mod contract;
mod cors;
mod crash;
mod exchange;
mod failover;
mod fairness;
mod faults;
mod framing;
mod hanging_plugins;
mod hanging_up;
mod http2;
mod http2_frames;
mod limits;
mod log;
mod login;
mod login_fairness;
mod login_service;
mod many_tenants;
mod messages;
mod new_action;
mod openapi;
mod outages;
mod own_layer;
mod pages;
mod permissions;
mod platform_calls;
mod plugin_reloads;
mod plugin_streams;
mod process_limits;
mod profiles;
mod proxies;
mod proxy;
mod proxy_cookies;
mod proxy_headers;
mod readiness;
mod reload;
mod replicas;
mod request_errors;
mod scene;
mod secrecy;
mod secret_sources;
mod secrets;
mod slow_clients;
mod slowhttptest;
mod stopping;
mod temporary_folder;
mod tenant_commands;
mod tenant_edits;
mod tenant_files;
mod tenant_verify;
mod tenants;
mod tls;

/// Runs each test with each combination of stores: `with_each_store!(module, [tests])`.
macro_rules! with_each_store {
    ($module:ident, $tests:tt) => {
        with_each_store!(@ $module, embedded, Embedded, $tests);
        with_each_store!(@ $module, redis, Redis, $tests);
        with_each_store!(@ $module, postgres, Postgres, $tests);
        with_each_store!(@ $module, redis_and_postgres, Both, $tests);
    };
    (@ $module:ident, $name:ident, $kind:ident, [$($test:ident),* $(,)?]) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    crate::$module::$test(crate::scene::Stores::$kind);
                }
            )*
        }
    };
}

mod login_with {
    with_each_store!(
        login,
        [
            first_login_binds_the_openid_and_later_ones_need_no_login_action,
            the_same_phone_number_binds_the_same_account,
            a_phone_code_logs_in_nobody_but_the_person_that_obtained_it,
            a_correct_password_binds_the_existing_account,
            delegated_login_follows_the_tenants_login_service,
            logout_ends_the_session_and_unbind_removes_the_binding,
            changes_of_an_account_are_visible_to_all_of_its_openids,
            concurrent_logins_create_one_account,
            sessions_codes_and_accounts_of_one_tenant_are_invalid_in_another,
        ]
    );
}

mod exchange_with {
    with_each_store!(exchange, [code_sent_twice_is_exchanged_once]);
}

mod session_key_with {
    with_each_store!(platform_calls, [session_key_is_checked_and_reset_in_its_session]);
}

mod admin_people_with {
    with_each_store!(
        admin_people,
        [
            a_person_s_sessions_are_counted_found_and_ended_one_by_one_and_together,
            user_is_found_changed_and_unbound,
            forgetting_a_user_deletes_account_bindings_and_sessions,
        ]
    );
}
