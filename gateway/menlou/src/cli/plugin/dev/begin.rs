//! What a plugin author needs in an empty folder: a first tenant and a running gateway.

use crate::cli::output::say;
use menlou_action::Plugin;
use menlou_config::{
    save::{self, SaveError},
    tenant::TenantName,
};
use menlou_error::text::Text;
use menlou_tenant::NewTenant;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

/// Placeholder for the AppID of a mini-program that does not exist yet.
const APPID: &str = "wx0123456789abcdef";
const SECRET: &str = "not-needed-until-people-log-in";

/// Creates the tenant with the plugin's actions, if the folder has no tenant yet.
pub fn tenant(folder: &Path, name: &TenantName, plugin: &Plugin) -> Result<(), Text> {
    let path = folder.join(format!("{name}.toml"));
    if path.exists() {
        return Ok(());
    }
    let others = match fs::exists(folder) {
        Ok(false) => Vec::new(),
        _ => menlou_tenant::list_names(folder).map_err(|error| error.text)?.0,
    };
    if !others.is_empty() {
        let others = others.iter().map(TenantName::as_str).collect::<Vec<_>>().join(", ");
        return Err(Text::new(
            format!("没有租户 {name}：用 --tenant 指定 {others} 之一，或用 menlou tenant create {name} 新建"),
            format!(
                "there is no tenant {name}: name one of {others} by --tenant, or make it by menlou tenant create {name}"
            ),
        ));
    }
    let facts = NewTenant {
        tenant: name.as_str(),
        name: name.as_str(),
        appid: APPID,
        secret: SECRET,
        base_url: None,
        actions: plugin.actions.iter().collect(),
    };
    let unwritable = |e: std::io::Error| {
        let path = path.display();
        Text::new(format!("无法写入 {path}：{e}"), format!("{path} can't be written: {e}"))
    };
    fs::DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(unwritable)?;
    save::create(&path, menlou_tenant::new_tenant_file(&facts).as_bytes()).map_err(|unsaved| match unsaved {
        SaveError::Refused(text) => text,
        SaveError::Exists => unwritable(std::io::ErrorKind::AlreadyExists.into()),
    })?;
    let path = path.display();
    say(
        format!("还没有租户，已新建 {path} 并启用这些动作"),
        format!("there is no tenant yet: created {path} with these actions enabled"),
    );
    Ok(())
}

/// A running gateway, stopped on drop.
pub struct Gateway(Child);

impl Gateway {
    /// Starts `menlou run` with the same config. Its log goes to the terminal.
    pub fn start(config: Option<&Path>) -> Result<Self, Text> {
        let start = || -> io::Result<Child> {
            let mut run = Command::new(std::env::current_exe()?);
            run.arg("run").stdin(Stdio::null());
            if let Some(config) = config {
                run.arg("--config").arg(config);
            }
            run.spawn()
        };
        start()
            .map(Self)
            .map_err(|e| Text::new(format!("无法启动网关：{e}"), format!("could not start the gateway: {e}")))
    }

    /// The exit status, if the gateway has exit_status.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.exit_status().is_none() {
            // Fails if the process has just exit_status, which needs no handling.
            let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
            let _ = self.0.wait();
        }
    }
}
