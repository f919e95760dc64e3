//! How much a plugin's schema asks of whoever checks a value by it: one that would take for ever is refused.

use serde_json::Value;
use std::collections::HashMap;

/// A schema may not weigh more: about so many steps are taken for one value, and each takes some 10 ns or more.
const HEAVIEST: u64 = 200_000;
/// How many steps may lead from a schema to one within it or referred to.
const DEEPEST: usize = 1000;

/// What each part of a schema weighs: itself, its parts, and what it refers to, as often as it does.
struct CostVisitor<'a> {
    schema: &'a Value,
    known: HashMap<*const Value, u64>,
}

/// Refuses what is too heavy, and says so in English.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let weight = CostVisitor { schema, known: HashMap::new() }.weigh(schema, 0)?;
    if weight > HEAVIEST {
        return Err("too heavy: what it refers to again and again makes too many steps for each value".into());
    }
    Ok(())
}

impl<'a> CostVisitor<'a> {
    fn weigh(&mut self, part: &'a Value, depth: usize) -> Result<u64, String> {
        if depth > DEEPEST {
            return Err(format!("its references go more than {DEEPEST} deep"));
        }
        // One that leads back to itself goes on only as deep as the value does: until it is known, it weighs 1.
        if let Some(known) = self.known.get(&std::ptr::from_ref(part)) {
            return Ok(*known);
        }
        self.known.insert(part, 1);
        let mut weight: u64 = 1;
        let parts: Vec<&Value> = match part {
            Value::Object(object) => object.values().chain(self.target(part)).collect(),
            Value::Array(items) => items.iter().collect(),
            _ => Vec::new(),
        };
        for part in parts {
            weight = weight.saturating_add(self.weigh(part, depth + 1)?);
        }
        self.known.insert(part, weight);
        Ok(weight)
    }

    fn target(&self, part: &Value) -> Option<&'a Value> {
        self.schema.pointer(part.get("$ref")?.as_str()?.strip_prefix('#')?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    /// Each of `count` definitions refers `times` times to the next.
    fn chain(count: usize, times: usize) -> Value {
        let next = |i: usize| vec![json!({ "$ref": format!("#/$defs/d{}", i + 1) }); times];
        let mut defs: Map<_, _> = (0..count).map(|i| (format!("d{i}"), json!({ "allOf": next(i) }))).collect();
        defs.insert(format!("d{count}"), json!({ "type": "object" }));
        json!({ "$ref": "#/$defs/d0", "$defs": defs })
    }

    #[test]
    fn what_doubles_again_and_again_is_refused_and_what_leads_back_to_itself_is_not() {
        assert_eq!(check(&chain(100, 1)), Ok(()));
        assert_eq!(check(&chain(8, 2)), Ok(()));
        assert!(check(&chain(40, 2)).is_err_and(|why| why.contains("too heavy")));
        assert!(check(&chain(20_000, 1)).is_err_and(|why| why.contains("deep") || why.contains("heavy")));
        let tree = json!({ "type": "object", "properties": {
            "left": { "$ref": "#" }, "right": { "$ref": "#" }, "all": { "type": "array", "items": { "$ref": "#" } },
        } });
        assert_eq!(check(&tree), Ok(()));
        assert_eq!(check(&json!({ "$ref": "#" })), Ok(()));
        assert_eq!(check(&json!({ "$ref": "#/nowhere" })), Ok(()), "the validator refuses it");
    }
}
