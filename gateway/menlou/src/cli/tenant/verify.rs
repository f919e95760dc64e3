//! `menlou tenant verify`: verifies a tenant's credentials with the platform, and explains the result.

use super::context::{CommandFailure, CommandOutput, TenantContext, parse_name};
use crate::cli::{output::say, runtime};
use menlou_config::{load::Document, tenant::TenantName};
use menlou_error::text::{Language, Text};
use menlou_platform::{
    http::HttpClient,
    wechat::verify::{CheckFailure, CheckResult},
};
use menlou_tenant::logs_in_by_phone;
use serde_json::{Value, json};
use std::{
    cell::Cell,
    io::{self, IsTerminal, Write},
};

pub fn run(context: &TenantContext<'_>, name: &str) -> Result<CommandOutput, CommandFailure> {
    let name = parse_name(name)?;
    let stored = context.files().read(&name).map_err(|r| CommandFailure::from_file_error(&name, r))?;
    let (ok, results) = verify(context, &name, &stored.text)?;
    Ok(CommandOutput { json: json!({ "tenant": name.as_str(), "findings": results }), ok })
}

/// Verifies the credentials, prints each result as it arrives, and returns the results for `--json`.
pub fn verify(context: &TenantContext<'_>, name: &TenantName, text: &str) -> Result<(bool, Value), CommandFailure> {
    let files = context.files();
    let checked = files.check(name, text).and_then(|validated| {
        Document::parse(files.path(name), text.as_bytes()).map(|doc| (validated, logs_in_by_phone(&doc)))
    });
    let (validated, phone) = checked.map_err(|errors| CommandFailure {
        code: "faulty",
        text: Text::new(
            format!("租户 {name} 的文件有误，改正后再验证"),
            format!("the file of tenant {name} has errors: fix them first"),
        ),
        errors,
    })?;
    let cannot = |e: String| {
        CommandFailure::new(
            "internal",
            Text::new(format!("无法向平台验证：{e}"), format!("could not verify with the platform: {e}")),
        )
    };
    let http = HttpClient::new().map_err(|e| cannot(e.to_string()))?;
    let runtime = runtime::start().map_err(|text| CommandFailure::new("internal", text))?;
    let credentials = &validated.credentials;
    let progress = Progress::start(credentials.base_url());
    let explained = Cell::new(None);
    let results = runtime.block_on(menlou_platform::verify(credentials, phone, http, |result| {
        progress.clear();
        if !context.json {
            let trouble = result.failure.as_ref();
            // A repeated problem is not explained again.
            let again = trouble.is_some_and(|t| t.errcode.is_some() && explained.get() == t.errcode);
            explained.set(trouble.and_then(|t| t.errcode));
            print_finding(result, again);
        }
        progress.show();
    }));
    progress.clear();
    let ok = results.iter().all(|result| result.failure.is_none());
    if !context.json && ok {
        say(format!("租户 {name} 的凭据可用"), format!("the credentials of tenant {name} work"));
    }
    Ok((ok, results.iter().map(json).collect()))
}

fn print_finding(result: &CheckResult, again: bool) {
    let language = Language::for_operator();
    let step = result.step.text();
    let step = step.get(language);
    let Some(CheckFailure { errcode, rid, explanation, note, cause, .. }) = &result.failure else {
        outln!("✓ {step}");
        return;
    };
    let what = explanation.meaning.get(language);
    let ids = [errcode.map(|code| format!("errcode {code}")), rid.as_ref().map(|rid| format!("rid {rid}"))];
    let ids = ids.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let ids = if ids.is_empty() { ids } else { format!(" ({ids})") };
    outln!("✗ {step}: {what}{ids}");
    if again {
        return;
    }
    let who = explanation.responsible.text();
    let mut rows = vec![
        (Text::fixed("谁来处理", "who has to act"), who),
        (Text::fixed("怎么办", "what to do"), explanation.remedy.clone()),
    ];
    rows.extend(explanation.location.clone().map(|place| (Text::fixed("在哪里", "where"), place)));
    rows.extend(note.clone().map(|note| (Text::fixed("注意", "note"), note)));
    rows.push((Text::fixed("原因", "cause"), Text::new(cause.clone(), cause.clone())));
    for (label, text) in rows.iter().filter(|(_, text)| !text.zh.is_empty()) {
        let colon = Text::fixed("：", ": ");
        outln!("    {}{}{}", label.get(language), colon.get(language), text.get(language));
    }
}

fn json(result: &CheckResult) -> Value {
    let both = |text: &Text| json!({ "zh": text.zh, "en": text.en });
    let trouble = result.failure.as_ref().map(|t| {
        json!({
            "errcode": t.errcode,
            "rid": t.rid,
            "address": t.address,
            "what": both(&t.explanation.meaning),
            "who": both(&t.explanation.responsible.text()),
            "remedy": both(&t.explanation.remedy),
            "place": t.explanation.location.as_ref().map(both),
            "note": t.note.as_ref().map(both),
            "cause": t.cause,
        })
    });
    json!({ "step": result.step.name(), "ok": result.failure.is_none(), "trouble": trouble })
}

/// A progress line on a terminal, which is erased at the end.
struct Progress {
    line: Option<String>,
}

impl Progress {
    fn start(base_url: &str) -> Self {
        let text = Text::new(format!("正在请求 {base_url} …"), format!("requesting {base_url} …"));
        let line = io::stderr().is_terminal().then(|| text.get(Language::for_operator()).to_owned());
        let progress = Self { line };
        progress.show();
        progress
    }

    fn show(&self) {
        if let Some(line) = &self.line {
            err!("{line}");
            let _ = io::stderr().flush();
        }
    }

    fn clear(&self) {
        if self.line.is_some() {
            err!("\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }
}
