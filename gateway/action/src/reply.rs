//! Checks a plugin's reply and converts it from the ABI's struct.

use super::ffi;
use ::menlou_call::Reply;
use bytes::Bytes;
use menlou_abi::menlou_reply;
use menlou_error::{Error, Responsible, Result, codes, text::Text};
use serde_json::Value;
use std::cell::Cell;

/// Maximum length of an error code, in bytes.
const MAX_ERROR_CODE: usize = 64;

/// Converts a reply: data, a file, or an error. `has_read_token` says whether the data may contain a session token.
///
/// If the reply's error code is that of `last_error`, the error is passed on with its text, cause and `Retry-After`.
///
/// # Errors
/// Why the struct is not a valid reply, for the log.
///
/// # Safety
/// `reply` and its texts are readable during this function.
pub(super) unsafe fn read(
    reply: &menlou_reply,
    has_read_token: bool,
    last_error: &Cell<Option<Error>>,
) -> std::result::Result<Result<Reply>, &'static str> {
    let longest = reply.data.len.max(reply.body.len);
    if (reply.struct_size as usize) < size_of::<menlou_reply>() {
        return Err("its struct_size is too small");
    }
    if longest > ffi::MAX_ARGUMENT {
        return Err("it is larger than 16 MiB");
    }
    // SAFETY: promised by the caller.
    match unsafe { ffi::text(reply.content_type) }.ok_or("its media type is not UTF-8")? {
        "" if reply.body.len == 0 => {}
        "" => return Err("a file needs a media type, such as image/jpeg"),
        content_type => {
            if reply.error_code.len > 0 || reply.data.len > 0 {
                return Err("a file has neither an error code nor data");
            }
            let content_type = ffi::media_type(content_type).ok_or("a file needs a media type, such as image/jpeg")?;
            // SAFETY: promised by the caller.
            let body = Bytes::copy_from_slice(unsafe { reply.body.bytes() });
            return Ok(Ok(Reply::File { content_type, body }));
        }
    }
    // SAFETY: promised by the caller.
    let data = match unsafe { reply.data.bytes() } {
        [] => b"{}",
        bytes => bytes,
    };
    if !ffi::is_json_object(data) {
        return Err("its data is not a JSON object in UTF-8");
    }
    // SAFETY: promised by the caller.
    let code = unsafe { ffi::text(reply.error_code) }.ok_or("its error code is not UTF-8")?;
    if code.is_empty() {
        let reply = if has_read_token { Reply::SecretData } else { Reply::Data };
        return Ok(Ok(reply(data.to_vec().into())));
    }
    if code.len() > MAX_ERROR_CODE || !code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Err("its error code is not 1 to 64 of a-z, 0-9 and _");
    }
    // SAFETY: promised by the caller.
    let (zh, en) = unsafe { (ffi::text(reply.msg_zh), ffi::text(reply.msg_en)) };
    let (zh, en) = zh.zip(en).ok_or("its message is not UTF-8")?;
    let mut error = match (last_error.take().filter(|e| e.code() == code), codes::find(code)) {
        (Some(error), _) => error,
        (None, Some(known)) => Error::new(known),
        (None, None) => Error::plugin(code.to_owned(), codes::PLUGIN_FAILED.text.clone()),
    };
    if let Some(message) = message(zh, en) {
        // What a plugin adds to a code for developers, such as missing_parameter, is for developers too.
        let is_for_developers = codes::find(code).is_some_and(|known| known.who == Responsible::Client);
        error = if is_for_developers { error.with_detail(message) } else { error.with_message(message) };
    }
    match serde_json::from_slice(data) {
        Ok(Value::Object(data)) if !data.is_empty() => error = error.with_data(Value::Object(data)),
        _ => {}
    }
    Ok(Err(error))
}

/// A message in both languages. A message in one language is used for both.
fn message(zh: &str, en: &str) -> Option<Text> {
    let (zh, en) = match (zh, en) {
        ("", "") => return None,
        (zh, "") => (zh, zh),
        ("", en) => (en, en),
        both => both,
    };
    Some(Text::new(zh.to_owned(), en.to_owned()))
}
