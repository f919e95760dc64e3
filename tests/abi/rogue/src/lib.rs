//! A misbehaving plugin: it does everything wrong that safe Rust allows. Each of its actions may fail only its own call.

mod described;
#[cfg(test)]
mod in_process;
mod misuse;
mod panics;
mod replies;
mod services;
mod settings;
mod streams;
mod wakers;

use menlou_plugin::prelude::*;

/// Parameters of the actions.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Params {
    /// A number, a time in milliseconds, or a flag.
    n: u64,
    /// An openid, the name of a header, or a code.
    text: String,
}

/// Data of the replies.
#[derive(Default, Serialize, JsonSchema)]
struct Data {
    /// A count.
    n: u64,
    /// A text.
    text: String,
}

menlou_plugin::plugin! {
    name: "rogue",
    actions: [
        Action::new("echo", misuse::echo).methods("GET,POST").title("回声", "Echo").description("原样返回。", "Returns its parameters."),
        Action::new("panic_now", panics::now),
        Action::new("panic_later", panics::later),
        Action::new("panic_in_drop", panics::in_drop),
        Action::new("never", misuse::never),
        Action::new("live", misuse::live),
        Action::new("elsewhere", misuse::elsewhere),
        Action::new("dropped_elsewhere", misuse::dropped_elsewhere),
        Action::new("leak", misuse::leak),
        Action::new("block", misuse::block),
        Action::new("no_object", replies::no_object),
        Action::new("large", replies::large),
        Action::new("bad_error_code", replies::bad_error_code),
        Action::new("file", replies::file),
        Action::new("many", wakers::many),
        Action::new("thread_wakes", wakers::thread_wakes),
        Action::new("keep_waker", wakers::keep),
        Action::new("wake_kept", wakers::wake_kept),
        Action::new("log", services::log),
        Action::new("flood", services::flood),
        Action::new("open_session", services::open_session),
        Action::new("find_user", services::find_user),
        Action::new("header", services::header),
        Action::new("ask_platform", services::ask_platform),
        Action::new("use_session_key", services::use_session_key),
        Action::new("by_setting", services::has_caller).access(Access::BySetting),
        Action::new("give_back", streams::give_back).raw_body(),
        Action::new("begin", streams::begin),
        Action::new("set", settings::set),
        Action::new("released", settings::released),
        described::action(),
    ],
}
