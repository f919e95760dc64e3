//! `menlou validate`: performs all checks of `menlou run` without starting the gateway.

use crate::cli::{
    output::{fail, say, show_errors, show_warnings},
    runtime,
};
use crate::{
    gateway::{load_admin_certificate, load_certificates, open_library, plugin_folder, store_settings},
    permissions,
};
use menlou_config::{
    config_error::ConfigError,
    server::{Config, LoosePermissions},
};
use menlou_error::text::{Language, Text};
use menlou_store::Stores;
use std::{process::ExitCode, time::Duration};
use tokio::time::timeout;

/// Maximum time for a store to respond.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// Arguments of `validate`.
#[derive(clap::Args)]
pub struct Arguments {
    /// 不连接存储。Do not connect to the stores.
    #[arg(long)]
    offline: bool,
}

pub fn run(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>, arguments: &Arguments) -> ExitCode {
    let config = match config() {
        Ok(config) => config,
        Err(errors) => {
            show_errors(&errors);
            return summary(errors.len());
        }
    };
    let mut wrong = 0;
    let mut report = |text: &Text| {
        wrong += 1;
        let _ = fail(text);
    };
    if let Some(text) = config.keyring.is_set().then(|| config.keyring.keys().err()).flatten() {
        report(&Text::new(format!("[secrets] keys_file：{}", text.zh), format!("[secrets] keys_file: {}", text.en)));
    }
    let mut warnings = config.warnings.clone();
    for loaded in [load_certificates(&config), load_admin_certificate(&config)] {
        match loaded {
            Err(text) => report(&text),
            Ok(tls) => {
                for finding in tls.iter().flat_map(|tls| tls.findings()) {
                    let (file, text) = (finding.file, finding.text);
                    if finding.is_rejected {
                        let file = file.display();
                        report(&Text::new(format!("{file}：{}", text.zh), format!("{file}: {}", text.en)));
                    } else {
                        warnings.push(ConfigError::in_file(file, text));
                    }
                }
            }
        }
    }
    if let Some((file, text)) = config.keyring.file().zip(config.keyring.warning()) {
        warnings.push(ConfigError::in_file(file, text));
    }
    let loose = || plugin_folder(&config).map(|plugins| permissions::loose(&config, &plugins)).unwrap_or_default();
    match config.server.loose_permissions {
        LoosePermissions::Warn => warnings.extend(loose()),
        LoosePermissions::Refuse => loose().iter().for_each(|found| report(&found.text)),
        LoosePermissions::Ignore => {}
    }
    match open_library(&config) {
        Ok(library) => {
            for refused in library.rejected() {
                let (file, why) = (refused.path.display(), refused.why.text());
                report(&Text::new(format!("插件 {file}：{}", why.zh), format!("plugin {file}: {}", why.en)));
            }
            for plugin in library.plugins() {
                let actions = plugin.actions.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
                let (name, version) = (plugin.name, &plugin.version);
                say(format!("插件 {name} {version}：{actions}"), format!("plugin {name} {version}: {actions}"));
            }
            for (name, checked) in menlou_tenant::check_folder(&config.tenants.dir, &library, &config.keyring) {
                let (errors, served) = match checked {
                    Ok(validated) => {
                        warnings.extend(validated.warnings);
                        (validated.errors, validated.actions.into_keys().collect::<Vec<_>>())
                    }
                    Err(errors) => (errors, Vec::new()),
                };
                if errors.is_empty() {
                    let name = name.map(|n| n.as_str().to_owned()).unwrap_or_default();
                    let actions = served.join(", ");
                    say(format!("租户 {name}：{actions}"), format!("tenant {name}: {actions}"));
                }
                show_errors(&errors);
                wrong += errors.len();
            }
        }
        Err(text) => report(&text),
    }
    if !arguments.offline {
        match stores(&config) {
            Ok(()) => say("存储可用", "the stores are available"),
            Err(texts) => {
                wrong += texts.len();
                for text in &texts {
                    let _ = fail(text);
                }
            }
        }
    }
    show_warnings(&warnings);
    summary(wrong)
}

fn stores(config: &Config) -> Result<(), Vec<Text>> {
    let unavailable = |zh: &str, en: &str, why: String| Text::new(format!("{zh}不可用：{why}"), format!("{en}: {why}"));
    let runtime = runtime::start().map_err(|text| vec![text])?;
    runtime.block_on(async {
        let opened = Stores::open(&store_settings(config)).await;
        let stores = opened.map_err(|e| vec![unavailable("存储", "the store", e.to_string())])?;
        let (sessions, users) =
            tokio::join!(timeout(STORE_TIMEOUT, stores.ephemeral.ping()), timeout(STORE_TIMEOUT, stores.users.ping()));
        let mut wrong = Vec::new();
        for (zh, en, outcome) in [("会话存储", "the session store", sessions), ("用户存储", "the user store", users)]
        {
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(e)) => wrong.push(unavailable(zh, en, e.to_string())),
                Err(_) => wrong.push(unavailable(zh, en, "no response".into())),
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    })
}

fn summary(wrong: usize) -> ExitCode {
    match wrong {
        0 => {
            say("没有问题", "no errors");
            ExitCode::SUCCESS
        }
        n => {
            match Language::for_operator() {
                Language::Zh => errln!("共 {n} 处问题"),
                Language::En if n == 1 => errln!("1 error"),
                Language::En => errln!("{n} errors"),
            }
            ExitCode::FAILURE
        }
    }
}
