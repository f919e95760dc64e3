//! Secrets as a config names them: by environment variable, by file, or literally; never printed.

pub use super::schema::is_secret;
use crate::text::Text;
use schemars::{JsonSchema, Schema as JsonSchemaValue, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use std::{
    borrow::Cow,
    fmt,
    io::Read,
    path::{Path, PathBuf},
};

/// The largest secret that is read from a file, in bytes.
pub const LARGEST: u64 = 64 * 1024;

/// Looks a variable up: [`process_env`], or a test's own.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A secret, or where it is. Its `Debug` shows the kind only.
#[derive(Clone)]
pub enum SecretRef {
    /// `env:NAME`.
    Env(String),
    /// `file:PATH`.
    File(PathBuf),
    /// The secret itself.
    Literal(SecretString),
}

/// The process's environment.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl SecretRef {
    /// Reads what stands in a config.
    ///
    /// A literal that looks like a reference of another kind (`vault:…`, `$NAME`, `${NAME}`) is refused: it would
    /// become a password that anyone can guess. Addresses of databases (`redis://…`, `postgres://…`) are literals.
    ///
    /// # Errors
    /// What is wrong with it, without its value.
    pub fn parse(written: &str) -> Result<Self, Text> {
        const FORMS: Text = Text::fixed(
            "无法识别的密钥写法；请用 \"env:变量名\"、\"file:路径\"，或直接写密钥（不能像 \"方案:…\" 或 \"$…\"）",
            "this kind of secret is unknown; write \"env:NAME\", \"file:PATH\", or the secret itself (which must not look like \"scheme:…\" or \"$…\")",
        );
        if written.trim().is_empty() {
            return Err(Text::fixed("密钥为空", "the secret is empty"));
        }
        if written.trim() != written {
            return Err(Text::fixed("密钥首尾有空白", "the secret has white space around it"));
        }
        if let Some(name) = written.strip_prefix("env:") {
            let valid = !name.starts_with(|c: char| c.is_ascii_digit())
                && (1..=256).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return if valid {
                Ok(Self::Env(name.to_owned()))
            } else {
                Err(Text::fixed(
                    "\"env:\" 后应为变量名（字母、数字、下划线）",
                    "after \"env:\" comes the name of a variable: letters, digits, underscores",
                ))
            };
        }
        if let Some(path) = written.strip_prefix("file:") {
            return if path.is_empty() || path.contains('\0') {
                Err(Text::fixed("\"file:\" 后应为文件路径", "after \"file:\" comes the path of a file"))
            } else {
                Ok(Self::File(PathBuf::from(path)))
            };
        }
        if written.starts_with('$') || has_foreign_scheme(written) {
            return Err(FORMS);
        }
        Ok(Self::Literal(written.to_owned().into()))
    }

    /// The same with a relative path starting from `folder`.
    pub fn based(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            other => other,
        }
    }

    /// The secret itself. Relative paths start from `base`; a file's trailing line break is no part of the secret.
    ///
    /// # Errors
    /// What is missing, empty (blank, too) or unreadable: the variable or the path, never the value.
    pub fn resolve(&self, base: &Path, env: Env<'_>) -> Result<SecretString, Text> {
        match self {
            Self::Env(name) => match env(name) {
                Some(value) if value.trim().is_empty() => {
                    Err(Text::new(format!("环境变量 {name} 为空"), format!("the environment variable {name} is empty")))
                }
                Some(value) => Ok(value.into()),
                None => Err(Text::new(
                    format!("环境变量 {name} 未设置"),
                    format!("the environment variable {name} is not set"),
                )),
            },
            Self::File(path) => read(&base.join(path)),
            Self::Literal(secret) => Ok(secret.clone()),
        }
    }
}

fn has_foreign_scheme(written: &str) -> bool {
    const ADDRESSES: [&str; 6] = ["redis://", "rediss://", "postgres://", "postgresql://", "http://", "https://"];
    let Some((scheme, _)) = written.split_once(':') else { return false };
    let like_a_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.len() <= 32
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_'));
    like_a_scheme && !ADDRESSES.iter().any(|a| written.starts_with(a))
}

fn read(path: &Path) -> Result<SecretString, Text> {
    let shown = path.display();
    let unreadable = |e: std::io::Error| {
        Text::new(format!("无法读取密钥文件 {shown}：{e}"), format!("the secret's file {shown} can't be read: {e}"))
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    // Reading a pipe could wait for ever.
    if !metadata.is_file() {
        return Err(Text::new(
            format!("密钥文件 {shown} 不是普通文件"),
            format!("the secret's file {shown} is a folder or no regular file"),
        ));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Text::new(
            format!("密钥文件 {shown} 超过 64 KiB"),
            format!("the secret's file {shown} is larger than 64 KiB"),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Text::new(format!("密钥文件 {shown} 不是 UTF-8"), format!("the secret's file {shown} is not UTF-8"))
    })?;
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    if secret.trim().is_empty() {
        return Err(Text::new(format!("密钥文件 {shown} 为空"), format!("the secret's file {shown} is empty")));
    }
    Ok(secret.to_owned().into())
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Env(_) => "SecretRef::Env",
            Self::File(_) => "SecretRef::File",
            Self::Literal(_) => "SecretRef::Literal",
        })
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&written).map_err(|text| serde::de::Error::custom(text.en))
    }
}

impl JsonSchema for SecretRef {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> JsonSchemaValue {
        json_schema!({ "type": "string", "format": "secret" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn env(name: &str) -> Option<String> {
        match name {
            "SET" => Some("hunter2".into()),
            "BLANK" => Some("  ".into()),
            _ => None,
        }
    }

    fn resolve(written: &str, base: &Path) -> Result<String, String> {
        let secret = SecretRef::parse(written).map_err(|t| t.en.into_owned())?;
        secret.resolve(base, &env).map(|s| s.expose_secret().to_owned()).map_err(|t| t.en.into_owned())
    }

    #[test]
    fn a_secret_comes_from_a_variable_a_file_or_itself() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s"), "of a file \r\n").unwrap();
        assert_eq!(resolve("env:SET", folder.path()).unwrap(), "hunter2");
        assert_eq!(resolve("file:s", folder.path()).unwrap(), "of a file ");
        assert_eq!(
            resolve(&format!("file:{}", folder.path().join("s").display()), Path::new("/")).unwrap(),
            "of a file "
        );
        for literal in ["0123456789abcdef", "p@ss w0rd", "redis://:pw@127.0.0.1:6379/0", "postgres://u:p@h/db"] {
            assert_eq!(resolve(literal, folder.path()).unwrap(), literal);
        }
    }

    #[test]
    fn an_unresolved_or_empty_secret_is_an_error_that_names_its_place_only() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        std::fs::write(folder.path().join("binary"), [0xff, 0xfe]).unwrap();
        std::fs::write(folder.path().join("large"), vec![b'x'; 70_000]).unwrap();
        for (written, says) in [
            ("env:MISSING", "MISSING is not set"),
            ("env:BLANK", "BLANK is empty"),
            ("file:none", "none can't be read"),
            ("file:.", "is a folder or no regular file"),
            ("file:/dev/zero", "is a folder or no regular file"),
            ("file:empty", "is empty"),
            ("file:binary", "is not UTF-8"),
            ("file:large", "is larger than 64 KiB"),
        ] {
            let error = resolve(written, folder.path()).unwrap_err();
            assert!(error.contains(says), "{written}: {error}");
        }
    }

    #[test]
    fn what_looks_like_another_kind_of_reference_is_never_taken_for_the_secret() {
        for written in [
            "",
            " ",
            "env:",
            "env:A-B",
            "env:1A",
            "env: A",
            "file:",
            "ENV:A",
            "sealed:abc",
            "vault:kv/x",
            "$env://X",
            "$X",
            "${X}",
            "aws-sm:x",
            " literal",
            "literal\n",
        ] {
            assert!(SecretRef::parse(written).is_err(), "{written:?}");
        }
    }

    #[test]
    fn debug_shows_the_kind_only() {
        assert_eq!(format!("{:?}", SecretRef::parse("hunter2").unwrap()), "SecretRef::Literal");
    }
}
