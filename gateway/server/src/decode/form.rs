//! Queries and forms: percent-encoded UTF-8 in which every name is unique.

use super::params::{bad_parameter, check_name};
use menlou_call::{MAX_PARAMS, Params};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use percent_encoding::percent_decode;
use serde_json::{Value, map::Entry};
use std::borrow::Cow;

/// Reads `name=value&…` into `params`, except the names in `except`.
///
/// # Errors
/// A name that is repeated or in `params` already, too many parameters, text that is not UTF-8.
pub fn read(text: &[u8], params: &mut Params, except: &[&str]) -> Result<()> {
    for (_, name, value) in pairs(text) {
        if except.iter().any(|except| is_name(name, except)) {
            continue;
        }
        let name = decode(name)?;
        check_name(&name)?;
        let value = decode(value)?;
        if params.as_map().len() >= MAX_PARAMS {
            return Err(bad_parameter("参数过多，至多 64 个", "There are too many parameters: 64 at most."));
        }
        match params.as_map_mut().entry(name) {
            Entry::Vacant(vacant) => drop(vacant.insert(Value::String(value.into_owned()))),
            Entry::Occupied(occupied) => return Err(repeated(occupied.key())),
        }
    }
    Ok(())
}

/// The value of one name; `None` if it is absent.
///
/// # Errors
/// A name that is repeated, a value that is not UTF-8.
pub fn find(text: &[u8], wanted: &str) -> Result<Option<String>> {
    let mut found = None;
    for (_, name, value) in pairs(text) {
        if is_name(name, wanted) && found.replace(decode(value)?.into_owned()).is_some() {
            return Err(repeated(wanted));
        }
    }
    Ok(found)
}

/// The same text without some names, otherwise unchanged.
pub fn without(text: &[u8], except: &[&str]) -> String {
    let kept: Vec<&[u8]> =
        pairs(text).filter(|(_, n, _)| !except.iter().any(|e| is_name(n, e))).map(|(p, _, _)| p).collect();
    String::from_utf8_lossy(&kept.join(&b'&')).into_owned()
}

/// The raw pairs, each with its name and its value.
fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
    text.split(|b| *b == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        (pair, &pair[..at], pair.get(at + 1..).unwrap_or_default())
    })
}

fn is_name(name: &[u8], wanted: &str) -> bool {
    // Nearly every name is unencoded. An encoded name is longer than the name itself, so most names need no decoding.
    name == wanted.as_bytes() || name.len() > wanted.len() && decode(name).is_ok_and(|name| name == wanted)
}

fn decode(bytes: &[u8]) -> Result<Cow<'_, str>> {
    let invalid = |_| bad_parameter("有一个参数不是 UTF-8 编码", "A parameter is not encoded as UTF-8.");
    if !bytes.iter().any(|b| matches!(b, b'+' | b'%')) {
        return std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(invalid);
    }
    let spaced: Cow<'_, [u8]> = match bytes.contains(&b'+') {
        true => bytes.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect::<Vec<_>>().into(),
        false => bytes.into(),
    };
    let decoded = match spaced {
        Cow::Borrowed(bytes) => percent_decode(bytes).decode_utf8(),
        Cow::Owned(ref bytes) => percent_decode(bytes).decode_utf8().map(|text| Cow::Owned(text.into_owned())),
    };
    decoded.map_err(invalid)
}

fn repeated(name: &str) -> Error {
    // The name comes from the client. It is shown only if it contains nothing but letters, digits and `_-.`.
    match name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
        true => Error::new(&codes::BAD_PARAMETER)
            .with_detail(Text::new(format!("参数 {name} 重复"), format!("The parameter {name} is repeated."))),
        false => bad_parameter("有一个参数重复", "A parameter is repeated."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(text: &[u8]) -> std::result::Result<Value, String> {
        let mut params = Params::new();
        match read(text, &mut params, &[]) {
            Ok(()) => Ok(params.as_json().clone()),
            Err(e) => Err(e.code().to_owned()),
        }
    }

    #[test]
    fn names_and_values_are_decoded_once() {
        assert_eq!(
            read_all("a=1&b=%E5%AE%89&c=x+y&d&=&e=%2B".replace("&=", "").as_bytes()),
            Ok(serde_json::json!({ "a": "1", "b": "安", "c": "x y", "d": "", "e": "+" }))
        );
        assert_eq!(read_all(b"a=%2541"), Ok(serde_json::json!({ "a": "%41" })));
    }

    #[test]
    fn excepted_names_are_not_read_as_parameters() {
        let mut params = Params::new();
        let text = b"f=x&b=1&a=%E5%AE%89&&c=%2F+&c";
        read(b"f=x&b=1&a=%E5%AE%89", &mut params, &["f", "a"]).unwrap();
        assert_eq!(params.as_json(), &serde_json::json!({ "b": "1" }));
        assert_eq!(find(text, "f").unwrap().as_deref(), Some("x"));
        assert_eq!(find(text, "a").unwrap().as_deref(), Some("安"));
        assert_eq!(find(text, "z").unwrap(), None);
        assert!(find(text, "c").is_err());
        assert_eq!(without(text, &["f", "a"]), "b=1&c=%2F+&c");
    }

    #[test]
    fn repeated_names_and_invalid_utf8_are_rejected() {
        for bad in [&b"a=1&a=1"[..], b"a=%FF", b"\xff=1", b"=1"] {
            assert_eq!(read_all(bad), Err("bad_parameter".into()));
        }
        assert_eq!(read_all(format!("{}=1", "n".repeat(257)).as_bytes()), Err("bad_parameter".into()));
        assert!(read_all(format!("{}=1", "名".repeat(64)).as_bytes()).is_ok());
        assert_eq!(read_all(format!("{}=1", "𠮷".repeat(65)).as_bytes()), Err("bad_parameter".into()));
        let many: String = (0..65).map(|i| format!("p{i}=1&")).collect();
        assert_eq!(read_all(many.as_bytes()), Err("bad_parameter".into()));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&bytes);
        }

        #[test]
        fn encoded_values_are_decoded_to_the_original(name in "[a-z]{1,9}", value in ".{0,40}") {
            let text: String = form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish();
            let params = read_all(text.as_bytes()).unwrap();
            prop_assert_eq!(params[&name].as_str(), Some(value.as_str()));
        }
    }
}
