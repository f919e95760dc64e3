//! What a plugin may say wrongly of itself in safe Rust: the variable `ROGUE_SAYS` chooses, when it is loaded.

use crate::{Data, Params};
use menlou_plugin::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};
use std::{borrow::Cow, env};

/// An action by the name that the variable wants it to have.
pub fn action() -> Action {
    let name = match says().as_deref() {
        Some("twice") => "echo",
        Some("clash") => "odd",
        _ => "described",
    };
    Action::new(name, described)
}

async fn described(_: &Call, _: Odd) -> Result<Data> {
    Ok(Data::default())
}

/// Parameters whose schema is written by hand.
#[derive(Deserialize)]
struct Odd(#[expect(dead_code, reason = "its schema is what matters")] Params);

impl JsonSchema for Odd {
    fn schema_name() -> Cow<'static, str> {
        "Odd".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        assert_ne!(says().as_deref(), Some("panic"), "while it describes itself");
        match says().as_deref() {
            Some("banana") => json_schema!({ "type": "banana" }),
            _ => json_schema!({ "type": "object" }),
        }
    }
}

fn says() -> Option<String> {
    env::var("ROGUE_SAYS").ok()
}
