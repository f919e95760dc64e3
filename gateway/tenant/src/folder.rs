//! The folder of tenant files: valid names, links, and reading a file.

use menlou_config::{
    config_error::ConfigError,
    load::{self, Document},
    tenant::TenantName,
};
use menlou_error::text::Text;
use std::{fs, path::Path};

/// The tenant that a file belongs to; `None` for other files, see [`TenantName::from_path`].
///
/// # Errors
/// An invalid name. If only upper case letters make it invalid, the error names the right one.
pub fn name(path: &Path) -> Option<Result<TenantName, ConfigError>> {
    let name = TenantName::from_path(path)?;
    Some(name.map_err(|error| {
        let right = path.file_name().map(|file| file.to_string_lossy().to_lowercase()).unwrap_or_default();
        let right = path.with_file_name(right);
        if !matches!(TenantName::from_path(&right), Some(Ok(_))) {
            return error;
        }
        let shown = right.display();
        ConfigError::in_file(
            path,
            if right.exists() {
                Text::new(
                    format!("租户名只能用小写字母；{shown} 已存在，只有它生效：请合并两者并删除此文件"),
                    format!("a tenant's name is in lower case; {shown} is there too, and only that one counts: merge the two and remove this one"),
                )
            } else {
                Text::new(
                    format!("租户名只能用小写字母：请改名为 {shown}"),
                    format!("a tenant's name is in lower case: rename it to {shown}"),
                )
            },
        )
    }))
}

/// Reads a tenant file. A link is followed within the folder only, as in a mounted config map: write access to the folder
/// gives no read access to other files.
///
/// # Errors
/// Those of [`Document::read`], or a link that leads out of the folder.
pub fn read(path: &Path) -> Result<Document, Vec<ConfigError>> {
    within(path).map_err(|text| vec![ConfigError::in_file(path, text)])?;
    Document::read(path)
}

/// Reads the bytes of a tenant file like [`load::bytes`]; links are followed as by [`read`].
///
/// # Errors
/// Those of [`load::bytes`], or a link that leads out of the folder.
pub fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, Text> {
    within(path)?;
    load::bytes(path)
}

fn within(path: &Path) -> Result<(), Text> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_symlink()
        && let (Ok(folder), Ok(target)) = (fs::canonicalize(folder), fs::canonicalize(path))
        && !target.starts_with(&folder)
    {
        let target = target.display();
        return Err(Text::new(
            format!("这是指向租户文件夹之外（{target}）的链接：租户文件须在文件夹之内"),
            format!("this is a link out of the tenants' folder, to {target}: tenants' files must be within the folder"),
        ));
    }
    Ok(())
}
