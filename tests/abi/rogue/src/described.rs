//! Wrong descriptions that safe Rust allows. The environment variable `ROGUE_SAYS` chooses one when the plugin is loaded.

use crate::{Data, Params};
use menlou_plugin::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};
use std::{borrow::Cow, env};

/// An action with the name that the variable chooses.
pub fn action() -> Action {
    let name = match chosen().as_deref() {
        Some("twice") => "echo",
        Some("clash") => "odd",
        _ => "described",
    };
    Action::new(name, described)
}

async fn described(_: &Call, _: Odd) -> Result<Data> {
    Ok(Data::default())
}

/// Parameters with a hand-written schema.
#[derive(Deserialize)]
struct Odd(#[expect(dead_code, reason = "only its schema is used")] Params);

impl JsonSchema for Odd {
    fn schema_name() -> Cow<'static, str> {
        "Odd".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        assert_ne!(chosen().as_deref(), Some("panic"), "a panic while the plugin describes itself");
        match chosen().as_deref() {
            Some("banana") => json_schema!({ "type": "banana" }),
            _ => json_schema!({ "type": "object" }),
        }
    }
}

fn chosen() -> Option<String> {
    env::var("ROGUE_SAYS").ok()
}
