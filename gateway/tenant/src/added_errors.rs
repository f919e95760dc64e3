//! Which errors a change adds to a file that had errors before.

use menlou_config::{config_error::ConfigError, load::Document};
use std::path::Path;

/// A version of a file: its content and the errors in it.
pub(super) type Checked<'a> = (&'a [u8], Vec<ConfigError>);

/// The errors of the new version that the old one does not have. An error is the same if it concerns the same setting: a
/// change moves lines.
pub(super) fn added_errors(path: &Path, old: Checked<'_>, new: &Checked<'_>) -> Vec<ConfigError> {
    let with_pointers = |(bytes, errors): &Checked<'_>| {
        let doc = Document::parse(path, bytes).ok();
        let with_pointer = |error: &ConfigError| (doc.as_ref().and_then(|doc| doc.pointer_of(error)), error.clone());
        errors.iter().map(with_pointer).collect::<Vec<_>>()
    };
    let old = with_pointers(&old);
    let is_old = |(at, error): &(Option<String>, ConfigError)| {
        old.iter().any(|(old_at, old)| old_at == at && old.text == error.text)
    };
    with_pointers(new).into_iter().filter(|error| !is_old(error)).map(|(_, error)| error).collect()
}
