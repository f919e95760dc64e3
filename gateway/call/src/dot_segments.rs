//! Segments of a path that lead upwards, as any server might read them: servers differ in what they decode, how often, and
//! whether they remove path parameters first.

/// How often a path may be percent-encoded. Paths with more layers count as leading upwards.
const MAX_LAYERS: usize = 5;

/// Whether some server takes a segment of this path for `.` or `..`. Considered are:
///
/// - `/` and `\` as separators, also encoded;
/// - path parameters and what else ends a segment: `..;x=1`, `..%3b`, `..%3f`, `..%23`, `..%00`;
/// - percent-encoding, several times over, and `%u002e` (IIS);
/// - overlong UTF-8 (`%c0%ae`), also with a byte that is no continuation (`%c0%2e`);
/// - decoders that drop bytes which are not UTF-8, or characters without width;
/// - characters that legacy encodings replace by `.`, `/` or `\`, such as U+FF0E;
/// - spaces around the dots, which Windows removes.
pub fn has_dot_segment(path: &str) -> bool {
    if path.bytes().all(|byte| byte.is_ascii() && byte != b'%') {
        return has_dots(path.as_bytes());
    }
    let readings: [fn(Vec<u8>) -> Vec<u8>; 3] = [|bytes| bytes, with_overlong_forms, with_lookalikes];
    readings.iter().any(|read| leads_upwards(path, read))
}

/// Whether a segment is a dot segment after any number of decodings. `read` is applied after each.
fn leads_upwards(path: &str, read: &dyn Fn(Vec<u8>) -> Vec<u8>) -> bool {
    let mut bytes = read(path.as_bytes().to_vec());
    for _ in 0..MAX_LAYERS {
        if has_dots(&bytes) {
            return true;
        }
        let decoded = read(decoded(&bytes));
        if decoded == bytes {
            return false;
        }
        bytes = decoded;
    }
    true
}

fn has_dots(path: &[u8]) -> bool {
    path.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| {
        let name = segment.split(|byte| matches!(byte, b';' | b'?' | b'#' | 0)).next().unwrap_or_default();
        let mut rest = name.trim_ascii().iter().filter(|byte| !byte.is_ascii_control());
        rest.next() == Some(&b'.') && rest.next().is_none_or(|byte| *byte == b'.') && rest.next().is_none()
    })
}

/// Decodes `%XX` and `%uXXXX`. Anything else stays.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let number = |digits: Option<&[u8]>| {
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let octet = number(bytes.get(at + 1..at + 3)).and_then(|n| u8::try_from(n).ok());
        let is_unicode = bytes.get(at + 1).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'u'));
        let unicode = number(bytes.get(at + 2..at + 6)).filter(|_| is_unicode).and_then(char::from_u32);
        at += match (byte, octet, unicode) {
            (b'%', Some(octet), _) => {
                decoded.push(octet);
                3
            }
            (b'%', None, Some(c)) => {
                decoded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                6
            }
            _ => {
                decoded.push(*byte);
                1
            }
        };
    }
    decoded
}

/// Replaces sequences that encode an ASCII character in more than one byte. The bytes after the first may have any high bits.
fn with_overlong_forms(bytes: Vec<u8>) -> Vec<u8> {
    let (mut read, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let (length, high_bits) = match byte {
            0xC0 | 0xC1 => (2, byte & 1),
            0xE0 => (3, 0),
            0xF0 => (4, 0),
            0xF8 => (5, 0),
            0xFC => (6, 0),
            _ => (1, 0),
        };
        let rest = bytes.get(at + 1..at + length).unwrap_or_default();
        let fold = |value: u32, byte: &u8| value << 6 | u32::from(byte & 0x3F);
        match u8::try_from(rest.iter().fold(u32::from(high_bits), fold)) {
            Ok(ascii) if !rest.is_empty() && ascii.is_ascii() => {
                read.push(ascii);
                at += length;
            }
            _ => {
                read.push(*byte);
                at += 1;
            }
        }
    }
    read
}

/// Drops bytes that are not UTF-8 and characters without width, and replaces characters that look like `.`, `/` or `\`.
fn with_lookalikes(bytes: Vec<u8>) -> Vec<u8> {
    let characters = bytes.utf8_chunks().flat_map(|chunk| chunk.valid().chars());
    let read = characters.filter_map(|c| match c {
        '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' => None,
        '\u{2024}' | '\u{3002}' | '\u{FE52}' | '\u{FF0E}' | '\u{FF61}' => Some('.'),
        '\u{2044}' | '\u{2215}' | '\u{29F8}' | '\u{FF0F}' => Some('/'),
        '\u{2216}' | '\u{29F5}' | '\u{29F9}' | '\u{FE68}' | '\u{FF3C}' => Some('\\'),
        '\u{A0}' | '\u{3000}' => Some(' '),
        '\u{FF1B}' | '\u{FE54}' => Some(';'),
        c => Some(c),
    });
    read.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::*, sample::select};

    /// Ways to write a character, and the character.
    const WRITTEN: [(&str, &str); 40] = [
        (".", "."),
        ("%2e", "."),
        ("%2E", "."),
        ("%252e", "."),
        ("%25252E", "."),
        ("%%32e", "."),
        ("%u002e", "."),
        ("%U002E", "."),
        ("%25u002e", "."),
        ("%uff0e", "."),
        ("%EF%BC%8E", "."),
        ("%c0%ae", "."),
        ("%C0%2e", "."),
        ("%c0%6e", "."),
        ("%e0%80%ae", "."),
        ("%f0%80%80%ae", "."),
        ("%f8%80%80%80%ae", "."),
        ("%fc%80%80%80%80%ae", "."),
        ("%25c0%25ae", "."),
        ("/", "/"),
        ("%2f", "/"),
        ("%252F", "/"),
        ("%u002f", "/"),
        ("%c0%af", "/"),
        ("%e0%80%af", "/"),
        ("\\", "/"),
        ("%5c", "/"),
        ("%255C", "/"),
        ("%c1%9c", "/"),
        ("%u005c", "/"),
        (";", ";"),
        ("%3b", ";"),
        ("%253B", ";"),
        ("%3f", ";"),
        ("%23", ";"),
        ("%00", ";"),
        ("x", "x"),
        ("%20", " "),
        ("=", "="),
        ("%E4%BA%BA", "x"),
    ];

    /// The forms that only some decoders understand: a path mixes those of one decoder only.
    fn is_of_one_decoder(written: &[(&str, &str)]) -> bool {
        let uses = |marks: &[&str]| {
            written.iter().any(|(text, _)| marks.iter().any(|mark| text.to_ascii_lowercase().contains(mark)))
        };
        !(uses(&["%c0", "c0%25", "%c1", "%e0%80", "%f0", "%f8", "%fc"]) && uses(&["%uff", "%ef%bc"]))
    }

    proptest! {
        #[test]
        fn what_the_most_lenient_server_resolves_is_found(written in prop::collection::vec(select(&WRITTEN[..]), 0..9)) {
            prop_assume!(is_of_one_decoder(&written));
            let path: String = written.iter().map(|(text, _)| *text).collect();
            let meaning: String = written.iter().map(|(_, meaning)| *meaning).collect();
            let names = meaning.split('/').map(|segment| segment.split(';').next().unwrap_or_default().trim());
            if names.into_iter().any(|name| matches!(name, "." | "..")) {
                prop_assert!(has_dot_segment(&path), "{path} means {meaning}");
            }
        }

        #[test]
        fn paths_without_dots_are_accepted(path in "(/|[a-z0-9;=,_~-]|%2[0-9A-D]|%E4%BA%BA|[一-龥])*") {
            prop_assert!(!has_dot_segment(&path), "{path}");
        }
    }

    #[test]
    fn names_with_dots_that_are_no_dot_segments_are_accepted() {
        for path in [
            "",
            "/",
            "/a.b/..c/d../...",
            "/.well-known/x",
            "/a;v=../b",
            "/a%3b..",
            "/100%25",
            "/%2525",
            "/%zz/%u00",
            "/%",
            "/.%E4%BA%BA",
            "/%D6%D0%CE%C4",
            "/v1.2/%E3%80%82x",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    #[test]
    fn dot_segments_are_found_in_every_form() {
        for path in [
            "/..;/x",
            "/.;x/..;/y",
            "/..%3bx=1/y",
            "/%2e%2e;/y",
            "/x/%u002e%u002e/y",
            "/%c0%ae%c0%ae/",
            "/.%c0%ae/",
            "/.%ff./x",
            "/.%E2%80%8B./x",
            "/..%20/x",
            "/%20../x",
            "/..%2500.html",
            "/..%3fx",
            "/..%23x",
            "/x%5c..%5cy",
            "/x\\..\\y",
            "/x%c1%9c..%c1%9cy",
            "/%c0%ae%c0%ae%c0%af",
            "/%EF%BC%8E%EF%BC%8E%EF%BC%8Fx",
            "/%c0%a52e%c0%a52e/x",
            "/．．/x",
        ] {
            assert!(has_dot_segment(path), "{path}");
        }
        let many_layers = format!("/%{}2e", "25".repeat(4000));
        assert!(has_dot_segment(&many_layers));
    }
}
