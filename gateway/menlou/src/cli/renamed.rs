//! Commands that were renamed: the old words give an error that names the new ones.

use menlou_error::text::Text;

/// Old and new words of a command.
const RENAMED: &[(&[&str], &str)] = &[
    (&["plugin", "page"], "plugin docs"),
    (&["secret", "key"], "secret keygen"),
    (&["tenant", "new"], "tenant create"),
    (&["types"], "typescript"),
];

/// What to say if these arguments of the process name a command by its old words.
pub fn explain(arguments: impl IntoIterator<Item = String>) -> Option<Text> {
    // The value of `--config` may come before the command; every other argument comes after it.
    let mut words = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--config" => drop(arguments.next()),
            flag if flag.starts_with('-') => {}
            _ => words.push(argument),
        }
    }
    let (old, new) =
        RENAMED.iter().find(|(old, _)| words.iter().map(String::as_str).take(old.len()).eq(old.iter().copied()))?;
    let old = old.join(" ");
    Some(Text::new(
        format!("命令 menlou {old} 已改名为 menlou {new}"),
        format!("the command menlou {old} is called menlou {new} now"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_words_of_a_command_name_the_new_ones() {
        let explain = |line: &str| explain(line.split(' ').map(str::to_owned)).map(|text| text.en.into_owned());
        let new = "the command menlou tenant new is called menlou tenant create now";
        assert_eq!(explain("tenant new acme --offline").as_deref(), Some(new));
        assert_eq!(explain("--config a.toml tenant new acme").as_deref(), Some(new));
        assert!(explain("types --tenant acme").is_some_and(|text| text.ends_with("menlou typescript now")));
        assert_eq!(explain("plugin new page"), None);
        assert_eq!(explain("secret keygen"), None);
    }
}
