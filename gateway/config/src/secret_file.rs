//! Reads files that hold one secret.

use super::{secret::MAX_SECRET_SIZE, secret_text};
use menlou_error::text::Text;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use std::{io::Read, path::Path};

/// Reads the secret in a file, without what editors add around it.
///
/// # Errors
/// The file is unreadable, not a regular file, larger than 64 KiB, not UTF-8, blank, or contains an invisible character.
pub fn read(path: &Path) -> Result<SecretString, Text> {
    let (text, shown) = (read_lines(path)?, path.display());
    let (zh, en) = (format!("密钥文件 {shown}"), format!("the secret file {shown}"));
    secret_text::normalize(text.expose_secret(), &zh, &en).map(SecretString::from)
}

/// Reads a file with several secrets as it is.
///
/// # Errors
/// The file is unreadable, not a regular file, larger than 64 KiB, or not UTF-8.
pub fn read_lines(path: &Path) -> Result<SecretString, Text> {
    let shown = path.display();
    let unreadable = |e: std::io::Error| {
        Text::new(format!("无法读取密钥文件 {shown}：{e}"), format!("the secret file {shown} can't be read: {e}"))
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    // Opening a named pipe could block forever.
    if !metadata.is_file() {
        return Err(Text::new(
            format!("密钥文件 {shown} 不是普通文件"),
            format!("the secret file {shown} is not a regular file"),
        ));
    }
    // The buffer never grows: growing would leave a copy of the secret in freed memory. The spare bytes hold the read
    // that detects the end of the file.
    let capacity = metadata.len().min(MAX_SECRET_SIZE) as usize + 32;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_SECRET_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_SECRET_SIZE {
        return Err(Text::new(
            format!("密钥文件 {shown} 超过 64 KiB"),
            format!("the secret file {shown} is larger than 64 KiB"),
        ));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        Text::new(format!("密钥文件 {shown} 不是 UTF-8"), format!("the secret file {shown} is not UTF-8"))
    })?;
    Ok(text.into())
}
