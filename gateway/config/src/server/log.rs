//! `[log]`: what is logged, and in which format.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Text, access: true }
    }
}
