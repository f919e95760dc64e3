//! `menlou explain CODE|ERRCODE`: what an error means, who has to act, and what to do.

use crate::cli::output::fail;
use menlou_config::config_error::nearest;
use menlou_error::text::Text;
use menlou_error::{Responsible, admin_codes, codes};
use menlou_platform::wechat::errcodes;
use std::process::ExitCode;

/// Arguments of `explain`.
#[derive(clap::Args)]
pub struct Arguments {
    /// 错误码（如 code_used）或平台错误码（如 40029）；不填则列出全部。An error code such as code_used, or a platform errcode such as 40029;
    /// without it, all are listed.
    #[arg(allow_hyphen_values = true)]
    what: Option<String>,
}

pub fn run(arguments: &Arguments) -> ExitCode {
    let Some(what) = arguments.what.as_deref().map(str::trim) else {
        list();
        return ExitCode::SUCCESS;
    };
    if let Some(word) = codes::find(what).or_else(|| admin_codes::find(what)) {
        outln!("{} (HTTP {})", word.name, word.status);
        // Users of mini-programs see no error of the admin API.
        if codes::find(what).is_some() {
            outln!("\n用户看到：{}\nUsers see: {}", word.text.zh, word.text.en);
        }
        explain(word.meaning(), word.who, &word.remedy, None);
        return ExitCode::SUCCESS;
    }
    if let Ok(code) = what.parse::<i64>() {
        let Some(errcode) = errcodes::find(code) else {
            return fail(&Text::new(
                format!(
                    "没有收录微信错误码 {code}：响应中的错误码为 platform_error，请查阅微信文档，并向平台支持提供 rid"
                ),
                format!(
                    "WeChat's errcode {code} is unknown to Menlou; clients get the error code platform_error. See WeChat's documentation, and give the rid to WeChat's support"
                ),
            ));
        };
        outln!("{} → {} (HTTP {})", errcode.code, errcode.error.name, errcode.error.status);
        explain(&errcode.meaning, errcode.responsible, &errcode.remedy, errcode.location.as_ref());
        return ExitCode::SUCCESS;
    }
    let near = nearest(what, codes::ALL.iter().chain(admin_codes::ALL).map(|w| w.name));
    let (zh, en) = near.map(|n| (format!("；是否想问 {n}？"), format!("; did you mean {n}?"))).unwrap_or_default();
    fail(&Text::new(format!("没有错误码 {what}{zh}"), format!("there is no error code {what}{en}")))
}

/// Prints both languages, because the explanation is often passed on to somebody else.
fn explain(meaning: &Text, who: Responsible, remedy: &Text, place: Option<&Text>) {
    let who = who.text();
    let (at_zh, at_en) =
        place.map(|p| (format!("\n在哪里：{}", p.zh), format!("\nWhere: {}", p.en))).unwrap_or_default();
    outln!("\n{}\n谁来处理：{}\n怎么办：{}{at_zh}", meaning.zh, who.zh, remedy.zh);
    outln!("\n{}\nWho has to act: {}\nWhat to do: {}{at_en}", meaning.en, who.en, remedy.en);
}

fn list() {
    for word in codes::ALL.iter().chain(admin_codes::ALL) {
        let meaning = word.meaning();
        outln!("{:26} {} {} {}", word.name, word.status, meaning.zh, meaning.en);
    }
    outln!();
    for errcode in errcodes::ALL {
        outln!("{:26} {} {} {}", errcode.code, errcode.error.name, errcode.meaning.zh, errcode.meaning.en);
    }
}
