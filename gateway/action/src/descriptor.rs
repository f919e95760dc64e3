//! What a plugin says of one of its actions, checked and copied.

use super::{params::ParamsSchema, plugin_load_error::PluginLoadError, schema_cost, watchdog::ViolationCounters};
use http::Method;
use menlou_abi::*;
use menlou_config::{
    schema::Schema,
    tenant::{GATEWAY_KEYS, is_name},
};
use menlou_error::text::Text;
use menlou_policy::Access;
use serde_json::Value;

/// An action as its plugin describes it.
pub struct Descriptor {
    /// The name by which tenant files switch it on.
    pub name: String,
    /// Who is served.
    pub access: Access,
    /// Whether each tenant's setting `login` says so instead; `access` is then what holds where it is not given.
    pub access_by_setting: bool,
    /// What of a request it takes as it comes.
    pub flags: ActionFlags,
    /// The HTTP methods it serves.
    pub methods: Vec<Method>,
    /// A few words.
    pub title: Text,
    /// What it does.
    pub description: Text,
    /// What the parameters must be like.
    pub params: ParamsSchema,
    /// What the answer's `data` is like.
    pub data: Value,
    /// The media types of the files that it may answer with in place of data: `image/jpeg`, `image/*`, `*/*`.
    pub files: Vec<String>,
    /// What its table in a tenant file must be like.
    pub settings: Schema,
    /// What it does that it should not, in all tenants.
    pub violations: &'static ViolationCounters,
    pub(super) raw: &'static menlou_action,
    pub(super) entry: Entry,
}

/// What of a request an action takes as it comes, where others have it read or refused before the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActionFlags {
    /// The body, of any media type and size.
    pub raw_body: bool,
    /// The query.
    pub raw_query: bool,
    /// Paths below the action's own.
    pub subpaths: bool,
}

impl Descriptor {
    /// Whether its answers may be anything, as those of a server that it forwards to.
    pub fn has_any_media_type(&self) -> bool {
        self.files.iter().any(|range| range == "*/*")
    }
}

/// The functions that every action has.
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
    /// Reads the description of an action of this plugin.
    ///
    /// # Safety
    /// `raw` and all that it points to live, unchanged, as long as the process.
    pub unsafe fn read(plugin: &str, raw: &'static menlou_action) -> Result<Self, PluginLoadError> {
        // SAFETY: the caller's promise, here and below.
        let name = unsafe { text(raw.name, "action name") }?;
        let wrong = |what: &str| PluginLoadError::BadDescriptor(format!("action {name:?}: {what}"));
        if !is_name(&name) {
            return Err(wrong("a name is 1 to 64 of a-z, 0-9, _ and -, starting with a letter or digit"));
        }
        if (raw.struct_size as usize) < size_of::<menlou_action>() {
            return Err(wrong("its struct is too small"));
        }
        let access = match raw.access {
            MENLOU_ACCESS_ANYONE => Access::Anyone,
            MENLOU_ACCESS_SESSION | MENLOU_ACCESS_BY_SETTING => Access::Session,
            MENLOU_ACCESS_USER => Access::User,
            other => return Err(wrong(&format!("unknown access {other}"))),
        };
        let flags = ActionFlags {
            raw_body: raw.flags & MENLOU_ACTION_RAW_BODY != 0,
            raw_query: raw.flags & MENLOU_ACTION_RAW_QUERY != 0,
            subpaths: raw.flags & MENLOU_ACTION_SUBPATHS != 0,
        };
        if raw.flags >> 3 != 0 {
            return Err(wrong("unknown flags"));
        }
        let (Some(start), Some(poll), Some(drop)) = (raw.start, raw.poll, raw.drop) else {
            return Err(wrong("start, poll and drop are needed"));
        };
        // SAFETY: as above.
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
                    other => Err(wrong(&format!("unknown HTTP method {other:?}"))),
                })
                .collect::<Result<_, _>>()?,
        };
        // SAFETY: as above.
        let [params, data, settings] =
            unsafe { [schema(raw.params_schema), schema(raw.data_schema), schema(raw.settings_schema)] };
        let params = params.map_err(|e| wrong(&format!("params_schema: {e}")))?;
        let data = data.map_err(|e| wrong(&format!("data_schema: {e}")))?;
        let settings = settings.map_err(|e| wrong(&format!("settings_schema: {e}")))?;
        let settings = settings.unwrap_or_else(|| serde_json::json!({ "type": "object", "maxProperties": 0 }));
        let settings = Schema::compile(&settings).map_err(|e| wrong(&format!("settings_schema: {e}")))?;
        if let Some(key) = GATEWAY_KEYS.iter().find(|key| settings.has_property(key)) {
            return Err(wrong(&format!("settings_schema: {key:?} is a key of the gateway's own")));
        }
        let data = data.unwrap_or_else(|| serde_json::json!({ "type": "object" }));
        Schema::compile(&data).map_err(|e| wrong(&format!("data_schema: {e}")))?;
        let files = files(&data).ok_or_else(|| wrong("data_schema: x-file is a list of media types"))?;
        Ok(Self {
            access,
            access_by_setting: raw.access == MENLOU_ACCESS_BY_SETTING,
            flags,
            methods,
            title,
            description,
            params: ParamsSchema::compile(params).map_err(|e| wrong(&format!("params_schema: {e}")))?,
            data,
            files,
            settings,
            violations: ViolationCounters::new(plugin, &name),
            raw,
            entry: Entry { start, poll, drop },
            name,
        })
    }
}

/// The media types that the keyword `x-file` lists.
fn files(data: &Value) -> Option<Vec<String>> {
    let is_token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-*".contains(&b));
    let media_type = |listed: &Value| {
        let (kind, sort) = listed.as_str()?.split_once('/')?;
        (is_token(kind) && is_token(sort)).then(|| format!("{kind}/{sort}"))
    };
    match data.get("x-file") {
        Some(listed) => listed.as_array()?.iter().map(media_type).collect(),
        None => Some(Vec::new()),
    }
}

/// # Safety
/// The bytes of `s` can be read now.
pub(super) unsafe fn text(s: menlou_str, what: &str) -> Result<String, PluginLoadError> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { s.bytes() };
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= LONGEST => Ok(text.to_owned()),
        Ok(_) => Err(PluginLoadError::BadDescriptor(format!("its {what} is longer than {LONGEST} bytes"))),
        Err(_) => Err(PluginLoadError::BadDescriptor(format!("its {what} is no UTF-8 text"))),
    }
}

/// The longest text of a descriptor, in bytes.
const LONGEST: usize = 1 << 20;

/// # Safety
/// The bytes of `s` can be read now.
unsafe fn schema(s: menlou_str) -> Result<Option<Value>, String> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { s.bytes() };
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() > LONGEST {
        return Err(format!("longer than {LONGEST} bytes"));
    }
    match serde_json::from_slice(bytes) {
        Ok(schema @ Value::Object(_)) => schema_cost::check(&schema).map(|()| Some(schema)),
        Ok(_) => Err("a schema is a JSON object".into()),
        Err(e) => Err(e.to_string()),
    }
}
