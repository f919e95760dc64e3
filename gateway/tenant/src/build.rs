//! Validates a tenant file completely, without starting anything.

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

/// A validated tenant file. [`Tenant::new`](super::Tenant::new) puts it in service.
pub struct ValidatedTenant {
    /// The `f` of its requests.
    pub name: String,
    /// Its display name.
    pub title: String,
    /// Credentials of its account at the platform.
    pub credentials: PlatformCredentials,
    /// Lifetime of its sessions.
    pub session_ttl: Duration,
    /// Its actions; `None` if the plugin is missing or was rejected.
    pub actions: BTreeMap<String, Option<ConfiguredAction>>,
    /// Which web pages may send requests.
    pub cors: Cors,
    /// The limits of the tenant.
    pub limits: RateLimitConfig,
    /// The limits of each action.
    pub action_limits: BTreeMap<String, RateLimitConfig>,
    /// Errors that affect single actions only: the tenant serves without those actions.
    pub errors: Vec<ConfigError>,
    /// Settings that work but should be changed, such as secrets in plain text.
    pub warnings: Vec<ConfigError>,
    /// The files that its secrets were read from.
    pub sources: Files,
}

/// Validates a tenant file: its own keys, its secrets, and the settings of each action, by the plugin's schema and by the
/// plugin itself.
///
/// # Errors
/// All errors in the file. The tenant must not be put in service with it.
pub fn check(
    name: &TenantName,
    doc: &Document,
    library: &PluginRegistry,
    keyring: &Keyring,
) -> Result<ValidatedTenant, Vec<ConfigError>> {
    // Such a file is not examined further: the work per action would be unbounded.
    tenant::check_bounds(doc).map_err(|error| vec![error])?;
    let (file, mut errors) = match TenantFile::read(doc) {
        Ok(file) => (Some(file), Vec::new()),
        Err(errors) => (None, errors),
    };
    // Here and below the document is read instead of the parsed file, so that an error in one place hides no other.
    let sources = Sources::new(doc.folder(), &sources::process_env, keyring, Some(name.as_str()));
    let mut secret = |pointer: &str| {
        let reference = SecretRef::parse(doc.value(pointer)?.as_str()?).ok()?;
        sources.resolve(&reference, pointer).map_err(|text| errors.push(doc.error_at(pointer, text))).ok()
    };
    let pointers = PLATFORM_KEYS.iter().flat_map(|keys| [keys.secret, keys.previous_secret]);
    let secrets: BTreeMap<&str, SecretString> = pointers.filter_map(|at| Some((at, secret(at)?))).collect();
    let credentials =
        file.as_ref().and_then(|file| PlatformCredentials::from_tenant_file(file, |at| secrets.get(at).cloned()));
    let (mut actions, mut action_errors) = (BTreeMap::new(), Vec::new());
    let mut warnings: Vec<ConfigError> = PLATFORM_KEYS
        .iter()
        .flat_map(|keys| [keys.secret, keys.previous_secret])
        .filter_map(|at| settings::literal(doc, at))
        .collect();
    for (action, plugin) in enabled_tables(doc) {
        if errors.len() >= MAX_ERRORS {
            break;
        }
        let (pointer, own) = tenant::plugin_settings(doc, action);
        let Some((found, index)) = library.find(action, plugin) else {
            action_errors.push(missing_plugin(doc, &pointer, plugin, action, library));
            actions.insert(action.clone(), None);
            continue;
        };
        let schema = &found.actions[index].settings;
        let mut invalid = own.check(&pointer, schema);
        if invalid.is_empty() {
            warnings.extend(settings::literals(&own, &pointer, schema));
            match settings::resolve(&own, &pointer, schema, &sources) {
                Ok(settings) => match ConfiguredAction::new(found.clone(), index, (name.as_str(), action), &settings) {
                    Ok(configured) => {
                        warnings.extend(ineffective_limit(doc, &pointer, &configured));
                        actions.insert(action.clone(), Some(configured));
                    }
                    Err(reported) => invalid.extend(
                        reported
                            .into_iter()
                            .map(|(at, zh, en)| own.error_at(&format!("{pointer}{at}"), Text::new(zh, en))),
                    ),
                },
                Err(unresolved) => invalid.extend(unresolved),
            }
        }
        errors.extend(invalid);
    }
    action_errors.truncate(MAX_ERRORS);
    warnings.truncate(MAX_ERRORS);
    match (file, credentials) {
        (Some(file), Some(credentials)) if errors.is_empty() => Ok(ValidatedTenant {
            name: name.as_str().to_owned(),
            title: file.name,
            credentials,
            session_ttl: file.session.ttl.get(),
            cors: file.cors,
            limits: file.limits,
            action_limits: file.actions.into_iter().map(|(name, action)| (name, action.limits)).collect(),
            actions,
            errors: action_errors,
            warnings,
            sources: sources.into_files(),
        }),
        _ => {
            errors.extend(action_errors);
            errors.sort_by_key(ConfigError::position);
            errors.truncate(MAX_ERRORS);
            Err(errors)
        }
    }
}

/// A warning if an action has a limit by openid but also serves requests without an openid.
fn ineffective_limit(doc: &Document, pointer: &str, action: &ConfiguredAction) -> Option<ConfigError> {
    let pointer = format!("{pointer}/limits/per_openid");
    doc.value(&pointer)?;
    let text = match action.access() {
        Access::Anyone => Text::fixed(
            "该动作不需要会话，`per_openid` 不起作用：请用 per_address 或 calls",
            "the action needs no session, so `per_openid` has no effect: use per_address or calls",
        ),
        Access::Optional => Text::fixed(
            "该动作不要求会话，`per_openid` 对不带令牌的请求不起作用：请同时用 per_address 或 calls",
            "the action also serves requests without a session, which `per_openid` does not limit: use per_address or calls too",
        ),
        Access::Session | Access::User => return None,
    };
    Some(doc.error_at(&pointer, text))
}

/// The actions that a tenant file enables, and an error for each action whose plugin is missing. Secrets and settings are
/// not checked.
pub fn enabled_actions<'a>(doc: &'a Document, library: &'a PluginRegistry) -> (Vec<NamedAction<'a>>, Vec<ConfigError>) {
    let (mut actions, mut errors) = (Vec::new(), Vec::new());
    for (action, plugin) in enabled_tables(doc) {
        match library.find(action, plugin) {
            Some((found, index)) => {
                let table = doc.value(&tenant::plugin_settings(doc, action).0).unwrap_or_default();
                actions.push(NamedAction::for_tenant(action, &found.actions[index], table));
            }
            None => errors.push(missing_plugin(doc, &tenant::plugin_settings(doc, action).0, plugin, action, library)),
        }
    }
    (actions, errors)
}

/// The names of the tables `[actions.NAME]`, each with its `plugin`.
pub(super) fn tables(doc: &Document) -> impl Iterator<Item = (&String, Option<&str>)> {
    let tables = doc.value("/actions").and_then(serde_json::Value::as_object);
    let named = tables.into_iter().flatten().filter(|(action, table)| tenant::is_name(action) && table.is_object());
    named.map(|(action, table)| (action, table.get("plugin").and_then(serde_json::Value::as_str)))
}

/// [`tables`] without the actions that are switched off.
fn enabled_tables(doc: &Document) -> impl Iterator<Item = (&String, Option<&str>)> {
    tables(doc).filter(move |(action, _)| {
        let table = doc.value("/actions").and_then(|actions| actions.get(action.as_str()));
        table.and_then(|table| table.get("disabled")) != Some(&serde_json::Value::Bool(true))
    })
}

/// The result for a file. The name is `None` if the file's name is not a valid tenant name.
pub type Checked = (Option<TenantName>, Result<ValidatedTenant, Vec<ConfigError>>);

/// Validates all tenant files of a folder.
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
            Err(error) => Some((None, Err(vec![error]))),
        })
        .collect()
}

/// The error for a folder that cannot be read.
pub(super) fn unreadable(folder: &Path, e: &std::io::Error) -> ConfigError {
    ConfigError::in_file(
        folder,
        Text::new(format!("无法读取租户文件夹：{e}"), format!("could not read the tenant folder: {e}")),
    )
}

/// The error for an action whose plugin is missing or was rejected.
fn missing_plugin(
    doc: &Document,
    pointer: &str,
    plugin: Option<&str>,
    action: &str,
    library: &PluginRegistry,
) -> ConfigError {
    let wanted = plugin.unwrap_or(action);
    let rejected = library.rejected().iter().find(|r| r.path.file_stem().is_some_and(|stem| stem == wanted));
    let text = match (rejected, library.nearest(wanted)) {
        (Some(rejected), _) => {
            let why = rejected.why.text();
            let file = rejected.path.display();
            Text::new(
                format!("动作 {action} 暂不可用：插件 {file} 未能加载：{}", why.zh),
                format!("the action {action} is unavailable: the plugin {file} was rejected: {}", why.en),
            )
        }
        (None, Some(near)) => Text::new(
            format!("动作 {action} 暂不可用：没有插件提供 {wanted}；是否想写 {near}？"),
            format!("the action {action} is unavailable: no plugin provides {wanted}; did you mean {near}?"),
        ),
        (None, None) => Text::new(
            format!("动作 {action} 暂不可用：没有插件提供 {wanted}"),
            format!("the action {action} is unavailable: no plugin provides {wanted}"),
        ),
    };
    match plugin {
        Some(_) => doc.error_with_value(&format!("{pointer}/plugin"), text),
        None => doc.error_at_key(pointer, text),
    }
}
