//! The checks of a plugin, for each action. The name of a check is printed before it runs.

use super::{
    super::samples,
    test_gateway::{CALL_TIMEOUT, TestGateway, call},
};
use crate::cli::output::show_errors;
use menlou_action::{Action, ConfiguredAction, Descriptor, Plugin};
use menlou_call::Reply;
use menlou_config::{
    config_error::ConfigError,
    keyring::Keyring,
    load::Document,
    schema::Schema,
    settings,
    sources::{self, Sources},
    tenant::{self, TenantName},
    zeroize::Zeroized,
};
use menlou_error::text::{Language, Text};
use menlou_error::{Error, Result, codes};
use serde_json::Value;
use std::{
    fs,
    future::{Future, poll_fn},
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

/// The result of a check: no finding, a note, or a failure.
type CheckResult = std::result::Result<Option<Text>, Text>;

/// Duration of each measurement.
const ROUND_DURATION: Duration = Duration::from_millis(700);
/// Number of concurrent callers.
const CALLERS: usize = 32;
/// Number of times that settings are created and dropped.
const TENANTS: usize = 20_000;
/// Memory growth below this, in bytes, is ignored: stores and allocators keep some memory.
const IGNORED_GROWTH: u64 = 4 << 20;
/// Memory growth per call or tenant above this, in bytes, is a leak.
const LEAK_PER_ITEM: u64 = 64;

/// Runs all checks. Returns the number of failed checks.
pub async fn all(plugin: &Arc<Plugin>, tenant: Option<&Document>) -> std::result::Result<usize, Text> {
    let gateway = Arc::new(TestGateway::new().await?);
    let mut failed = 0;
    for index in 0..plugin.actions.len() {
        let descriptor = &plugin.actions[index];
        outln!("a={}", descriptor.name);
        let mut report = |found: CheckResult| -> bool {
            let language = Language::for_operator();
            match &found {
                Ok(None) => outln!("ok"),
                Ok(Some(note)) => outln!("ok; {}", note.get(language)),
                Err(why) => outln!("{}: {}", Text::fixed("失败", "FAILED").get(language), why.get(language)),
            }
            failed += usize::from(found.is_err());
            found.is_ok()
        };
        announce("插件说明", "description");
        report(check_description(descriptor));

        announce("设置", "settings");
        let settings = match tenant.and_then(|file| settings_from_file(file, plugin.name, descriptor)) {
            Some(Ok(settings)) => settings,
            Some(Err(errors)) => {
                outln!();
                show_errors(&errors);
                failed += 1;
                continue;
            }
            None => samples::fitting(descriptor.settings.as_json()).into(),
        };
        let configure =
            || ConfiguredAction::new(plugin.clone(), index, (&gateway.scope.tenant, &descriptor.name), &settings);
        let action = match configured(descriptor, &settings, configure) {
            Ok(configured) => Arc::new(configured.serve(gateway.scope.clone())),
            Err(why) => {
                report(Err(why));
                continue;
            }
        };
        report(Ok(None));

        announce("异常参数", "unusual parameters");
        // A call that never returns would delay every further check.
        if !report(parameters(&gateway, &action).await?) {
            continue;
        }
        // Counted before the concurrent calls, which may delay any thread.
        let blocked = descriptor.violations.blocked.count();
        announce("中途取消", "cancellation");
        report(cancelled(&gateway, &action).await);
        announce("并发调用", "concurrent calls");
        report(
            side_by_side(&gateway, &action)
                .await
                .map(|calls| Some(Text::new(format!("{calls} 次"), format!("{calls} calls")))),
        );
        announce("内存增长", "memory growth");
        report(growth(&gateway, &action, || drop(configure())).await);
        announce("ABI 规则", "ABI rules");
        report(rules(descriptor, blocked));
    }
    Ok(failed)
}

/// Prints the name of a check before it runs. If the plugin crashes the process, this is the last output.
fn announce(zh: &'static str, en: &'static str) {
    out!("  {} … ", Text::fixed(zh, en).get(Language::for_operator()));
    let _ = io::stdout().flush();
}

fn check_description(descriptor: &Descriptor) -> CheckResult {
    let mut lacking = Vec::new();
    if descriptor.title.zh.is_empty() || descriptor.title.en.is_empty() {
        lacking.push("title".to_owned());
    }
    for (what, schema) in [
        ("params", descriptor.params.as_json()),
        ("data", &descriptor.data),
        ("settings", descriptor.settings.as_json()),
    ] {
        if schema.get("type").is_some_and(|t| t != "object") {
            return Err(Text::new(
                format!("{what}_schema 应描述一个对象"),
                format!("{what}_schema must describe an object"),
            ));
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let plain = properties.into_iter().flatten().filter(|(_, p)| p.get("description").is_none());
        lacking.extend(plain.map(|(name, _)| format!("{what}.{name}")));
    }
    if lacking.is_empty() {
        return Ok(None);
    }
    let lacking = lacking.join(", ");
    Ok(Some(Text::new(format!("没有说明：{lacking}"), format!("no description for: {lacking}"))))
}

/// The settings of an action in a tenant's file, with resolved secrets, if the file configures the action.
fn settings_from_file(
    file: &Document,
    plugin: &str,
    descriptor: &Descriptor,
) -> Option<std::result::Result<Zeroized, Vec<ConfigError>>> {
    let tables = file.value("/actions").and_then(Value::as_object)?;
    let (name, _) = tables.iter().find(|(name, table)| match table.get("plugin").and_then(Value::as_str) {
        Some(named) => named == plugin || named == descriptor.name,
        None => **name == descriptor.name,
    })?;
    let (pointer, own) = tenant::plugin_settings(file, name);
    let errors = own.check(&pointer, &descriptor.settings);
    if !errors.is_empty() {
        return Some(Err(errors));
    }
    let (keyring, name) = (Keyring::default(), TenantName::from_path(file.path()).and_then(Result::ok));
    let name = name.as_ref().map(TenantName::as_str);
    let sources = Sources::new(file.folder(), &sources::process_env, &keyring, name);
    Some(settings::resolve(&own, &pointer, &descriptor.settings, &sources))
}

fn configured(
    descriptor: &Descriptor,
    settings: &Value,
    configure: impl FnOnce() -> std::result::Result<ConfiguredAction, Vec<(String, String, String)>>,
) -> std::result::Result<ConfiguredAction, Text> {
    if !descriptor.settings.fits(settings) {
        return Err(Text::fixed(
            "设置不符合 Schema，或无法由 Schema 生成：请用 --tenant 指定租户文件",
            "the settings do not match the schema, or cannot be generated from it: name a tenant's file with --tenant",
        ));
    }
    configure().map_err(|errors| {
        let join = |pick: fn(&(String, String, String)) -> &str| {
            errors.iter().map(|f| format!("{} {}", f.0, pick(f))).collect::<Vec<_>>().join("; ")
        };
        Text::new(
            format!("插件拒绝这些设置：{}（可用 --tenant 指定租户文件）", join(|f| &f.1)),
            format!("the plugin rejects the settings: {} (name a tenant's file with --tenant)", join(|f| &f.2)),
        )
    })
}

/// # Errors
/// A call never returns. It blocks its thread, so later measurements would be meaningless.
async fn parameters(gateway: &Arc<TestGateway>, action: &Arc<Action>) -> std::result::Result<CheckResult, Text> {
    let descriptor = action.descriptor();
    let answer = Schema::compile(&descriptor.data).map_err(|e| Text::new(e.clone(), e))?;
    let mut answered = 0;
    for params in samples::odd(descriptor.params.as_json()) {
        let shown: String = params.to_string().chars().take(100).collect();
        let of_these = |why: Text| Text::new(format!("{}：{shown}", why.zh), format!("{}: {shown}", why.en));
        let (gateway, action) = (gateway.clone(), action.clone());
        let served = tokio::spawn(async move { gateway.call(&action, params).await });
        let served = tokio::time::timeout(CALL_TIMEOUT + ROUND_DURATION, served).await;
        let Ok(Ok(served)) = served else {
            outln!();
            let (zh, en) = ("调用不返回，插件阻塞了线程", "a call does not return: the plugin blocks a thread");
            return Err(of_these(Text::fixed(zh, en)));
        };
        if let Ok(reply) = &served {
            answered += 1;
            if let Reply::File { content_type, .. } | Reply::Streamed { content_type, .. } = reply
                && let Ok(file) = content_type.to_str()
                && !descriptor.files.iter().any(|range| is_within(file, range))
            {
                let (zh, en) = (
                    "响应的文件类型未在 data_schema 的 x-file 中列出",
                    "the response is a file of a type that x-file in data_schema does not list",
                );
                return Ok(Err(of_these(Text::new(format!("{zh}（{file}）"), format!("{en} ({file})")))));
            }
            if let Reply::Data(data) | Reply::SecretData(data) = reply
                && !serde_json::from_slice(data).is_ok_and(|data| answer.fits(&data))
            {
                let why = Text::fixed("响应不符合 data_schema", "the response does not match data_schema");
                return Ok(Err(of_these(why)));
            }
        }
        if let Err(why) = no_failure(served.map(drop)) {
            return Ok(Err(of_these(why)));
        }
    }
    if answered > 0 {
        return Ok(Ok(None));
    }
    Ok(Ok(Some(Text::fixed("没有一次调用成功", "none of the calls succeeded"))))
}

/// Whether a media type matches a range such as `image/*`.
fn is_within(media_type: &str, range: &str) -> bool {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    range == "*/*" || range == bare || range.strip_suffix('*').is_some_and(|kind| bare.starts_with(kind))
}

/// Cancels calls after the first poll, after the second poll, and so on.
async fn cancelled(gateway: &Arc<TestGateway>, action: &Arc<Action>) -> CheckResult {
    let params = samples::fitting(action.descriptor().params.as_json());
    for polls in 1..=100_u32 {
        gateway.log_in().await.map_err(unexpected)?;
        let mut served = Box::pin(action.run(call(action, params.clone())));
        for _ in 0..polls {
            if poll_fn(|context| Poll::Ready(served.as_mut().poll(context).is_ready())).await {
                break;
            }
            tokio::time::sleep(Duration::from_micros(50)).await;
        }
    }
    Ok(None)
}

/// Runs calls of several concurrent callers. Returns the number of calls.
async fn side_by_side(gateway: &Arc<TestGateway>, action: &Arc<Action>) -> std::result::Result<u64, Text> {
    let made = Arc::new(AtomicU64::new(0));
    let params = samples::fitting(action.descriptor().params.as_json());
    let end = Instant::now() + ROUND_DURATION;
    let callers = (0..CALLERS).map(|_| {
        let (gateway, action, made, params) = (gateway.clone(), action.clone(), made.clone(), params.clone());
        tokio::spawn(async move {
            while Instant::now() < end {
                no_failure(gateway.call(&action, params.clone()).await.map(drop))?;
                made.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.map_err(|e| Text::new(e.to_string(), e.to_string()))??;
    }
    Ok(made.load(Ordering::Relaxed))
}

async fn growth(gateway: &Arc<TestGateway>, action: &Arc<Action>, configure: impl Fn()) -> CheckResult {
    side_by_side(gateway, action).await?;
    let before = resident();
    let calls = side_by_side(gateway, action).await? + side_by_side(gateway, action).await?;
    within("调用", "call", before, calls)?;
    (0..TENANTS / 10).for_each(|_| configure());
    let before = resident();
    (0..TENANTS).for_each(|_| configure());
    within("租户", "tenant", before, TENANTS as u64)?;
    Ok(None)
}

/// Violations of the ABI's rules that did not fail a call but are logged by a gateway.
fn rules(descriptor: &Descriptor, blocked: u64) -> CheckResult {
    let (left, again) =
        (descriptor.violations.leaked_operations.count(), descriptor.violations.duplicate_replies.count());
    let found = [
        // A single blocked call may be caused by the machine.
        (blocked > 1).then(|| {
            Text::new(
                format!("阻塞工作线程 100 毫秒以上 {blocked} 次：请使用异步的主机操作并返回 MENLOU_PENDING"),
                format!(
                    "the plugin blocked a worker thread for 100 ms or more, {blocked} times: use an asynchronous host operation and return MENLOU_PENDING"
                ),
            )
        }),
        (left > 0).then(|| {
            Text::new(
                format!("{left} 次调用结束时有操作未 op_drop"),
                format!("{left} calls ended with operations that were not dropped with op_drop"),
            )
        }),
        (again > 0)
            .then(|| Text::new(format!("{again} 次调用返回了两次响应"), format!("{again} calls replied twice"))),
    ];
    let found: Vec<Text> = found.into_iter().flatten().collect();
    if found.is_empty() {
        return Ok(None);
    }
    let join = |pick: fn(&Text) -> &str, by: &str| found.iter().map(pick).collect::<Vec<_>>().join(by);
    Err(Text::new(join(|t| &t.zh, "；"), join(|t| &t.en, "; ")))
}

fn within(zh: &str, en: &str, before: u64, count: u64) -> std::result::Result<(), Text> {
    let grown = resident().saturating_sub(before);
    let each = grown / count.max(1);
    if grown < IGNORED_GROWTH || each < LEAK_PER_ITEM {
        return Ok(());
    }
    Err(Text::new(format!("每个{zh}增长约 {each} 字节"), format!("memory grows by about {each} bytes per {en}")))
}

/// Resident memory of this process, in bytes (`proc_pid_statm(5)`). Pages have 4 KiB.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}

/// An error code of the plugin is a valid response; a failed plugin is not.
fn no_failure(served: Result<()>) -> std::result::Result<(), Text> {
    match served {
        Err(e) if e.is(&codes::PLUGIN_FAILED) => Err(unexpected(e)),
        _ => Ok(()),
    }
}

fn unexpected(e: Error) -> Text {
    let cause = e.cause().map_or_else(|| e.code().to_owned(), ToString::to_string);
    Text::new(cause.clone(), cause)
}
