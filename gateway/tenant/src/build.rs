//! From a tenant's file to a tenant that can serve: everything is checked, and nothing is started.

use super::folder;
use menlou_action::{ConfiguredAction, NamedAction, PluginRegistry};
use menlou_config::{
    config_error::{ConfigError, MAX_ERRORS},
    keyring::Keyring,
    load::Document,
    secret::SecretRef,
    settings,
    sources::{self, Files, Sources},
    tenant::{self, Cors, RateLimitConfig, TenantFile, TenantName},
};
use menlou_error::text::Text;
use menlou_platform::{PLATFORM_KEYS, PlatformCredentials};
use menlou_policy::Access;
use secrecy::SecretString;
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

/// A tenant that was checked whole; [`Tenant::new`](super::Tenant::new) puts it to work.
pub struct ValidatedTenant {
    /// The `f` of its requests.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// Credentials of its account at the platform.
    pub credentials: PlatformCredentials,
    /// How long its sessions live.
    pub session_ttl: Duration,
    /// Its actions; `None` where the plugin is missing or broken.
    pub actions: BTreeMap<String, Option<ConfiguredAction>>,
    /// Which web pages may call.
    pub cors: Cors,
    /// How much it may take.
    pub limits: RateLimitConfig,
    /// How much each action may take.
    pub action_limits: BTreeMap<String, RateLimitConfig>,
    /// What is wrong, and yet lets the rest serve.
    pub faults: Vec<ConfigError>,
    /// What had better be mended, though all works: secrets that stand in the file themselves.
    pub warnings: Vec<ConfigError>,
    /// The files that its secrets came from.
    pub sources: Files,
}

/// Checks a tenant's file: its own keys, its secrets, and each action's settings against the plugin's schema and by the
/// plugin itself.
///
/// # Errors
/// Every fault. Such a tenant must not serve as the file says.
pub fn check(
    name: &TenantName,
    doc: &Document,
    library: &PluginRegistry,
    keyring: &Keyring,
) -> Result<ValidatedTenant, Vec<ConfigError>> {
    // Such a file is not examined further: the work per action would be unbounded.
    tenant::check_bounds(doc).map_err(|fault| vec![fault])?;
    let (file, mut faults) = match TenantFile::read(doc) {
        Ok(file) => (Some(file), Vec::new()),
        Err(faults) => (None, faults),
    };
    // From the document rather than the file, here and below, so that faults elsewhere hide none.
    let sources = Sources::new(doc.folder(), &sources::process_env, keyring, Some(name.as_str()));
    let mut secret = |pointer: &str| {
        let reference = SecretRef::parse(doc.value(pointer)?.as_str()?).ok()?;
        sources.resolve(&reference, pointer).map_err(|text| faults.push(doc.fault_at(pointer, text))).ok()
    };
    let pointers = PLATFORM_KEYS.iter().flat_map(|keys| [keys.secret, keys.previous_secret]);
    let secrets: BTreeMap<&str, SecretString> = pointers.filter_map(|at| Some((at, secret(at)?))).collect();
    let credentials =
        file.as_ref().and_then(|file| PlatformCredentials::from_tenant_file(file, |at| secrets.get(at).cloned()));
    let (mut actions, mut lesser) = (BTreeMap::new(), Vec::new());
    let mut warnings: Vec<ConfigError> = PLATFORM_KEYS
        .iter()
        .flat_map(|keys| [keys.secret, keys.previous_secret])
        .filter_map(|at| settings::literal(doc, at))
        .collect();
    for (action, plugin) in tables(doc) {
        if faults.len() >= MAX_ERRORS {
            break;
        }
        let (pointer, own) = tenant::plugin_settings(doc, action);
        let Some((found, index)) = library.find(action, plugin) else {
            lesser.push(missing(doc, &pointer, plugin, action, library));
            actions.insert(action.clone(), None);
            continue;
        };
        let schema = &found.actions[index].settings;
        let mut wrong = own.check(&pointer, schema);
        if wrong.is_empty() {
            warnings.extend(settings::literals(&own, &pointer, schema));
            match settings::resolve(&own, &pointer, schema, &sources) {
                Ok(settings) => match ConfiguredAction::new(found.clone(), index, (name.as_str(), action), &settings) {
                    Ok(configured) => {
                        warnings.extend(of_nobody(doc, &pointer, &configured));
                        actions.insert(action.clone(), Some(configured));
                    }
                    Err(told) => wrong.extend(
                        told.into_iter().map(|(at, zh, en)| own.fault_at(&format!("{pointer}{at}"), Text::new(zh, en))),
                    ),
                },
                Err(unresolved) => wrong.extend(unresolved),
            }
        }
        faults.extend(wrong);
    }
    lesser.truncate(MAX_ERRORS);
    warnings.truncate(MAX_ERRORS);
    match (file, credentials) {
        (Some(file), Some(credentials)) if faults.is_empty() => Ok(ValidatedTenant {
            name: name.as_str().to_owned(),
            title: file.name,
            credentials,
            session_ttl: file.session.ttl.get(),
            cors: file.cors,
            limits: file.limits,
            action_limits: file.actions.into_iter().map(|(name, action)| (name, action.limits)).collect(),
            actions,
            faults: lesser,
            warnings,
            sources: sources.into_files(),
        }),
        _ => {
            faults.extend(lesser);
            faults.sort_by_key(ConfigError::position);
            faults.truncate(MAX_ERRORS);
            Err(faults)
        }
    }
}

/// A warning where an action has a limit by openid, and serves calls that have none.
fn of_nobody(doc: &Document, pointer: &str, action: &ConfiguredAction) -> Option<ConfigError> {
    let pointer = format!("{pointer}/limits/per_openid");
    doc.value(&pointer)?;
    let text = match action.access() {
        Access::Anyone => Text::fixed(
            "该动作不需要会话，`per_openid` 不起作用：请用 per_address 或 calls",
            "the action needs no session, so `per_openid` limits nobody: use per_address or calls",
        ),
        Access::Optional => Text::fixed(
            "该动作不要求会话，`per_openid` 限制不了不带令牌的调用：请同时用 per_address 或 calls",
            "the action serves calls without a session too, which `per_openid` doesn't limit: use per_address or calls as well",
        ),
        Access::Session | Access::User => return None,
    };
    Some(doc.fault_at(&pointer, text))
}

/// The actions that a tenant's file switches on, and what is wrong with the rest.
/// Secrets and settings are left alone.
pub fn enabled_actions<'a>(doc: &'a Document, library: &'a PluginRegistry) -> (Vec<NamedAction<'a>>, Vec<ConfigError>) {
    let (mut actions, mut faults) = (Vec::new(), Vec::new());
    for (action, plugin) in tables(doc) {
        match library.find(action, plugin) {
            Some((found, index)) => {
                let table = doc.value(&tenant::plugin_settings(doc, action).0).unwrap_or_default();
                actions.push(NamedAction::for_tenant(action, &found.actions[index], table));
            }
            None => faults.push(missing(doc, &tenant::plugin_settings(doc, action).0, plugin, action, library)),
        }
    }
    (actions, faults)
}

/// The names of `[actions.…]`, each with its `plugin`.
pub(super) fn tables(doc: &Document) -> impl Iterator<Item = (&String, Option<&str>)> {
    let tables = doc.value("/actions").and_then(serde_json::Value::as_object);
    let named = tables.into_iter().flatten().filter(|(action, table)| tenant::is_name(action) && table.is_object());
    named.map(|(action, table)| (action, table.get("plugin").and_then(serde_json::Value::as_str)))
}

/// What a file came to; without a name where the file's is no tenant's.
pub type Checked = (Option<TenantName>, Result<ValidatedTenant, Vec<ConfigError>>);

/// Checks every tenant of a folder.
pub fn check_folder(folder: &Path, library: &PluginRegistry, keyring: &Keyring) -> Vec<Checked> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => return vec![(None, Err(vec![unreadable(folder, &e)]))],
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| match folder::name(&path)? {
            Ok(name) => {
                let checked = folder::read(&path).and_then(|doc| check(&name, &doc, library, keyring));
                Some((Some(name), checked))
            }
            Err(fault) => Some((None, Err(vec![fault]))),
        })
        .collect()
}

/// The fault of a folder that can't be listed.
pub(super) fn unreadable(folder: &Path, e: &std::io::Error) -> ConfigError {
    ConfigError::in_file(
        folder,
        Text::new(format!("无法读取租户文件夹：{e}"), format!("the tenants' folder can't be read: {e}")),
    )
}

fn missing(doc: &Document, pointer: &str, plugin: Option<&str>, action: &str, library: &PluginRegistry) -> ConfigError {
    let wanted = plugin.unwrap_or(action);
    let refused = library.rejected().iter().find(|r| r.path.file_stem().is_some_and(|stem| stem == wanted));
    let text = match (refused, library.nearest(wanted)) {
        (Some(refused), _) => {
            let why = refused.why.text();
            let file = refused.path.display();
            Text::new(
                format!("动作 {action} 暂不可用：插件 {file} 未能加载：{}", why.zh),
                format!("the action {action} is unavailable: the plugin {file} was refused: {}", why.en),
            )
        }
        (None, Some(near)) => Text::new(
            format!("动作 {action} 暂不可用：没有插件提供 {wanted}；是否想写 {near}？"),
            format!("the action {action} is unavailable: no plugin offers {wanted}; did you mean {near}?"),
        ),
        (None, None) => Text::new(
            format!("动作 {action} 暂不可用：没有插件提供 {wanted}"),
            format!("the action {action} is unavailable: no plugin offers {wanted}"),
        ),
    };
    match plugin {
        Some(_) => doc.fault_showing(&format!("{pointer}/plugin"), text),
        None => doc.fault_at_key(pointer, text),
    }
}
