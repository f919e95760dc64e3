//! A plugin that does everything wrong that safe Rust allows; each of its actions may hurt at most its own call.

mod answers;
mod described;
#[cfg(test)]
mod in_process;
mod misuse;
mod panics;
mod services;
mod settings;
mod streams;
mod wakers;

use menlou_plugin::prelude::*;

/// What the actions take.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Params {
    /// How many, how long, or whether.
    n: u64,
    /// An openid, a header, a code.
    text: String,
}

/// What the actions give.
#[derive(Default, Serialize, JsonSchema)]
struct Data {
    /// What was counted.
    n: u64,
    /// What was found.
    text: String,
}

menlou_plugin::plugin! {
    name: "rogue",
    actions: [
        Action::new("echo", misuse::echo).methods("GET,POST").title("回声", "Echo").description("原样返回。", "Gives back."),
        Action::new("panic_now", panics::now),
        Action::new("panic_later", panics::later),
        Action::new("panic_in_drop", panics::in_drop),
        Action::new("never", misuse::never),
        Action::new("live", misuse::live),
        Action::new("elsewhere", misuse::elsewhere),
        Action::new("dropped_elsewhere", misuse::dropped_elsewhere),
        Action::new("leak", misuse::leak),
        Action::new("block", misuse::block),
        Action::new("no_object", answers::no_object),
        Action::new("large", answers::large),
        Action::new("bad_word", answers::bad_word),
        Action::new("file", answers::file),
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
        Action::new("by_setting", services::whoever).access(Access::BySetting),
        Action::new("give_back", streams::give_back).raw_body(),
        Action::new("begin", streams::begin),
        Action::new("set", settings::set),
        Action::new("released", settings::released),
        described::action(),
    ],
}
