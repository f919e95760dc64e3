//! `menlou tenant create`: creates a tenant.

use super::{
    ask,
    context::{CommandFailure, CommandOutput, TenantContext, parse_name},
    secrets,
    verify::verify,
};
use crate::cli::output::{say, show_errors};
use menlou_action::Descriptor;
use menlou_config::{
    edit,
    schema::Schema,
    tenant::{self, TenantName},
};
use menlou_error::text::{Language, Text};
use menlou_tenant::{NewTenant, TenantFileError, new_tenant_file};
use serde_json::{Value, json};

/// Arguments of `tenant create`.
#[derive(clap::Args)]
pub struct Arguments {
    /// 租户名，即请求参数 f。Name of the tenant, which is the parameter f of requests.
    tenant: String,
    /// 显示名称，默认与租户名相同。Display name; default: the name of the tenant.
    #[arg(long)]
    name: Option<String>,
    /// 小程序的 AppID。AppID of the mini-program.
    #[arg(long)]
    appid: Option<String>,
    /// AppSecret 的引用：env:变量名 或 file:路径。Reference to the AppSecret: env:NAME or file:PATH.
    #[arg(long, value_name = "REFERENCE", conflicts_with = "secret_stdin")]
    secret: Option<String>,
    /// 从标准输入读取 AppSecret。Read the AppSecret from standard input.
    #[arg(long)]
    secret_stdin: bool,
    /// 要启用的动作，以逗号分隔，默认为 openid,login,user,logout。Actions to enable, separated by commas; default:
    /// openid,login,user,logout.
    #[arg(long, value_delimiter = ',')]
    actions: Option<Vec<String>>,
    /// 平台接口地址，仅测试时需要。Base URL of the platform's API, for tests only.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// 其他设置，如 session.ttl=1d；可重复。Any other setting, such as session.ttl=1d; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// 不请求平台验证。Do not verify with the platform.
    #[arg(long)]
    offline: bool,
}

/// Actions enabled by default, if a plugin provides them.
const ACTIONS: [&str; 4] = ["openid", "login", "user", "logout"];

pub fn run(context: &TenantContext<'_>, arguments: Arguments) -> Result<CommandOutput, CommandFailure> {
    let tenant = parse_name(&arguments.tenant)?;
    let files = context.files();
    ready(context, &tenant)?;
    let text = text(context, &tenant, &arguments)?;
    let saved = files.create(&tenant, &text).map_err(|r| CommandFailure::from_file_error(&tenant, r))?;
    let path = files.path(&tenant);
    if !context.json {
        say(format!("已写入 {}", path.display()), format!("created {}", path.display()));
        show_errors(&saved.errors);
    }
    let (verified, findings) = match arguments.offline {
        true => (true, Value::Null),
        false => verify(context, &tenant, &saved.after)?,
    };
    let actions =
        files.check(&tenant, &saved.after).map(|b| b.actions.into_keys().collect::<Vec<_>>()).unwrap_or_default();
    let call = Call::new(context, &tenant, &actions);
    if !context.json {
        if !verified {
            say(
                format!(
                    "文件已保存。换 AppSecret：menlou tenant edit {tenant} --set-secret wechat.secret\n改其他设置：menlou tenant edit {tenant}\n再次验证：menlou tenant verify {tenant}"
                ),
                format!(
                    "the file is saved. To change the AppSecret: menlou tenant edit {tenant} --set-secret wechat.secret\nto change other settings: menlou tenant edit {tenant}\nto verify again: menlou tenant verify {tenant}"
                ),
            );
        }
        call.print();
    }
    Ok(CommandOutput {
        ok: verified && saved.errors.is_empty(),
        json: json!({
            "tenant": tenant.as_str(),
            "file": path,
            "revision": saved.revision.to_string(),
            "faults": saved.errors,
            "findings": findings,
            "try": { "curl": call.curl, "wx": call.wx },
        }),
    })
}

/// Checks that the file can be created, before any question is asked.
fn ready(context: &TenantContext<'_>, tenant: &TenantName) -> Result<(), CommandFailure> {
    let folder = &context.config.tenants.dir;
    if !context.configured {
        let text = Text::new(
            format!(
                "这里没有网关配置（menlou.toml），也没有用 --config 指定：使用默认设置，租户文件夹为 {}",
                folder.display()
            ),
            format!(
                "there is no menlou.toml here, and --config is not given: the defaults apply, and the tenants' folder is {}",
                folder.display()
            ),
        );
        errln!("{}", text.get(Language::for_operator()));
    }
    if !folder.is_dir() {
        let folder = folder.display();
        return Err(CommandFailure::new(
            "no_folder",
            Text::new(
                format!("租户文件夹 {folder} 不存在：用 menlou init 新建，或用 --config 指定网关的配置"),
                format!(
                    "the tenants' folder {folder} does not exist: menlou init makes one; or name the gateway's config with --config"
                ),
            ),
        ));
    }
    match context.files().path(tenant).symlink_metadata() {
        Ok(_) => Err(CommandFailure::from_file_error(tenant, TenantFileError::Exists)),
        Err(_) => Ok(()),
    }
}

fn text(context: &TenantContext<'_>, tenant: &TenantName, arguments: &Arguments) -> Result<String, CommandFailure> {
    let asking = !context.json && !arguments.secret_stdin && ask::somebody();
    let needed = |flag: &str| {
        CommandFailure::usage(Text::new(
            format!("不在终端上，无法提问：请给出 {flag}"),
            format!("there is no terminal for questions: give {flag}"),
        ))
    };
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None if asking => {
            ask::fitting(&Text::fixed("显示名称", "display name"), Some(tenant.as_str()), fits("/properties/name"))?
        }
        None => tenant.as_str().to_owned(),
    };
    let appid = match &arguments.appid {
        Some(appid) => appid.clone(),
        None if asking => ask::fitting(&Text::fixed("小程序的 AppID", "AppID"), None, fits(APPID))?,
        None => return Err(needed("--appid")),
    };
    let question = Text::fixed(
        "AppSecret（不显示；也可写 env:变量名 或 file:路径）",
        "AppSecret (not shown; or env:NAME, file:PATH)",
    );
    let secret = match &arguments.secret {
        Some(reference) => secrets::reference(reference)?,
        None if asking || arguments.secret_stdin => {
            secrets::ask(context, tenant, &SECRET.map(str::to_owned), &question)?
        }
        None => return Err(needed("--secret-stdin")),
    };
    let usual: Vec<&str> = ACTIONS.into_iter().filter(|a| context.library.find(a, None).is_some()).collect();
    let actions = match &arguments.actions {
        Some(names) => descriptors(context, names.iter().map(String::as_str)).map_err(CommandFailure::usage)?,
        None if asking => {
            ask::fitting(&Text::fixed("要启用的动作", "actions to enable"), Some(&usual.join(",")), |line| {
                descriptors(context, line.split(','))
            })?
        }
        None => descriptors(context, usual.into_iter()).map_err(CommandFailure::usage)?,
    };
    let base_url = arguments.base_url.as_deref();
    let facts = NewTenant { tenant: tenant.as_str(), name: &name, appid: &appid, secret: &secret, base_url, actions };
    let text = new_tenant_file(&facts);
    let changes = super::edit::settings(&arguments.set)?;
    secrets::none_of(&changes, &text, context)?;
    edit::apply(&text, &changes).map_err(CommandFailure::usage)
}

const APPID: &str = "/properties/wechat/properties/appid";
const SECRET: [&str; 2] = ["wechat", "secret"];

/// Returns a check of an answer against the schema of a tenant's file at this pointer.
fn fits(place: &'static str) -> impl Fn(&str) -> Result<String, Text> {
    move |answer| {
        let schema = tenant::schema();
        let schema = schema.pointer(place).cloned().unwrap_or_default();
        let fits = Schema::compile(&schema).is_ok_and(|s| s.fits(&json!(answer)));
        let expected = |language| schema.pointer(&format!("/x-expected/{language}"))?.as_str();
        match (fits, expected("zh"), expected("en")) {
            (false, Some(zh), Some(en)) => Err(Text::new(format!("应为：{zh}"), format!("it must be {en}"))),
            (false, ..) => Err(Text::fixed("不符合要求", "invalid value")),
            (true, ..) => Ok(answer.to_owned()),
        }
    }
}

fn descriptors<'a, 'n>(
    context: &TenantContext<'a>,
    names: impl Iterator<Item = &'n str>,
) -> Result<Vec<&'a Descriptor>, Text> {
    let mut found: Vec<&Descriptor> = Vec::new();
    for name in names.map(str::trim).filter(|name| !name.is_empty()) {
        let Some((plugin, index)) = context.library.find(name, None) else {
            let near =
                context.library.nearest(name).map(|n| (format!("；是否想写 {n}？"), format!("; did you mean {n}?")));
            let (zh, en) = near.unwrap_or_default();
            return Err(Text::new(
                format!("没有插件提供动作 {name}{zh}"),
                format!("no plugin provides the action {name}{en}"),
            ));
        };
        let action = &plugin.actions[index];
        if found.iter().all(|known| known.name != action.name) {
            found.push(action);
        }
    }
    Ok(found)
}

/// Requests to try, as curl command and as wx.request.
struct Call {
    curl: String,
    wx: String,
}

impl Call {
    fn new(context: &TenantContext<'_>, tenant: &TenantName, actions: &[String]) -> Self {
        let mut listen = context.config.server.listen;
        if listen.ip().is_unspecified() {
            listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let openid = actions.is_empty() || actions.iter().any(|a| a == "openid");
        let action = if openid { "openid" } else { actions.first().map_or("openid", String::as_str) };
        let path = format!("/srv/?f={tenant}&a={action}");
        let code = if openid { " --data-urlencode 'code=CODE'" } else { "" };
        let (open, body, close) =
            if openid { ("wx.login({ success: ({ code }) => ", ", data: { code }", " })") } else { ("", "", "") };
        Self {
            curl: format!("curl -X POST 'http://{listen}{path}'{code}"),
            wx: format!(
                "{open}wx.request({{\n  url: 'https://api.example.com{path}', method: 'POST'{body},\n  success: ({{ data }}) => console.log(data),\n}}){close}"
            ),
        }
    }

    fn print(&self) {
        say("\n试一试（CODE 为 wx.login 得到的 code）：", "\nTo try it (CODE is the code from wx.login):");
        outln!("  {}", self.curl);
        say(
            "\n小程序中（把 api.example.com 换成网关的域名，并加入小程序后台的 request 合法域名）：",
            "\nIn the mini-program (replace api.example.com with the gateway's domain, and add the domain to request 合法域名, request domains, in the console):",
        );
        outln!("  {}", self.wx.replace('\n', "\n  "));
    }
}
