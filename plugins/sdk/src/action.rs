//! The description of an action and the descriptor of a plugin.

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

/// Which callers may call an action.
///
/// ```
/// use menlou_plugin::{prelude::*, testing::Host};
/// use serde_json::json;
///
/// /// Each tenant decides who may read.
/// #[derive(Default, Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields, default)]
/// struct NewsSettings {
///     /// optional, session or required.
///     auth: Option<String>,
/// }
///
/// impl Settings for NewsSettings {}
///
/// async fn news(_: &Call<NewsSettings>, _: ()) -> Result<()> {
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
    /// Any caller.
    Anyone = MENLOU_ACCESS_ANYONE,
    /// A caller with a session.
    Session = MENLOU_ACCESS_SESSION,
    /// A logged-in caller: the openid of the session is bound to an account.
    User = MENLOU_ACCESS_USER,
    /// The setting [`auth`](crate::Auth) of each tenant decides: `session` (the default) requires a session, `required`
    /// a logged-in user, and `optional` allows any caller, whose openid is known if the request carried a token. The
    /// action's [`Settings`] must have that field.
    BySetting = MENLOU_ACCESS_BY_SETTING,
}

/// An action of a plugin: a name, an `async fn`, and its description. See [`plugin!`](crate::plugin).
pub struct Action(menlou_action);

impl Action {
    /// An action from an `async fn(&Call<Settings>, Params) -> Result<Data>`. `Data` may be a
    /// [`Response`](crate::Response), for actions that send files. By default the action allows any caller and serves
    /// POST. `name` must match `[a-z0-9][a-z0-9_-]{0,63}`.
    ///
    /// The type of the parameters becomes their JSON Schema. The gateway validates parameters by it before the function
    /// is called, and converts a form's `"3"` to a number if the schema asks for one. Optional parameters are an
    /// `Option` or have a default.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Params {
    ///     /// The number of items, 1 to 9.
    ///     #[schemars(range(min = 1, max = 9))]
    ///     count: u8,
    ///     /// The reason.
    ///     #[serde(default)]
    ///     #[schemars(length(max = 64))]
    ///     reason: Option<String>,
    ///     /// The colour.
    ///     #[serde(default)]
    ///     colour: Colour,
    /// }
    ///
    /// #[derive(Default, Deserialize, JsonSchema)]
    /// #[serde(rename_all = "lowercase")]
    /// enum Colour {
    ///     /// Red.
    ///     #[default]
    ///     Red,
    ///     /// Green.
    ///     Green,
    /// }
    ///
    /// /// The result.
    /// #[derive(Serialize, JsonSchema)]
    /// struct Data {
    ///     /// The number of items left.
    ///     left: u8,
    /// }
    ///
    /// async fn take(_: &Call, params: Params) -> Result<Data> {
    ///     match (params.colour, params.reason) {
    ///         (Colour::Green, None) => Err(Error::new("reason_needed").with_message("请说明原因", "A reason is required.")),
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
        const { assert!(size_of::<H>() == 0, "an action must be a plain async fn") };
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

    /// The name.
    pub(crate) fn name(&self) -> &'static str {
        // SAFETY: `new` took a `&'static str`.
        unsafe { ffi::text(self.0.name) }
    }

    /// Sets which callers are allowed; see [`Call::user`](crate::Call::user).
    pub fn access(mut self, access: Access) -> Self {
        self.0.access = access as u32;
        self
    }

    /// Sets the HTTP methods, comma-separated: `"GET,POST"`.
    pub fn methods(mut self, methods: &'static str) -> Self {
        self.0.methods = ffi::str(methods);
        self
    }

    /// Leaves the body unread; it may have any media type and size. The action reads it with
    /// [`Call::read_body`](crate::Call::read_body) or forwards it with [`Call::forward`](crate::Call::forward). Parameters
    /// come from the query only.
    pub fn raw_body(mut self) -> Self {
        self.0.flags |= MENLOU_ACTION_RAW_BODY;
        self
    }

    /// Leaves the query unparsed; it gives no parameters. See [`Call::query`](crate::Call::query).
    pub fn raw_query(mut self) -> Self {
        self.0.flags |= MENLOU_ACTION_RAW_QUERY;
        self
    }

    /// Also serves the URLs below the action's own; see [`Call::subpath`](crate::Call::subpath).
    pub fn subpaths(mut self) -> Self {
        self.0.flags |= MENLOU_ACTION_SUBPATHS;
        self
    }

    /// Sets the media types of the files that the action may send, comma-separated: `"image/jpeg,image/png"`. The default
    /// is any type for an action that returns a [`Response`](crate::Response); other actions send no files.
    pub fn file_types(mut self, types: &'static str) -> Self {
        // SAFETY: JSON that `new` made, part of the descriptor.
        if let Ok(schema) = serde_json::from_str(unsafe { ffi::text(self.0.data_schema) }) {
            self.0.data_schema = leak(&with_files(schema, types));
        }
        self
    }

    /// Sets the title, a few words in Chinese and in English.
    pub fn title(mut self, zh: &'static str, en: &'static str) -> Self {
        (self.0.title_zh, self.0.title_en) = (ffi::str(zh), ffi::str(en));
        self
    }

    /// Sets the description, in Chinese and in English.
    pub fn description(mut self, zh: &'static str, en: &'static str) -> Self {
        (self.0.description_zh, self.0.description_en) = (ffi::str(zh), ffi::str(en));
        self
    }
}

/// The self-contained JSON Schema of a type, for reading or for writing. `()` is an object without properties.
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

/// Adds the media types of files, comma-separated, that may be sent instead of the data.
fn with_files(mut schema: Schema, types: &str) -> Schema {
    let types: Vec<&str> = types.split(',').map(str::trim).collect();
    schema.insert("x-file".into(), types.into());
    schema
}

/// A schema as a part of the descriptor, which is never freed.
fn leak(schema: &Schema) -> menlou_str {
    ffi::str(String::leak(schema.as_value().to_string()))
}

/// Makes the descriptor, once per library. For [`plugin!`](crate::plugin) only.
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

/// Defines the exported function of the shared library, and `plugin()`, which returns the same descriptor to tests.
///
/// ```
/// use menlou_plugin::prelude::*;
///
/// /// The parameters.
/// #[derive(Deserialize, JsonSchema)]
/// struct Params {
///     /// The name to greet.
///     name: String,
/// }
///
/// /// The data.
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
        /// The descriptor of this plugin.
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
