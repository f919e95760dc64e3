//! `menlou user add`: creates accounts with a password.

use crate::cli::{
    output::{fail, say, show_errors},
    runtime,
};
use crate::gateway::store_settings;
use menlou_config::{config_error::ConfigError, server::Config, tenant::TenantName};
use menlou_error::text::Text;
use menlou_policy::{password, profile};
use menlou_store::Stores;
use secrecy::{ExposeSecret, SecretString};
use std::{
    io::{self, BufRead, IsTerminal, Read},
    path::PathBuf,
    process::ExitCode,
};

/// Minimum length of a password, in characters.
const SHORTEST: usize = 8;
/// Maximum length of a password, in bytes.
const LONGEST: usize = 256;

/// Arguments of `user`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// 新建可用密码登录的账号；密码从提示或标准输入读取。Create an account with a password, which is read from a prompt or standard input.
    Add(Add),
}

#[derive(clap::Args)]
struct Add {
    /// 租户。The tenant.
    #[arg(long)]
    tenant: String,
    /// 账号（登录名）。Login name of the account.
    #[arg(long)]
    account: String,
    /// 显示的姓名，默认与账号相同。Display name; default: the login name.
    #[arg(long)]
    name: Option<String>,
    /// 头像地址。URL of the avatar.
    #[arg(long, default_value = "")]
    avatar_url: String,
}

pub fn run(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>, arguments: Arguments) -> ExitCode {
    let Command::Add(add) = arguments.command;
    let config = match config() {
        Ok(config) => config,
        Err(errors) => {
            show_errors(&errors);
            return ExitCode::FAILURE;
        }
    };
    match make(&config, &add) {
        Ok(id) => {
            let (tenant, account) = (&add.tenant, &add.account);
            say(
                format!("已新建账号：租户 {tenant}，账号 {account}，用户 ID {id}"),
                format!("created account: tenant {tenant}, account {account}, user id {id}"),
            );
            ExitCode::SUCCESS
        }
        Err(text) => fail(&text),
    }
}

fn make(config: &Config, add: &Add) -> Result<i64, Text> {
    let tenant = TenantName::parse(&add.tenant)?;
    let file: PathBuf = config.tenants.dir.join(format!("{}.toml", tenant.as_str()));
    if !file.exists() {
        let file = file.display();
        return Err(Text::new(
            format!("没有租户 {}：找不到 {file}", tenant.as_str()),
            format!("there is no tenant {}: {file} does not exist", tenant.as_str()),
        ));
    }
    within("account", "账号", &add.account, 1, 64)?;
    let name = add.name.as_deref().unwrap_or(&add.account);
    within("name", "姓名", name, 1, 64)?;
    within("avatar-url", "头像地址", &add.avatar_url, 0, 2048)?;
    let name = &profile::require_name(name).map_err(|e| e.text().clone())?;
    profile::require_avatar_url(&add.avatar_url).map_err(|_| {
        Text::fixed(
            "头像地址应为公网的 https:// 地址",
            "--avatar-url must be an https:// address that others can reach",
        )
    })?;
    let password = read_password()?;
    let hash = password::hash(&password).map_err(|e| e.text().clone())?;
    runtime::start()?.block_on(async {
        let unavailable = |e: menlou_store::Error| Text::new(format!("存储不可用：{e}"), e.to_string());
        let stores = Stores::open(&store_settings(config)).await.map_err(unavailable)?;
        let added = stores.users.add(tenant.as_str(), &add.account, &hash, name, &add.avatar_url).await;
        added.map_err(unavailable)?.map(|user| user.id).ok_or_else(|| {
            Text::new(format!("账号 {} 已存在", add.account), format!("the account {} already exists", add.account))
        })
    })
}

fn within(en: &str, zh: &str, text: &str, least: usize, most: usize) -> Result<(), Text> {
    if (least..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Text::new(
        format!("{zh}应为 {least} 至 {most} 个字符"),
        format!("--{en} must have {least} to {most} characters"),
    ))
}

/// Reads a password twice from a prompt without echo, or from the first line of standard input.
fn read_password() -> Result<SecretString, Text> {
    let unreadable =
        |e: io::Error| Text::new(format!("无法读取密码：{e}"), format!("could not read the password: {e}"));
    let password = if io::stdin().is_terminal() {
        let ask = |text: &str| rpassword::prompt_password(text).map(SecretString::from).map_err(unreadable);
        let first = ask("密码 Password: ")?;
        if ask("再次输入 Again: ")?.expose_secret() != first.expose_secret() {
            return Err(Text::fixed("两次输入不一致", "the passwords do not match"));
        }
        first
    } else {
        let mut line = String::new();
        io::stdin().lock().take(LONGEST as u64 + 2).read_line(&mut line).map_err(unreadable)?;
        SecretString::from(line.trim_end_matches(['\r', '\n']))
    };
    let text = password.expose_secret();
    if text.chars().count() < SHORTEST || text.len() > LONGEST {
        return Err(Text::new(
            format!("密码应为 {SHORTEST} 个字符至 {LONGEST} 字节"),
            format!("a password must have at least {SHORTEST} characters and at most {LONGEST} bytes"),
        ));
    }
    Ok(password)
}
