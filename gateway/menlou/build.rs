//! Embeds the sources of the plugin ABI and SDK in the program, for `menlou plugin new`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let variable = |name| env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(name));
    let plugins = variable("CARGO_MANIFEST_DIR")?.join("../../plugins").canonicalize()?;
    let mut list = String::from("&[\n");
    for folder in ["abi/src", "sdk/src"] {
        println!("cargo::rerun-if-changed={}", plugins.join(folder).display());
        for file in files(&plugins.join(folder))? {
            let inside = file.strip_prefix(&plugins).map_err(io::Error::other)?;
            list += &format!("    ({inside:?}, include_str!({file:?})),\n");
        }
    }
    list += "]\n";
    fs::write(variable("OUT_DIR")?.join("sources.rs"), list)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
