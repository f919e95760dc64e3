//! A plugin's description of one action, checked and copied from the ABI's struct.

use super::{params::ParamsSchema, plugin_load_error::PluginLoadError, schema_cost, violations::ViolationCounters};
use http::Method;
use menlou_abi::*;
use menlou_config::{
    schema::Schema,
    tenant::{GATEWAY_KEYS, is_name},
};
use menlou_error::text::Text;
use menlou_policy::Access;
use serde_json::Value;
use std::sync::Arc;

/// The description of an action.
pub struct Descriptor {
    /// The name that tenant files use.
    pub name: String,
    /// Which callers are served.
    pub access: Access,
    /// Whether the tenant's setting `auth` overrides `access`.
    pub access_by_setting: bool,
    /// The parts of a request that the action reads itself.
    pub flags: ActionFlags,
    /// The HTTP methods that are served.
    pub methods: Vec<Method>,
    /// The title, a few words.
    pub title: Text,
    /// What the action does.
    pub description: Text,
    /// The schema of the parameters.
    pub params: ParamsSchema,
    /// The schema of the response's `data`.
    pub data: Value,
    /// Media types of files that the action may return instead of data: `image/jpeg`, `image/*`, `*/*`.
    pub files: Vec<String>,
    /// The schema of the action's table in a tenant file.
    pub settings: Arc<Schema>,
    /// Counters of the action's ABI violations, over all tenants.
    pub violations: &'static ViolationCounters,
    pub(super) raw: &'static menlou_action,
    pub(super) entry: Entry,
}

/// The parts of a request that an action reads itself. Without a flag, the gateway parses or rejects that part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActionFlags {
    /// The body, of any media type and size, is not parsed.
    pub raw_body: bool,
    /// The query is not parsed.
    pub raw_query: bool,
    /// Paths below the action's own are served.
    pub subpaths: bool,
}

impl Descriptor {
    /// Whether responses may have any media type, as those of an action that forwards to a server.
    pub fn has_any_media_type(&self) -> bool {
        self.files.iter().any(|range| range == "*/*")
    }
}

/// The functions that an action must have.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub start: unsafe extern "C" fn(
        *const menlou_host,
        *mut menlou_call,
        *const menlou_request,
        *const std::ffi::c_void,
        *mut *mut std::ffi::c_void,
    ) -> i32,
    pub poll: unsafe extern "C" fn(*mut std::ffi::c_void, *mut menlou_call) -> i32,
    pub drop: unsafe extern "C" fn(*mut std::ffi::c_void),
}

impl Descriptor {
    /// Checks and copies the description of an action of the plugin `plugin`.
    ///
    /// # Errors
    /// [`PluginLoadError::BadDescriptor`]
    ///
    /// # Safety
    /// `raw` and everything that it points to live as long as the process and do not change.
    pub unsafe fn read(plugin: &str, raw: &'static menlou_action) -> Result<Self, PluginLoadError> {
        // SAFETY: promised by the caller, here and below.
        let name = unsafe { text(raw.name, "action name") }?;
        let invalid = |what: &str| PluginLoadError::BadDescriptor(format!("action {name:?}: {what}"));
        if !is_name(&name) {
            return Err(invalid("a name is 1 to 64 of a-z, 0-9, _ and -, starting with a letter or digit"));
        }
        if (raw.struct_size as usize) < size_of::<menlou_action>() {
            return Err(invalid("struct_size is too small"));
        }
        let access = match raw.access {
            MENLOU_ACCESS_ANYONE => Access::Anyone,
            MENLOU_ACCESS_SESSION | MENLOU_ACCESS_BY_SETTING => Access::Session,
            MENLOU_ACCESS_USER => Access::User,
            other => return Err(invalid(&format!("unknown access {other}"))),
        };
        let flags = ActionFlags {
            raw_body: raw.flags & MENLOU_ACTION_RAW_BODY != 0,
            raw_query: raw.flags & MENLOU_ACTION_RAW_QUERY != 0,
            subpaths: raw.flags & MENLOU_ACTION_SUBPATHS != 0,
        };
        if raw.flags >> 3 != 0 {
            return Err(invalid("unknown flags"));
        }
        let (Some(start), Some(poll), Some(drop)) = (raw.start, raw.poll, raw.drop) else {
            return Err(invalid("start, poll and drop are required"));
        };
        // SAFETY: promised by the caller.
        let texts = unsafe {
            [raw.methods, raw.title_zh, raw.title_en, raw.description_zh, raw.description_en].map(|t| text(t, "text"))
        };
        let [methods, title_zh, title_en, description_zh, description_en] = texts;
        let (title, description) = (Text::new(title_zh?, title_en?), Text::new(description_zh?, description_en?));
        let methods = methods?;
        let methods: Vec<Method> = match methods.as_str() {
            "" => vec![Method::POST],
            list => list
                .split(',')
                .map(|m| match m.trim() {
                    "GET" => Ok(Method::GET),
                    "HEAD" => Ok(Method::HEAD),
                    "OPTIONS" => Ok(Method::OPTIONS),
                    "POST" => Ok(Method::POST),
                    "PUT" => Ok(Method::PUT),
                    "PATCH" => Ok(Method::PATCH),
                    "DELETE" => Ok(Method::DELETE),
                    other => Err(invalid(&format!("unknown HTTP method {other:?}"))),
                })
                .collect::<Result<_, _>>()?,
        };
        // SAFETY: promised by the caller.
        let [params, data, settings] =
            unsafe { [schema(raw.params_schema), schema(raw.data_schema), schema(raw.settings_schema)] };
        let params = params.map_err(|e| invalid(&format!("params_schema: {e}")))?;
        let data = data.map_err(|e| invalid(&format!("data_schema: {e}")))?;
        let settings = settings.map_err(|e| invalid(&format!("settings_schema: {e}")))?;
        let settings = settings.unwrap_or_else(|| serde_json::json!({ "type": "object", "maxProperties": 0 }));
        let settings = Schema::compile(&settings).map_err(|e| invalid(&format!("settings_schema: {e}")))?;
        if let Some(key) = GATEWAY_KEYS.iter().find(|key| settings.has_property(key)) {
            return Err(invalid(&format!("settings_schema: {key:?} is reserved for the gateway")));
        }
        let data = data.unwrap_or_else(|| serde_json::json!({ "type": "object" }));
        Schema::compile(&data).map_err(|e| invalid(&format!("data_schema: {e}")))?;
        let files = file_types(&data).ok_or_else(|| invalid("data_schema: x-file must be a list of media types"))?;
        Ok(Self {
            access,
            access_by_setting: raw.access == MENLOU_ACCESS_BY_SETTING,
            flags,
            methods,
            title,
            description,
            params: ParamsSchema::compile(params).map_err(|e| invalid(&format!("params_schema: {e}")))?,
            data,
            files,
            settings: Arc::new(settings),
            violations: ViolationCounters::new(plugin, &name),
            raw,
            entry: Entry { start, poll, drop },
            name,
        })
    }
}

/// The media types of the schema keyword `x-file`, or `None` if it is invalid.
fn file_types(data: &Value) -> Option<Vec<String>> {
    let is_token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-*".contains(&b));
    let media_type = |listed: &Value| {
        let (kind, subtype) = listed.as_str()?.split_once('/')?;
        (is_token(kind) && is_token(subtype)).then(|| format!("{kind}/{subtype}"))
    };
    match data.get("x-file") {
        Some(listed) => listed.as_array()?.iter().map(media_type).collect(),
        None => Some(Vec::new()),
    }
}

/// Copies a text of a description. `what` names it in errors.
///
/// # Safety
/// The bytes of `s` are readable during this function.
pub(super) unsafe fn text(s: menlou_str, what: &str) -> Result<String, PluginLoadError> {
    // SAFETY: promised by the caller.
    let bytes = unsafe { s.bytes() };
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= MAX_TEXT => Ok(text.to_owned()),
        Ok(_) => Err(PluginLoadError::BadDescriptor(format!("its {what} is longer than {MAX_TEXT} bytes"))),
        Err(_) => Err(PluginLoadError::BadDescriptor(format!("its {what} is not UTF-8"))),
    }
}

/// Maximum length of a text in a description, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// Parses a JSON Schema. An empty text means that there is none.
///
/// # Safety
/// The bytes of `s` are readable during this function.
unsafe fn schema(s: menlou_str) -> Result<Option<Value>, String> {
    // SAFETY: promised by the caller.
    let bytes = unsafe { s.bytes() };
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() > MAX_TEXT {
        return Err(format!("longer than {MAX_TEXT} bytes"));
    }
    match serde_json::from_slice(bytes) {
        Ok(schema @ Value::Object(_)) => schema_cost::check(&schema).map(|()| Some(schema)),
        Ok(_) => Err("a schema must be a JSON object".into()),
        Err(e) => Err(e.to_string()),
    }
}
