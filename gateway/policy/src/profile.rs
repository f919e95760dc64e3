//! What an account may be called, and which avatar URLs it may have. Names and avatars are shown to other people, so they
//! must not look like nothing, look like another text than they are, or run code.

use menlou_error::{Error, Result, codes};

/// Names that stand for the phone itself in the addresses of temporary files and in URLs.
const LOCAL_HOSTS: [&str; 4] = ["tmp", "usr", "store", "localhost"];
/// Maximum length of an avatar URL, in bytes.
const MAX_AVATAR_URL: usize = 2048;

/// A name as it is stored: without control characters, invisible characters and those that change the direction of text,
/// with single blanks and none around it. `None` if nothing visible remains. An empty name stays empty.
pub fn normalize_name(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some(String::new());
    }
    let chars: Vec<char> = name.chars().filter(|c| !is_dropped(*c)).collect();
    let mut normalized = String::with_capacity(name.len());
    for (at, &c) in chars.iter().enumerate() {
        if c.is_whitespace() || c.is_control() || is_blank(c) {
            if !normalized.ends_with(' ') && !normalized.is_empty() {
                normalized.push(' ');
            }
        } else if !is_joiner(c) || is_joined(chars.get(..at).and_then(<[char]>::last), chars.get(at + 1)) {
            normalized.push(c);
        }
    }
    normalized.truncate(normalized.trim_end().len());
    normalized.chars().any(is_visible).then_some(normalized)
}

/// Whether an avatar URL may be stored: empty, or `https://` with a host that others can reach. Paths of temporary files
/// (`http://tmp/…`, `wxfile://…`) are valid on one phone only.
pub fn is_avatar_url(url: &str) -> bool {
    if url.is_empty() {
        return true;
    }
    let is_allowed = |c: char| !c.is_whitespace() && !c.is_control() && !is_dropped(c) && !"\"'<>\\^`{|}".contains(c);
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    if url.len() > MAX_AVATAR_URL || !scheme.eq_ignore_ascii_case("https") || !url.chars().all(is_allowed) {
        return false;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok_and(|port| port > 0) => host,
        Some(_) => return false,
        None => authority,
    };
    let is_label = |label: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii();
        !label.is_empty() && label.len() <= 63 && label.chars().all(plain)
    };
    let is_local = LOCAL_HOSTS.iter().any(|local| host.eq_ignore_ascii_case(local));
    host.len() <= 253 && !is_local && host.split('.').all(is_label)
}

/// The name to store for what a user entered.
///
/// # Errors
/// `invalid_name` if nothing of it is visible.
pub fn require_name(name: &str) -> Result<String> {
    normalize_name(name).ok_or_else(|| Error::new(&codes::INVALID_NAME))
}

/// Checks the avatar URL that a client sent.
///
/// # Errors
/// `invalid_avatar_url`.
pub fn require_avatar_url(url: &str) -> Result<()> {
    if is_avatar_url(url) { Ok(()) } else { Err(Error::new(&codes::INVALID_AVATAR_URL)) }
}

/// Characters that are removed: they are invisible, or change the direction of the text around them.
fn is_dropped(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}'
            | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    ) || c as u32 & 0xfffe == 0xfffe
}

/// Characters that are no white space, but look like it.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}')
}

/// The zero-width joiner and non-joiner. Emoji and some scripts need them between two characters.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Whether a joiner between these characters may have an effect. Between Latin, digits and Chinese characters it has none,
/// so that two names with and without it would look the same.
fn is_joined(before: Option<&char>, after: Option<&char>) -> bool {
    let joins = |c: &char| !(c.is_ascii() || c.is_whitespace() || is_blank(*c) || is_joiner(*c) || is_latin_or_cjk(*c));
    before.is_some_and(joins) && after.is_some_and(joins)
}

fn is_latin_or_cjk(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{24f}' | '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}')
}

/// Whether a character shows something by itself. Marks and variation selectors only change the character before.
fn is_visible(c: char) -> bool {
    !(is_joiner(c)
        || c == ' '
        || matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_stored_without_what_nobody_sees() {
        for (given, stored) in [
            ("安", "安"),
            ("", ""),
            (" Ann  Lee\t", "Ann Lee"),
            ("　安　娜　", "安 娜"),
            ("管\u{200b}理\u{200d}员", "管理员"),
            ("ad\u{200c}min\u{2060}", "admin"),
            ("\u{202e}nimda\u{202c}", "nimda"),
            ("a\u{2066}b\u{2069}\u{200f}", "ab"),
            ("Ann\r\nLee\u{0}\u{85}", "Ann Lee"),
            ("Ann\u{3164}Lee", "Ann Lee"),
            ("👨\u{200d}👩\u{200d}👧", "👨\u{200d}👩\u{200d}👧"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("❤\u{fe0f}", "❤\u{fe0f}"),
            ("e\u{301}", "e\u{301}"),
            ("👧\u{200d}", "👧"),
        ] {
            assert_eq!(normalize_name(given).as_deref(), Some(stored), "{given:?}");
        }
    }

    #[test]
    fn a_name_of_which_nothing_is_visible_is_none() {
        for name in [
            " ",
            "\u{3000}",
            "\u{200b}",
            "\u{200d}\u{200d}",
            "\u{feff}",
            "\u{3164}",
            "\u{2800}\u{2800}",
            "\u{202e}",
            "\n",
            "\u{0}",
            "\u{ad}",
            "\u{fe0f}",
            "\u{301}",
            "\u{e0020}",
            "\u{a0} \u{2003}",
            "\u{ffff}",
        ] {
            assert_eq!(normalize_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_normalized_name_is_normalized() {
        for name in ["a \u{200d} b", "\u{200d}a", "👧\u{200d} \u{200d}👧", "x\u{200b} \u{200b}y", " \u{301}a"] {
            let once = normalize_name(name).unwrap();
            assert_eq!(normalize_name(&once).as_ref(), Some(&once), "{name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_normalized_once(name in "[a安👧\u{200b}\u{200d}\u{202e} \u{3164}\u{fe0f}\u{301}\u{0}ی]{0,12}|\\PC{0,16}") {
            if let Some(once) = normalize_name(&name) {
                proptest::prop_assert_eq!(normalize_name(&once), Some(once.clone()));
                proptest::prop_assert!(!once.chars().any(|c| c.is_control() || is_dropped(c)));
            }
        }
    }

    #[test]
    fn an_avatar_is_a_public_https_url() {
        for url in [
            "",
            "https://example.com/a.png",
            "HTTPS://example.com",
            "https://example.com:8443/a.png?x=1&y=%20#f",
            "https://thirdwx.qlogo.cn/mmopen/vi_32/abc/132",
            "https://例子.中国/头像.png",
            "https://avatars/a.png",
        ] {
            assert!(is_avatar_url(url), "{url}");
        }
        for url in [
            "http://tmp/wx1.png",
            "https://tmp/wx1.png",
            "http://usr/a.png",
            "wxfile://tmp_a.png",
            "javascript:alert(1)",
            "javascript://example.com/%0aalert(1)",
            "data:image/png;base64,AAAA",
            "http://example.com/a.png",
            "//example.com/a.png",
            "/a.png",
            "a.png",
            "https://",
            "https:///a.png",
            "https://localhost/a.png",
            "https://user:pw@example.com/a.png",
            "https://example.com:0/",
            "https://example.com:99999/",
            "https://exa mple.com/",
            "https://example.com/\"onerror=\"x",
            "https://example.com/a\u{202e}gnp",
            "https://example.com/a\nb",
            "https://example..com/",
            " https://example.com/",
            "https:\\\\example.com",
        ] {
            assert!(!is_avatar_url(url), "{url}");
        }
        assert!(!is_avatar_url(&format!("https://example.com/{}", "a".repeat(2048))));
    }
}
