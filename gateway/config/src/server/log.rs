//! `[log]`: what is logged, and in which format.

use crate::load::{MAX_FILE_SIZE, read};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Minimum level of logged lines: error, warn, info, debug or trace.
    /// 日志级别：error、warn、info、debug 或 trace。
    pub level: LogLevel,
    /// Format of the log: text for people, json for machines.
    /// 日志格式：text 供人阅读，json 供机器处理。
    pub format: LogFormat,
    /// Whether each request is logged in one line.
    /// 是否为每个请求记录一行日志。
    pub access: bool,
    /// File that the log is written to; default: standard error. `menlou reload` opens it again, for logrotate.
    /// 日志文件，默认写到标准错误；执行 `menlou reload` 时重新打开，便于 logrotate 轮换。
    #[schemars(extend("minLength" = 1))]
    pub file: Option<PathBuf>,
}

/// `[log] level`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the usual names")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `[log] format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the usual names")]
pub enum LogFormat {
    Text,
    Json,
}

impl LogFormat {
    /// The format that a config with errors asks for, so that the errors can be reported in it. `variable` is the value of
    /// `MENLOU_LOG__FORMAT`.
    pub fn of_invalid(file: Option<&Path>, variable: Option<&str>) -> Self {
        let parse = |value: &str| match value {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            _ => None,
        };
        let in_file = || {
            let bytes = read(file?).ok().filter(|bytes| bytes.len() <= MAX_FILE_SIZE)?;
            let (table, _) = DeTable::parse_recoverable(std::str::from_utf8(&bytes).ok()?);
            let DeValue::Table(log) = table.get_ref().get("log")?.get_ref() else { return None };
            let DeValue::String(format) = log.get("format")?.get_ref() else { return None };
            parse(format)
        };
        variable.and_then(parse).or_else(in_file).unwrap_or(Self::Text)
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Text, access: true, file: None }
    }
}
