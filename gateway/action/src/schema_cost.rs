//! Bounds the cost of validating a value against a plugin's schema. A schema that is too expensive is rejected.

use serde_json::Value;
use std::collections::HashMap;

/// Maximum cost of a schema. The cost is about the number of steps for one value; a step takes 10 ns or more.
const MAX_COST: u64 = 200_000;
/// Maximum depth of nested and referenced schemas.
const MAX_DEPTH: usize = 1000;

/// Adds up the cost of each part of a schema: 1, and the costs of its parts and of each reference's target.
struct CostVisitor<'a> {
    schema: &'a Value,
    known: HashMap<*const Value, u64>,
}

/// Checks the cost of a schema.
///
/// # Errors
/// The reason, in English.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let cost = CostVisitor { schema, known: HashMap::new() }.cost(schema, 0)?;
    if cost > MAX_COST {
        return Err("too expensive: repeated references need too many steps for each value".into());
    }
    Ok(())
}

impl<'a> CostVisitor<'a> {
    fn cost(&mut self, part: &'a Value, depth: usize) -> Result<u64, String> {
        if depth > MAX_DEPTH {
            return Err(format!("its references are more than {MAX_DEPTH} levels deep"));
        }
        // A recursive reference is followed only as deep as the value is nested. It counts 1 while its target is visited.
        if let Some(known) = self.known.get(&std::ptr::from_ref(part)) {
            return Ok(*known);
        }
        self.known.insert(part, 1);
        let mut cost: u64 = 1;
        let parts: Vec<&Value> = match part {
            Value::Object(object) => object.values().chain(self.target(part)).collect(),
            Value::Array(items) => items.iter().collect(),
            _ => Vec::new(),
        };
        for part in parts {
            cost = cost.saturating_add(self.cost(part, depth + 1)?);
        }
        self.known.insert(part, cost);
        Ok(cost)
    }

    fn target(&self, part: &Value) -> Option<&'a Value> {
        self.schema.pointer(part.get("$ref")?.as_str()?.strip_prefix('#')?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    /// A schema with `count` definitions, each of which refers `times` times to the next one.
    fn chain(count: usize, times: usize) -> Value {
        let next = |i: usize| vec![json!({ "$ref": format!("#/$defs/d{}", i + 1) }); times];
        let mut defs: Map<_, _> = (0..count).map(|i| (format!("d{i}"), json!({ "allOf": next(i) }))).collect();
        defs.insert(format!("d{count}"), json!({ "type": "object" }));
        json!({ "$ref": "#/$defs/d0", "$defs": defs })
    }

    #[test]
    fn exponential_references_are_rejected_and_recursive_ones_are_accepted() {
        assert_eq!(check(&chain(100, 1)), Ok(()));
        assert_eq!(check(&chain(8, 2)), Ok(()));
        assert!(check(&chain(40, 2)).is_err_and(|why| why.contains("too expensive")));
        assert!(check(&chain(20_000, 1)).is_err_and(|why| why.contains("deep") || why.contains("expensive")));
        let tree = json!({ "type": "object", "properties": {
            "left": { "$ref": "#" }, "right": { "$ref": "#" }, "all": { "type": "array", "items": { "$ref": "#" } },
        } });
        assert_eq!(check(&tree), Ok(()));
        assert_eq!(check(&json!({ "$ref": "#" })), Ok(()));
        assert_eq!(check(&json!({ "$ref": "#/nowhere" })), Ok(()), "the schema compiler rejects it");
    }
}
