//! The text of a secret from a variable or file, without what editors and shells add around it.

use super::seal::KEY;
use menlou_error::text::Text;

/// Removes a byte order mark, line ends and blanks around a secret. `zh` and `en` name its source.
///
/// # Errors
/// Nothing is left, or a character inside can be neither seen nor typed: it came with copying, and the platform would
/// refuse the secret without saying why. The error names the character and its position, never the secret.
pub fn normalize<'a>(text: &'a str, zh: &str, en: &str) -> Result<&'a str, Text> {
    let secret = text.trim_start_matches('\u{feff}').trim();
    if secret.is_empty() {
        return Err(Text::new(format!("{zh}为空"), format!("{en} is empty")));
    }
    // PEM, such as the private key of a merchant, has lines, and so have the keys of sealed secrets.
    let has_lines = secret.starts_with("-----BEGIN ") || secret.contains(KEY);
    let is_refused = |c: char| is_invisible(c) && !(has_lines && matches!(c, '\n' | '\r' | '\t'));
    let invisible = secret.chars().enumerate().find(|(_, c)| is_refused(*c));
    match invisible {
        None => Ok(secret),
        Some((at, c)) => {
            let (at, code) = (at + 1, u32::from(c));
            Err(Text::new(
                format!("{zh}的第 {at} 个字符是不可见字符 U+{code:04X}：请删除它，通常是复制时带入的"),
                format!(
                    "{en} has an invisible character, U+{code:04X}, at position {at}: remove it; it often comes with copying"
                ),
            ))
        }
    }
}

/// Control characters, line ends, blanks other than the space, zero-width characters, and characters that change the
/// direction of text or the look of their neighbours.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_and_shells_add_around_a_secret_is_removed() {
        for text in ["a b", "a b\n", "a b\n\n", "a b\r\n", " a b \t\n", "\u{feff}a b\n", "\u{feff} a b\u{3000}\u{a0}"] {
            assert_eq!(normalize(text, "", "it").unwrap(), "a b", "{text:?}");
        }
        for blank in ["", "\n", " ", "\u{feff}\n"] {
            assert_eq!(normalize(blank, "", "it").unwrap_err().en, "it is empty");
        }
        let pem = "-----BEGIN PRIVATE KEY-----\r\nAAAA\n-----END PRIVATE KEY-----";
        assert_eq!(normalize(&format!("{pem}\n"), "", "it").unwrap(), pem);
    }

    #[test]
    fn an_invisible_character_inside_a_secret_is_named_with_its_position() {
        for (text, code, at) in [
            ("hun\u{200b}ter2", "U+200B", 4),
            ("\u{200b}hunter2", "U+200B", 1),
            ("hunter2\u{200b}\n", "U+200B", 8),
            (" 密\u{feff}钥", "U+FEFF", 2),
            ("hunter\n2", "U+000A", 7),
            ("hunter\u{0}2", "U+0000", 7),
            ("hunter\u{a0}2", "U+00A0", 7),
            ("hunter\u{202e}2", "U+202E", 7),
        ] {
            let error = normalize(text, "密钥", "the secret").unwrap_err();
            assert!(error.en.contains(&format!("{code}, at position {at}:")), "{text:?}: {}", error.en);
            assert!(error.zh.contains(code) && !error.en.contains("hunter"), "{}", error.en);
        }
    }
}
