//! Converts a request's parameters to the types of the action's schema, and validates them.

use ::menlou_call::Params;
use menlou_config::{check, schema::Schema};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use serde_json::Value;

/// The schema of an action's parameters. Parameters that the schema does not name are accepted.
#[derive(Debug)]
pub struct ParamsSchema {
    schema: Schema,
    /// Parameters that cannot be texts, and their types. Texts from a query or form are converted to them.
    typed: Vec<(String, Vec<Type>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Integer,
    Number,
    Boolean,
    /// An array or object, given as JSON in a query or form.
    Structure,
}

impl ParamsSchema {
    /// Compiles a schema. `None` accepts any parameters.
    ///
    /// # Errors
    /// Why it is not a JSON Schema, in English.
    pub fn compile(schema: Option<Value>) -> std::result::Result<Self, String> {
        let schema = schema.unwrap_or_else(|| serde_json::json!({ "type": "object" }));
        let properties = schema.get("properties").and_then(Value::as_object);
        let typed = properties
            .into_iter()
            .flatten()
            .filter_map(|(name, property)| Some((name.clone(), types(property)?)))
            .collect();
        Ok(Self { schema: Schema::compile(&schema)?, typed })
    }

    /// The schema as JSON.
    pub fn as_json(&self) -> &Value {
        self.schema.as_json()
    }

    /// Converts texts to the types of the schema and validates all parameters.
    ///
    /// # Errors
    /// `missing_parameter` or `bad_parameter`. The text names the parameter, never its value.
    pub fn convert(&self, params: &mut Params) -> Result<()> {
        for (name, types) in &self.typed {
            if let Some(value) = params.as_map_mut().get_mut(name)
                && let Some(converted) = value.as_str().and_then(|text| types.iter().find_map(|t| t.parse(text)))
            {
                *value = converted;
            }
        }
        if self.schema.fits(params.as_json()) {
            return Ok(());
        }
        if let Some(name) = self.schema.missing_property(params.as_json()) {
            return Err(missing(&name));
        }
        let findings = check::violations(params.as_json(), &self.schema);
        let text = match findings.into_iter().next() {
            Some(finding) => Text::new(
                format!("参数有误：{}", finding.text.zh),
                format!("A parameter is wrong: {}.", finding.text.en),
            ),
            None => codes::BAD_PARAMETER.meaning().clone(),
        };
        Err(Error::new(&codes::BAD_PARAMETER).with_detail(text))
    }
}

fn missing(name: &str) -> Error {
    let text = Text::new(format!("缺少参数 {name}"), format!("The parameter {name} is missing."));
    Error::new(&codes::MISSING_PARAMETER).with_detail(text)
}

/// The types of a property except text and null, or `None` if the property may be a text.
fn types(property: &Value) -> Option<Vec<Type>> {
    let named: Vec<&str> = match property.get("type")? {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    if named.contains(&"string") {
        return None;
    }
    let types = named.iter().filter_map(|name| match *name {
        "integer" => Some(Type::Integer),
        "number" => Some(Type::Number),
        "boolean" => Some(Type::Boolean),
        "array" | "object" => Some(Type::Structure),
        _ => None,
    });
    Some(types.collect())
}

impl Type {
    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::Integer => text.parse::<i64>().ok().map(Value::from),
            Self::Number => text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
            Self::Boolean => match text {
                "1" | "true" => Some(Value::Bool(true)),
                "0" | "false" => Some(Value::Bool(false)),
                _ => None,
            },
            Self::Structure => serde_json::from_str(text).ok().filter(|v: &Value| v.is_array() || v.is_object()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn converted(given: Value) -> std::result::Result<Value, (String, String)> {
        let schema = json!({
            "type": "object",
            "required": ["code"],
            "properties": {
                "code": { "type": "string", "maxLength": 4 },
                "count": { "type": ["integer", "null"], "minimum": 0 },
                "ratio": { "type": "number" },
                "unbind": { "type": "boolean" },
                "list": { "type": "array" },
                "either": { "type": ["string", "integer"] },
            },
            "if": { "required": ["other"] },
            "then": { "anyOf": [{ "required": ["ratio"] }, { "required": ["list"] }] },
        });
        let mut params = Params::new();
        *params.as_map_mut() = given.as_object().cloned().unwrap();
        match ParamsSchema::compile(Some(schema)).unwrap().convert(&mut params) {
            Ok(()) => Ok(params.as_json().clone()),
            Err(e) => Err((e.code().to_owned(), e.meaning().en.clone().into_owned())),
        }
    }

    #[test]
    fn texts_are_converted_to_the_types_of_the_schema() {
        let given = json!({ "code": "12", "count": "3", "ratio": "0.5", "unbind": "1", "list": "[1]", "either": "7", "other": "8" });
        let wanted =
            json!({ "code": "12", "count": 3, "ratio": 0.5, "unbind": true, "list": [1], "either": "7", "other": "8" });
        assert_eq!(converted(given), Ok(wanted));
    }

    #[test]
    fn an_error_names_the_parameter_but_not_its_value() {
        for (given, code, name) in [
            (json!({}), "missing_parameter", "code"),
            (json!({ "count": "s3cret" }), "missing_parameter", "code"),
            (json!({ "code": "1", "other": "s3cret" }), "missing_parameter", "ratio"),
            (json!({ "code": "s3cret" }), "bad_parameter", "code"),
            (json!({ "code": ["s3cret"] }), "bad_parameter", "code"),
            (json!({ "code": "1", "count": "s3cret" }), "bad_parameter", "count"),
            (json!({ "code": "1", "count": "-1" }), "bad_parameter", "count"),
            (json!({ "code": "1", "ratio": "NaN" }), "bad_parameter", "ratio"),
            (json!({ "code": "1", "unbind": "s3cret" }), "bad_parameter", "unbind"),
            (json!({ "code": "1", "list": "s3cret" }), "bad_parameter", "list"),
        ] {
            let (got, text) = converted(given.clone()).unwrap_err();
            assert_eq!(got, code, "{given}");
            assert!(text.contains(name) && !text.contains("s3cret"), "{given}: {text}");
        }
    }
}
