//! `menlou plugin docs`: prints the reference of a plugin as Markdown, and keeps it up to date in the plugin's README.
//! The READMEs of the plugins in this repository are generated and tested with it.

mod rows;

use super::{describe::taken, look::refused};
use crate::cli::output::{fail, say};
use http::Method;
use menlou_action::{Descriptor, Plugin};
use menlou_error::text::Text;
use menlou_policy::Access;
use rows::Part;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Arguments of `plugin docs`.
#[derive(clap::Args)]
pub struct Arguments {
    /// 插件文件（.so）。The plugin file (.so).
    file: PathBuf,
    /// 写入此文件的两行标记之间；没有标记则追加到末尾。Write between the markers in this file; without markers, append.
    #[arg(long, value_name = "README")]
    into: Option<PathBuf>,
    /// 只检查，不写入：内容与插件不符时退出码为 1。Only check: exit code 1 if the file differs from the plugin.
    #[arg(long, requires = "into")]
    check: bool,
}

/// Prefix of the marker line before the generated text. The rest of the line is for readers.
const BEGIN: &str = "<!-- menlou:docs";
const BEGIN_LINE: &str =
    "<!-- menlou:docs 由 menlou plugin docs 生成，手改会被覆盖。Made by menlou plugin docs; edits are lost. -->";
/// Marker line after the generated text.
const END: &str = "<!-- /menlou:docs -->";

pub fn run(arguments: &Arguments) -> ExitCode {
    let plugin = match Plugin::open(&arguments.file) {
        Ok(plugin) => plugin,
        Err(why) => return fail(&refused(&arguments.file, &why)),
    };
    let page = page(&plugin);
    let Some(readme) = &arguments.into else {
        print!("{page}");
        return ExitCode::SUCCESS;
    };
    match keep(readme, plugin.name, &page, arguments.check) {
        Ok(text) => {
            say(&text.zh, &text.en);
            ExitCode::SUCCESS
        }
        Err(text) => fail(&text),
    }
}

/// Writes the text into the file, or only checks the file.
fn keep(readme: &Path, name: &str, page: &str, check: bool) -> Result<Text, Text> {
    let shown = readme.display();
    let old = match fs::read_to_string(readme) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => format!("# {name}\n"),
        Err(e) => return Err(Text::new(format!("无法读取 {shown}：{e}"), format!("{shown} can't be read: {e}"))),
    };
    let new = within(&old, page).ok_or_else(|| {
        Text::new(
            format!("{shown} 中的标记不成对：应有一行 {BEGIN} …，其后一行 {END}"),
            format!("the markers in {shown} do not form a pair: one line {BEGIN} …, followed by one line {END}"),
        )
    })?;
    if new == old {
        return Ok(Text::new(format!("{shown} 与插件一致"), format!("{shown} matches the plugin")));
    }
    if check {
        return Err(Text::new(
            format!("{shown} 与插件不符：去掉 --check 再运行一次即可更新"),
            format!("{shown} does not match the plugin: run the command without --check to update it"),
        ));
    }
    fs::write(readme, new)
        .map_err(|e| Text::new(format!("无法写入 {shown}：{e}"), format!("{shown} can't be written: {e}")))?;
    Ok(Text::new(format!("{shown} 已更新"), format!("{shown} is updated")))
}

/// Replaces the text between the markers; `None` if the markers are not a pair.
fn within(text: &str, page: &str) -> Option<String> {
    let begins: Vec<usize> = lines(text).filter(|(_, line)| line.starts_with(BEGIN)).map(|(at, _)| at).collect();
    let ends: Vec<usize> = lines(text).filter(|(_, line)| line.trim_end() == END).map(|(at, _)| at).collect();
    let (before, after) = match (begins.as_slice(), ends.as_slice()) {
        ([], []) => (format!("{}\n\n", text.trim_end()), "\n"),
        ([begin], [end]) if begin < end => (text[..*begin].to_owned(), &text[end + END.len()..]),
        _ => return None,
    };
    Some(format!("{before}{BEGIN_LINE}\n\n{page}\n{END}{after}"))
}

/// All lines with their byte offsets.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let begins = *at;
        *at += line.len();
        Some((begins, line))
    })
}

/// All actions with parameters, response and settings, in Chinese and English.
fn page(plugin: &Plugin) -> String {
    let pages: Vec<String> = plugin.actions.iter().map(action).collect();
    pages.join("\n")
}

fn action(action: &Descriptor) -> String {
    let access = match action.access {
        _ if action.access_by_setting => "由设置 `auth` 决定 · as the setting `auth` says",
        Access::Anyone | Access::Optional => "任何人 · anyone",
        Access::Session => "有会话者 · whoever has a session",
        Access::User => "已登录者 · whoever is logged in",
    };
    let methods = action.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(" ");
    let title = [&action.title.zh, &action.title.en].map(|t| rows::cell(t)).into_iter().filter(|t| !t.is_empty());
    let heading: Vec<String> = [format!("`a={}`", action.name)].into_iter().chain(title).collect();
    let mut page = format!("## {}\n\n", heading.join(" · "));
    let about = [&action.description.zh, &action.description.en].map(|t| rows::cell(t));
    let about: Vec<String> = about.into_iter().filter(|t| !t.is_empty()).collect();
    if !about.is_empty() {
        page += &format!("{}\n\n", about.join("  \n"));
    }
    let files: Vec<String> = action.files.iter().map(|f| format!("`{f}`")).collect();
    let files = match files.is_empty() {
        true => String::new(),
        false => format!(
            "\n也可能是文件，原样返回，不套信封。May be a file instead, which comes as it is, without an envelope: {}\n",
            files.join(", ")
        ),
    };
    let taken: Vec<String> = taken(action.flags).map(|text| format!("{} · {}", text.zh, text.en)).collect();
    let taken = match taken.is_empty() {
        true => String::new(),
        false => format!("原样交给动作。Taken as it comes: {}\n\n", taken.join("；")),
    };
    page += &format!(
        "| 方法 · methods | 谁可调用 · who may call |\n|---|---|\n| `{methods}` | {access} |\n\n\
         {taken}{}\n{}{files}\n{}",
        rows::section(Part::Params, action.params.as_json()),
        rows::section(Part::Answer, &action.data),
        rows::section(Part::Settings, action.settings.as_json()),
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_goes_between_the_markers_or_to_the_end() {
        let first = within("# x\n\nabout\n\n", "page 1\n").unwrap();
        assert_eq!(first, format!("# x\n\nabout\n\n{BEGIN_LINE}\n\npage 1\n\n{END}\n"));
        let second = within(&format!("{first}\nnotes\n"), "page 2\n").unwrap();
        assert_eq!(second, format!("# x\n\nabout\n\n{BEGIN_LINE}\n\npage 2\n\n{END}\n\nnotes\n"));
        assert_eq!(within(&second, "page 2\n").unwrap(), second);
    }

    #[test]
    fn markers_that_are_no_pair_are_left_alone() {
        for text in [format!("{END}\n{BEGIN_LINE}\n"), BEGIN_LINE.into(), END.into(), [BEGIN_LINE, END, END].join("\n")]
        {
            assert_eq!(within(&text, "page"), None, "{text}");
        }
    }
}
