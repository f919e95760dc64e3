//! `menlou plugin new`: creates a plugin that builds anywhere, with all its dependencies on Menlou included.

use super::sources;
use crate::cli::output::{fail, say};
use crate::gateway::plugin_folder;
use menlou_config::{config_error::ConfigError, server::Config, tenant::is_name};
use menlou_error::text::Text;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Arguments of `plugin new`.
#[derive(clap::Args)]
pub struct Arguments {
    /// 插件名，也是动作名与文件夹名。Name of the plugin, of its action and of its folder.
    name: String,
    /// 语言。Programming language.
    #[arg(long, value_enum, default_value = "rust")]
    lang: Lang,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Lang {
    /// Rust
    Rust,
    /// C
    C,
}

/// Maximum length of a plugin's name, in bytes: the ELF note in the plugin's file has room for as many.
const MAX_NAME_LENGTH: usize = 32;

/// Names that a Rust crate cannot have: keywords, and the dependencies of the scaffold.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "menlou_abi",
    "menlou_plugin",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "schemars",
    "self",
    "serde",
    "serde_json",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "union",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

pub fn run(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>, arguments: &Arguments) -> ExitCode {
    let folder = Path::new(&arguments.name);
    let made = check(&arguments.name, arguments.lang).and_then(|()| {
        write(folder, &files(&arguments.name, arguments.lang)).map_err(|e| {
            let folder = folder.display();
            Text::new(format!("无法写入 {folder}：{e}"), format!("{folder} can't be written: {e}"))
        })
    });
    match made {
        Ok(()) => {
            next(&arguments.name, arguments.lang, &plugins(config));
            ExitCode::SUCCESS
        }
        Err(text) => fail(&text),
    }
}

fn check(name: &str, lang: Lang) -> Result<(), Text> {
    if !is_name(name) || name.len() > MAX_NAME_LENGTH {
        return Err(Text::new(
            format!("插件名应为 1 至 {MAX_NAME_LENGTH} 个 a-z、0-9、_、-，以字母或数字开头"),
            format!(
                "a plugin's name has 1 to {MAX_NAME_LENGTH} characters of a-z, 0-9, _ and -, and starts with a letter or digit"
            ),
        ));
    }
    if let Lang::Rust = lang {
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Text::fixed(
                "Rust 的 crate 名不能以数字开头",
                "the name of a Rust crate must not start with a digit",
            ));
        }
        if RESERVED.contains(&ident(name).as_str()) {
            return Err(Text::new(
                format!("Rust 的 crate 不能叫 {name}，请换一个名字"),
                format!("a Rust crate cannot be called {name}: choose another name"),
            ));
        }
    }
    let folder = Path::new(name);
    let free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    };
    if free {
        return Ok(());
    }
    Err(Text::new(
        format!("{name} 已存在且不是空文件夹：请换一个名字，或先移走它"),
        format!("{name} exists and is not an empty folder: choose another name, or move it away"),
    ))
}

/// The name of the crate in Rust code, and of the library that Cargo builds.
fn ident(name: &str) -> String {
    name.replace('-', "_")
}

/// The files of the scaffold, with their paths.
fn files(name: &str, lang: Lang) -> Vec<(PathBuf, String)> {
    let named = |text: &str| text.replace("libhello", &format!("lib{}", ident(name))).replace("hello", name);
    let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
    macro_rules! hello {
        ($path:literal) => {
            named(include_str!(concat!("../../../../../plugins/hello/", $path)))
        };
    }
    match lang {
        Lang::C => vec![
            file(&format!("{name}.c"), &hello!("scaffold/hello.c")),
            file("Makefile", &hello!("scaffold/Makefile")),
            file("README.md", &hello!("scaffold/c.md")),
            file(".gitignore", "*.so\n"),
            file("menlou_plugin.h", sources::HEADER),
        ],
        Lang::Rust => {
            let own = [
                file("src/lib.rs", &hello!("src/lib.rs")),
                file("Cargo.toml", &named(&sources::hello())),
                file("README.md", &hello!("scaffold/rust.md")),
                file(".gitignore", "/target\n"),
                file("menlou/abi/Cargo.toml", &sources::abi()),
                file("menlou/sdk/Cargo.toml", &sources::sdk()),
                file("menlou/LICENSE", sources::LICENSE),
            ];
            let ours = sources::SOURCES.iter().map(|(path, text)| file(&format!("menlou/{path}"), text));
            own.into_iter().chain(ours).collect()
        }
    }
}

fn write(folder: &Path, files: &[(PathBuf, String)]) -> io::Result<()> {
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    Ok(())
}

/// The plugin folder of the gateway configured here.
fn plugins(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>) -> PathBuf {
    let folder = config().ok().and_then(|config| plugin_folder(&config).ok());
    let folder = folder.unwrap_or_else(|| PathBuf::from("plugins"));
    std::path::absolute(&folder).unwrap_or(folder)
}

/// Prints the next steps.
fn next(name: &str, lang: Lang, plugins: &Path) {
    say(format!("已新建 {name}/。构建并运行：\n"), format!("created {name}/. Build and run it:\n"));
    outln!("    menlou plugin dev {name} --tenant demo");
    say("\n或逐步执行：\n", "\nOr step by step:\n");
    outln!("    cd {name}");
    let built = match lang {
        Lang::Rust => {
            outln!("    cargo test");
            outln!("    cargo build --release");
            format!("target/release/lib{}.so", ident(name))
        }
        Lang::C => {
            outln!("    make");
            format!("{name}.so")
        }
    };
    outln!("    menlou plugin check {built}");
    let place = plugins.join(format!("{name}.so"));
    let place = place.display();
    outln!("    cp {built} '{place}.new' && mv '{place}.new' '{place}'");
    say("\n在租户文件（如 tenants/demo.toml）中加一行：\n", "\nAdd to a tenant's file, such as tenants/demo.toml:\n");
    outln!("    [actions.{name}]");
    say("\n网关运行后（menlou run）发送请求：\n", "\nSend a request to the running gateway (menlou run):\n");
    outln!("    curl -d name=Ann 'http://127.0.0.1:8080/srv/?f=demo&a={name}'");
}
