//! `menlou admin token new|list|revoke`: manages the tokens of the admin API and console.

use crate::cli::{
    output::{fail, say, show_errors},
    runtime,
};
use crate::gateway::store_settings;
use menlou_admin::{Role, timestamp::Timestamp, tokens};
use menlou_config::{config_error::ConfigError, duration::ConfigDuration, server::Config};
use menlou_error::text::{Language, Text};
use menlou_store::{AdminToken, Stores};
use secrecy::ExposeSecret;
use std::{process::ExitCode, time::Duration};

/// Arguments of `admin`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// 管理令牌。Manage admin tokens.
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(clap::Subcommand)]
enum TokenCommand {
    /// 新建令牌；只显示这一次。Create a token; it is shown only once.
    New(New),
    /// 列出令牌。List the tokens.
    List {
        /// 以 JSON 输出。Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// 吊销令牌，立即生效。Revoke a token with immediate effect.
    Revoke {
        /// 令牌的 ID（mla_ 之后的 12 位）。Id of the token: the 12 digits after mla_.
        id: String,
    },
}

#[derive(clap::Args)]
struct New {
    /// 角色：operator、viewer 或 tenant:租户名。Role: operator, viewer or tenant:NAME.
    #[arg(long, value_parser = |role: &str| Role::parse(role).map_err(|text| text.get(Language::for_operator()).to_owned()))]
    role: Role,
    /// 有效期，如 90d、12h；never 为永不过期。Lifetime, such as 90d or 12h; never for no expiry.
    #[arg(long, default_value = "90d", value_parser = life)]
    expires: Life,
    /// 说明：使用者与用途。Label: who uses the token, and for what.
    #[arg(long, default_value = "")]
    label: String,
}

#[derive(Clone, Copy)]
struct Life(Option<Duration>);

fn life(written: &str) -> Result<Life, &'static str> {
    if written == "never" { Ok(Life(None)) } else { written.parse().map(|span: ConfigDuration| Life(Some(span.get()))) }
}

pub fn run(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>, arguments: Arguments) -> ExitCode {
    let Command::Token(command) = arguments.command;
    let config = match config() {
        Ok(config) => config,
        Err(errors) => {
            show_errors(&errors);
            return ExitCode::FAILURE;
        }
    };
    match act(&config, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fail(&text),
    }
}

fn act(config: &Config, command: TokenCommand) -> Result<(), Text> {
    runtime::start()?.block_on(async {
        let unavailable = |e: menlou_store::Error| Text::new(format!("存储不可用：{e}"), e.to_string());
        let stores = Stores::open(&store_settings(config)).await.map_err(unavailable)?;
        let admins = &*stores.admins;
        let by = format!("command line, uid {}", rustix::process::getuid().as_raw());
        match command {
            TokenCommand::New(New { role, expires, label }) => {
                let (token, whole) = tokens::create(admins, &by, &role, &label, expires.0).await?;
                // Print only the token on standard output, for scripts.
                outln!("{}", whole.expose_secret());
                print_expiry(&token);
                if let Role::Tenant(name) = &role
                    && !config.tenants.dir.join(format!("{name}.toml")).exists()
                {
                    match Language::for_operator() {
                        Language::Zh => errln!("注意：还没有租户 {name}。"),
                        Language::En => errln!("Note: there is no tenant {name} yet."),
                    }
                }
            }
            TokenCommand::List { json } => list(&admins.tokens().await.map_err(unavailable)?, json),
            TokenCommand::Revoke { id } => {
                if !tokens::revoke(admins, &by, &id).await? {
                    return Err(Text::new(format!("没有令牌 {id}"), format!("there is no token {id}")));
                }
                say(format!("已吊销令牌 {id}"), format!("token {id} is revoked"));
            }
        }
        Ok(())
    })
}

fn print_expiry(token: &AdminToken) {
    let (id, role) = (&token.id, &token.role);
    match (Language::for_operator(), token.expires_at.map(Timestamp)) {
        (Language::Zh, Some(end)) => errln!("令牌 {id}（{role}）有效至 {end}；它只显示这一次。"),
        (Language::Zh, None) => errln!("令牌 {id}（{role}）不过期；它只显示这一次。"),
        (Language::En, Some(end)) => errln!("Token {id} ({role}) is valid until {end}. It is shown only once."),
        (Language::En, None) => errln!("Token {id} ({role}) never expires. It is shown only once."),
    }
}

fn list(tokens: &[AdminToken], json: bool) {
    let time = |time: Option<i64>| time.map(Timestamp);
    if json {
        let all: Vec<_> = tokens
            .iter()
            .map(|t| {
                serde_json::json!({
                    "id": t.id, "role": t.role, "label": t.label, "created": Timestamp(t.created_at),
                    "expires": time(t.expires_at), "used": time(t.used_at),
                })
            })
            .collect();
        outln!("{}", serde_json::Value::Array(all));
        return;
    }
    let shown = |at: Option<i64>| time(at).map_or_else(|| "-".to_owned(), |time| time.to_string());
    outln!("{:12}  {:24}  {:20}  {:20}  {:20}  LABEL", "ID", "ROLE", "CREATED", "EXPIRES", "LAST USED");
    for t in tokens {
        let (created, expires, used) = (shown(Some(t.created_at)), shown(t.expires_at), shown(t.used_at));
        outln!("{:12}  {:24}  {created:20}  {expires:20}  {used:20}  {}", t.id, t.role, t.label);
    }
}
