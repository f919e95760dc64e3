//! An action's description, and the `async fn` behind it.

use crate::{
    ffi,
    handler::Handler,
    response::IntoResponse,
    settings::{self, Settings},
    task,
};
use menlou_abi::*;
use schemars::{
    JsonSchema, Schema,
    generate::{Contract, SchemaSettings},
};
use serde::de::DeserializeOwned;

/// Who is served by an action.
///
/// ```
/// use menlou_plugin::{prelude::*, testing::Host};
/// use serde_json::json;
///
/// /// Each tenant says who may read.
/// #[derive(Default, Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields, default)]
/// struct Who {
///     /// none, session or required.
///     auth: Option<String>,
/// }
///
/// impl Settings for Who {}
///
/// async fn news(_: &Call<Who>, _: ()) -> Result<()> {
///     Ok(())
/// }
///
/// let action = || Action::new("news", news).access(Access::BySetting);
/// let host = Host::new().settings(json!({ "auth": "optional" }));
/// assert_eq!(host.run(action(), json!({})).error, None);
/// assert_eq!(Host::new().run(action(), json!({})).error.as_deref(), Some("login_required"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Access {
    /// Whoever calls.
    Anyone = MENLOU_ACCESS_ANYONE,
    /// Who has a session.
    Session = MENLOU_ACCESS_SESSION,
    /// Who has a session and is logged in: the openid is bound to an account.
    User = MENLOU_ACCESS_USER,
    /// As each tenant's setting [`login`](crate::Login) says: `session`, also where it is not given; `required` for users;
    /// or `none` for anyone, whose openid the call has where a token came along. The action's [`Settings`] need that field.
    BySetting = MENLOU_ACCESS_BY_SETTING,
}

/// An action as [`plugin!`](crate::plugin) takes it: a name, an `async fn`, and what it says of itself.
pub struct Action(menlou_action);

impl Action {
    /// An action from an `async fn(&Call<Settings>, Params) -> Result<Data>`; the data may be an
    /// [`Response`](crate::Response), which is a file if need be. Until told otherwise it serves anyone, by
    /// POST. `name` is `[a-z0-9][a-z0-9_-]{0,63}`.
    ///
    /// The parameters' type says what they must be like: the gateway checks them by its JSON Schema before the function is
    /// called, and a form's `"3"` becomes the number that is wanted. What may be absent is an `Option` or has a default.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Params {
    ///     /// How many, 1 to 9.
    ///     #[schemars(range(min = 1, max = 9))]
    ///     count: u8,
    ///     /// What for.
    ///     #[serde(default)]
    ///     #[schemars(length(max = 64))]
    ///     reason: Option<String>,
    ///     /// In which colour.
    ///     #[serde(default)]
    ///     colour: Colour,
    /// }
    ///
    /// #[derive(Default, Deserialize, JsonSchema)]
    /// #[serde(rename_all = "lowercase")]
    /// enum Colour {
    ///     /// As fire.
    ///     #[default]
    ///     Red,
    ///     /// As grass.
    ///     Green,
    /// }
    ///
    /// /// What was taken.
    /// #[derive(Serialize, JsonSchema)]
    /// struct Data {
    ///     /// How many are left.
    ///     left: u8,
    /// }
    ///
    /// async fn take(_: &Call, params: Params) -> Result<Data> {
    ///     match (params.colour, params.reason) {
    ///         (Colour::Green, None) => Err(Error::new("reason_needed").with_message("请说明原因", "Say what for.")),
    ///         _ => Ok(Data { left: 9 - params.count }),
    ///     }
    /// }
    ///
    /// let take = || Action::new("take", take).title("领取", "Take");
    /// assert_eq!(Host::new().run(take(), json!({ "count": "3" })).data["left"], 6);
    /// let reply = Host::new().run(take(), json!({ "count": 1, "colour": "green" }));
    /// assert_eq!(reply.error.as_deref(), Some("reason_needed"));
    /// assert_eq!(Host::new().run(take(), json!({})).error.as_deref(), Some("missing_parameter"));
    /// ```
    pub fn new<H, S, P, D>(name: &'static str, _handler: H) -> Self
    where
        H: Handler<S, P, D>,
        S: Settings,
        P: DeserializeOwned + JsonSchema,
        D: IntoResponse,
    {
        const { assert!(size_of::<H>() == 0, "an action is a plain async fn") };
        Self(menlou_action {
            struct_size: size_of::<menlou_action>() as u32,
            access: MENLOU_ACCESS_ANYONE,
            flags: 0,
            name: ffi::str(name),
            methods: ffi::str("POST"),
            title_zh: menlou_str::NONE,
            title_en: menlou_str::NONE,
            description_zh: menlou_str::NONE,
            description_en: menlou_str::NONE,
            params_schema: leak(&schema::<P>(Contract::Deserialize)),
            data_schema: leak(&match D::FILE {
                true => with_files(schema::<D::Data>(Contract::Serialize), "*/*"),
                false => schema::<D::Data>(Contract::Serialize),
            }),
            settings_schema: leak(&schema::<S>(Contract::Deserialize)),
            configure: Some(settings::configure::<S>),
            release: Some(settings::release::<S>),
            start: Some(task::start::<H, S, P, D>),
            poll: Some(task::poll::<H, S, P, D>),
            drop: Some(task::drop_task::<H, S, P, D>),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        // SAFETY: of `new`, which took it for ever.
        unsafe { ffi::text(self.0.name) }
    }

    /// Who is served; see [`Call::user`](crate::Call::user).
    pub fn access(mut self, access: Access) -> Self {
        self.0.access = access as u32;
        self
    }

    /// The HTTP methods it serves, comma-separated: `"GET,POST"`.
    pub fn methods(mut self, methods: &'static str) -> Self {
        self.0.methods = ffi::str(methods);
        self
    }

    /// Takes the body unread, of any media type and size: [`Call::read_body`](crate::Call::read_body) or
    /// [`Call::forward`](crate::Call::forward). Parameters are those of the query only.
    pub fn raw_body(mut self) -> Self {
        self.0.flags |= MENLOU_ACTION_RAW_BODY;
        self
    }

    /// Takes the query unread: [`Call::query`](crate::Call::query). It gives no parameters.
    pub fn raw_query(mut self) -> Self {
        self.0.flags |= MENLOU_ACTION_RAW_QUERY;
        self
    }

    /// Serves the URLs below the action's own too: [`Call::subpath`](crate::Call::subpath).
    pub fn subpaths(mut self) -> Self {
        self.0.flags |= MENLOU_ACTION_SUBPATHS;
        self
    }

    /// The media types of the files that it may answer with, comma-separated: `"image/jpeg,image/png"`. Any, unless told,
    /// for an action that returns an [`Response`](crate::Response); others don't answer with files.
    pub fn file_types(mut self, types: &'static str) -> Self {
        // SAFETY: JSON of our own, part of the descriptor.
        if let Ok(schema) = serde_json::from_str(unsafe { ffi::text(self.0.data_schema) }) {
            self.0.data_schema = leak(&with_files(schema, types));
        }
        self
    }

    /// A few words, in Chinese and English.
    pub fn title(mut self, zh: &'static str, en: &'static str) -> Self {
        (self.0.title_zh, self.0.title_en) = (ffi::str(zh), ffi::str(en));
        self
    }

    /// What it does, in Chinese and English.
    pub fn description(mut self, zh: &'static str, en: &'static str) -> Self {
        (self.0.description_zh, self.0.description_en) = (ffi::str(zh), ffi::str(en));
        self
    }
}

/// A type's JSON Schema as it is read or written, whole in itself; `()` is an object that needs nothing.
fn schema<T: JsonSchema>(contract: Contract) -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.contract = contract;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    if schema.get("type").is_some_and(|t| t == "null") {
        schema = schemars::json_schema!({ "type": "object", "properties": {}, "additionalProperties": false });
    }
    schema
}

/// The schema of data in place of which there may be a file of these media types, comma-separated.
fn with_files(mut schema: Schema, types: &str) -> Schema {
    let types: Vec<&str> = types.split(',').map(str::trim).collect();
    schema.insert("x-file".into(), types.into());
    schema
}

/// A schema as part of the descriptor, which lives for ever.
fn leak(schema: &Schema) -> menlou_str {
    ffi::str(String::leak(schema.as_value().to_string()))
}

/// Makes the descriptor, once per library. Used by [`plugin!`](crate::plugin).
#[doc(hidden)]
pub fn describe(name: &'static str, version: &'static str, actions: Vec<Action>) -> menlou_plugin {
    let actions: &'static [menlou_action] = Vec::leak(actions.into_iter().map(|a| a.0).collect());
    menlou_plugin {
        magic: MAGIC,
        struct_size: size_of::<menlou_plugin>() as u32,
        abi_major: MENLOU_ABI_MAJOR,
        abi_minor: MENLOU_ABI_MINOR,
        flags: if cfg!(panic = "unwind") { MENLOU_FLAG_CONTAINS_PANICS } else { 0 },
        sizes: SIZES,
        name: ffi::str(name),
        version: ffi::str(version),
        actions: actions.as_ptr(),
        actions_len: actions.len(),
        init: Some(crate::log::init),
    }
}

/// Makes the shared library's one exported function. `plugin` gives the same descriptor to tests.
///
/// ```
/// use menlou_plugin::prelude::*;
///
/// /// What the caller sends.
/// #[derive(Deserialize, JsonSchema)]
/// struct Params {
///     /// Whom to greet.
///     name: String,
/// }
///
/// /// What the caller gets.
/// #[derive(Serialize, JsonSchema)]
/// struct Data {
///     greeting: String,
/// }
///
/// async fn hello(call: &Call, params: Params) -> Result<Data> {
///     Ok(Data { greeting: format!("{} greets {}", call.tenant(), params.name) })
/// }
///
/// menlou_plugin::plugin! {
///     name: "hello",
///     actions: [Action::new("hello", hello).title("问候", "Greet")],
/// }
/// # fn main() {
/// let host = menlou_plugin::testing::Host::new();
/// let reply = host.call(plugin(), "hello", serde_json::json!({ "name": "Ann" }));
/// assert_eq!(reply.data["greeting"], "test greets Ann");
/// # }
/// ```
#[macro_export]
macro_rules! plugin {
    (name: $name:literal, actions: [$($action:expr),* $(,)?] $(,)?) => {
        /// This plugin's descriptor.
        pub fn plugin() -> &'static $crate::abi::menlou_plugin {
            static PLUGIN: std::sync::OnceLock<$crate::abi::menlou_plugin> = std::sync::OnceLock::new();
            PLUGIN.get_or_init(|| $crate::describe($name, env!("CARGO_PKG_VERSION"), vec![$($action),*]))
        }

        const _: () = {
            #[used]
            #[unsafe(link_section = ".note.menlou")]
            static NOTE: $crate::abi::menlou_note = $crate::abi::menlou_note::new($name, env!("CARGO_PKG_VERSION"));

            #[unsafe(no_mangle)]
            extern "C" fn menlou_plugin_v1(host_major: u16, _host_minor: u16) -> *const $crate::abi::menlou_plugin {
                match std::panic::catch_unwind(plugin) {
                    Ok(plugin) if host_major == $crate::abi::MENLOU_ABI_MAJOR => plugin,
                    _ => std::ptr::null(),
                }
            }
        };
    };
}
