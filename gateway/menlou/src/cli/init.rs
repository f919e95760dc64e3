//! `menlou init`: writes what a first start needs into a folder: a config with every setting, and the folder of tenants.

use crate::cli::output::{fail, say};
use menlou_error::text::Text;
use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The config that is written: every setting with its default, none set.
const CONFIG: &str = include_str!("../../../menlou.toml");

/// Arguments of `init`.
#[derive(clap::Args)]
pub struct Arguments {
    /// 文件夹，默认为当前文件夹；不存在时创建。The folder; default: the current one. It is created if it is missing.
    #[arg(default_value = ".", hide_default_value = true)]
    folder: PathBuf,
}

/// Writes the files. `named` is the config file of `--config`, which this command does not take.
pub fn run(named: Option<&Path>, arguments: &Arguments) -> ExitCode {
    if named.is_some() {
        return fail(&Text::fixed(
            "init 不接受 --config：请写 menlou init 文件夹",
            "init takes a folder instead of --config: menlou init FOLDER",
        ));
    }
    let (config, tenants) = (arguments.folder.join("menlou.toml"), arguments.folder.join("tenants"));
    for (path, written) in [(&tenants, make_folder(&tenants)), (&config, write_new(&config))] {
        match written {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let path = path.display();
                return fail(&Text::new(
                    format!("{path} 已存在，没有改动：请另选文件夹，或直接 menlou validate --config {path}"),
                    format!(
                        "{path} exists and was not changed: name another folder, or run menlou validate --config {path}"
                    ),
                ));
            }
            Err(e) => {
                let path = path.display();
                return fail(&Text::new(format!("无法写入 {path}：{e}"), format!("could not write {path}: {e}")));
            }
        }
    }
    let (config, tenants) = (config.display(), tenants.display());
    say(
        format!(
            "已写入 {config}（列出全部设置及默认值）与 {tenants}/。接下来：\n  \
             menlou --config {config} tenant create NAME   # 创建租户：询问 AppID 与 AppSecret\n  \
             menlou --config {config} validate             # 检查\n  \
             menlou --config {config} run                  # 启动"
        ),
        format!(
            "wrote {config}, which lists every setting with its default, and {tenants}/. Next:\n  \
             menlou --config {config} tenant create NAME   # asks for AppID and AppSecret\n  \
             menlou --config {config} validate             # checks everything\n  \
             menlou --config {config} run                  # starts the gateway"
        ),
    );
    ExitCode::SUCCESS
}

/// Makes the folder of tenants, readable by its owner and group. One that exists stays as it is.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(path)
}

/// Writes the config, readable by its owner only, since it may come to hold secrets.
fn write_new(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(CONFIG.as_bytes())
}
