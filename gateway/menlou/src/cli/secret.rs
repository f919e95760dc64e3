//! `menlou secret keygen|seal|rotate`: sealed secrets for config files, and the keys that open them.

mod rotate;

use crate::cli::output::{fail, say, show_errors};
use menlou_config::{
    config_error::ConfigError,
    edit,
    keyring::Keyring,
    save::{self, SaveError},
    schema,
    seal::{Field, Keys},
    secret::MAX_SECRET_SIZE,
    secret_text::normalize,
    server::{self, Config},
    tenant::{self, TenantName},
};
use menlou_error::text::Text;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use std::{
    fs::{self, OpenOptions},
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Arguments of `secret`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// 生成密封密钥文件（权限 0600，不覆盖已有文件）。Generate a key file (mode 0600; an existing file is not overwritten).
    Keygen {
        /// 文件，默认为 [secrets] keys_file 所指的文件；- 为标准输出。The file; default: the file in
        /// [secrets] keys_file; - is standard output.
        file: Option<PathBuf>,
        /// 在已有文件的开头加入新密钥，此后用它密封。Insert a new key at the start of an existing file; it seals from then on.
        #[arg(long)]
        add: bool,
    },
    /// 密封一个密钥并打印；密钥从提示或标准输入读取。Seal a secret, read from a prompt or standard input, and print it.
    Seal {
        /// 租户；不填则用于网关自身的配置。The tenant; without it, the gateway's own config.
        #[arg(long)]
        tenant: Option<String>,
        /// 字段，如 wechat.secret；密封值只在此字段有效。The field, such as wechat.secret; the sealed secret opens in this field only.
        #[arg(long)]
        field: String,
    },
    /// 用第一把密钥重新加密所有租户文件与网关配置中的密封值。Reencrypt the sealed secrets in all tenant files and the gateway's config with the
    /// first key.
    Rotate {
        /// 只显示将要做的改动。Only show what would be changed.
        #[arg(long)]
        dry_run: bool,
    },
}

/// `file` is the path of the config file, if there is one.
pub fn run(
    config: impl FnOnce() -> Result<Config, Vec<ConfigError>>,
    file: Option<&Path>,
    arguments: &Arguments,
) -> ExitCode {
    let outcome = match &arguments.command {
        Command::Keygen { file: Some(path), add } => make(path, *add),
        Command::Keygen { file: None, add } => with(config, |config| match config.keyring.file() {
            Some(path) => make(path, *add),
            None => Err(Text::fixed(
                "请写明文件：menlou secret keygen seal.keys（或先在 [secrets] keys_file 中配置）",
                "name a file: menlou secret keygen seal.keys (or configure one under [secrets] keys_file)",
            )),
        }),
        Command::Seal { tenant, field } => with(config, |config| seal(&config.keyring, tenant.as_deref(), field)),
        Command::Rotate { dry_run } => with(config, |config| rotate::run(config, file, *dry_run)),
    };
    match outcome {
        Ok(code) => code,
        Err(text) => fail(&text),
    }
}

fn with(
    config: impl FnOnce() -> Result<Config, Vec<ConfigError>>,
    run: impl FnOnce(&Config) -> Result<ExitCode, Text>,
) -> Result<ExitCode, Text> {
    config().map_or_else(
        |errors| {
            show_errors(&errors);
            Ok(ExitCode::FAILURE)
        },
        |config| run(&config),
    )
}

fn make(path: &Path, add: bool) -> Result<ExitCode, Text> {
    let key = Keys::generate()?;
    if path == Path::new("-") {
        outln!("{}", key.expose_secret());
        return Ok(ExitCode::SUCCESS);
    }
    let shown = path.display();
    let there = path.symlink_metadata().is_ok();
    if there && !add {
        return Err(Text::new(
            format!("{shown} 已存在，未改动；要轮换密钥，请用 --add 加入新密钥"),
            format!("{shown} already exists and was not changed; to rotate keys, add a new key with --add"),
        ));
    }
    let id = Keys::parse(&key)?.ids().next().unwrap_or_default().to_owned();
    if there {
        prepend(path, &key, &id)?;
        say(
            format!("已在 {shown} 最前面加入密钥 {id}；接着运行 menlou secret rotate，完成后即可删去旧密钥"),
            format!("key {id} is now the first key in {shown}; run menlou secret rotate, then remove the old keys"),
        );
        return Ok(ExitCode::SUCCESS);
    }
    create(path, &key, &id)
        .map_err(|e| Text::new(format!("无法写入 {shown}：{e}"), format!("{shown} can't be written: {e}")))?;
    let absolute = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let setting = format!("\n\n    [secrets]\n    keys_file = \"file:{}\"\n", absolute.display());
    say(
        format!("已生成密钥 {id}：{shown}。丢失后密封值将无法解开，请备份。在网关配置中加入：{setting}"),
        format!(
            "generated key {id} in {shown}. Without it, sealed secrets cannot be opened: keep a backup. Add to the gateway's config:{setting}"
        ),
    );
    Ok(ExitCode::SUCCESS)
}

fn line(key: &SecretString, id: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("{}  # {id}\n", key.expose_secret()))
}

fn create(path: &Path, key: &SecretString, id: &str) -> io::Result<()> {
    const HEAD: &str = "# Menlou 的密封密钥：第一把用于密封，全部可用于解封。\n# Menlou's keys for sealed secrets: the first key seals, every key opens.\n";
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(HEAD.as_bytes()).and_then(|()| file.write_all(line(key, id).as_bytes()));
    written.and_then(|()| file.sync_all()).inspect_err(|_| {
        // A partly written key file is useless.
        let _ = fs::remove_file(path);
    })
}

fn prepend(path: &Path, key: &SecretString, id: &str) -> Result<(), Text> {
    // This also verifies that the file contains keys.
    Keyring::from_file(path.to_owned()).keys()?;
    let shown = path.display();
    let before = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|e| Text::new(format!("无法读取 {shown}：{e}"), format!("{shown} can't be read: {e}")))?;
    let text = Zeroizing::new([line(key, id).as_str(), &before].concat());
    save::write_atomically(path, text.as_bytes()).map_err(|unsaved| match unsaved {
        SaveError::Refused(text) => text,
        SaveError::Exists => Text::fixed("文件已存在", "the file exists"),
    })
}

fn seal(keyring: &Keyring, tenant: Option<&str>, field: &str) -> Result<ExitCode, Text> {
    let tenant = tenant.map(TenantName::parse).transpose()?;
    let pointer: String = edit::parse_key(field)?.iter().map(|key| format!("/{}", schema::escape(key))).collect();
    can_hold_a_secret(tenant.is_some(), field, &pointer)?;
    let keys = keyring.keys()?;
    let field = Field { tenant: tenant.as_ref().map(TenantName::as_str), pointer: &pointer };
    outln!("{}", keys.seal(&read_secret()?, field)?);
    Ok(ExitCode::SUCCESS)
}

/// Rejects fields that cannot hold a secret. Otherwise a typo would be found only when the sealed secret is used.
fn can_hold_a_secret(of_tenant: bool, field: &str, pointer: &str) -> Result<(), Text> {
    let known = if of_tenant { tenant::secrets() } else { server::secrets() };
    let of_plugin = of_tenant && pointer.strip_prefix("/actions/").is_some_and(|rest| rest.contains('/'));
    if of_plugin || known.iter().any(|known| known == pointer) {
        return Ok(());
    }
    let mut names: Vec<String> = known.iter().map(|pointer| Field { tenant: None, pointer }.name()).collect();
    if of_tenant {
        names.push("actions.NAME.KEY".into());
    }
    let names = names.join(", ");
    Err(Text::new(
        format!(
            "{field} 处不能放密钥；可用的字段：{names}{}",
            if of_tenant { "" } else { "（租户的字段请加 --tenant）" }
        ),
        format!(
            "{field} cannot hold a secret; fields that hold secrets: {names}{}",
            if of_tenant { "" } else { " (for a tenant's fields, add --tenant)" }
        ),
    ))
}

/// Reads a secret from a prompt without echo, or from standard input, without line ends and blanks around it.
fn read_secret() -> Result<SecretString, Text> {
    let unreadable = |e: io::Error| Text::new(format!("无法读取密钥：{e}"), format!("the secret can't be read: {e}"));
    if io::stdin().is_terminal() {
        let secret = rpassword::prompt_password("密钥 Secret: ").map(SecretString::from).map_err(unreadable)?;
        return checked(secret.expose_secret());
    }
    // The buffer never grows: growing would leave a copy of the secret in freed memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET_SIZE as usize + 32));
    io::stdin().lock().take(MAX_SECRET_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_SECRET_SIZE {
        return Err(Text::fixed("密钥超过 64 KiB", "the secret is larger than 64 KiB"));
    }
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Text::fixed("密钥不是 UTF-8 编码", "the secret is not UTF-8"))?;
    checked(text)
}

fn checked(secret: &str) -> Result<SecretString, Text> {
    normalize(secret, "密钥", "the secret").map(SecretString::from)
}
