//! Which checks apply to a tenant's credentials.

use menlou_config::load::Document;
use serde_json::Value;

/// Whether people log in by phone number: some action lists `phone` among its `methods`. Then the check of the credentials
/// includes the permission for phone numbers.
pub fn logs_in_by_phone(doc: &Document) -> bool {
    let actions = doc.value("/actions").and_then(Value::as_object);
    actions.into_iter().flat_map(|actions| actions.values()).any(|action| {
        let methods = action.get("methods").and_then(Value::as_array);
        methods.is_some_and(|methods| methods.iter().any(|method| method == "phone"))
    })
}
