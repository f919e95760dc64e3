//! Names of the schemas and types of actions.

use menlou_action::NamedAction;
use std::collections::BTreeSet;

/// Sorts actions by name and assigns each the prefix of its schemas and types: `CheckText` for `check-text`. If two actions
/// would have the same prefix, the later one gets a number.
pub fn with_prefixes<'a>(actions: impl IntoIterator<Item = NamedAction<'a>>) -> Vec<(NamedAction<'a>, String)> {
    let mut actions: Vec<NamedAction<'a>> = actions.into_iter().collect();
    actions.sort_by_key(|action| action.name);
    let mut used = BTreeSet::new();
    let prefixed = actions.into_iter().map(|action| {
        let plain = pascal_case(action.name);
        let numbered = (2..).map(|n| format!("{plain}_{n}"));
        let prefix = std::iter::once(plain.clone()).chain(numbered).find(|p| !used.contains(p)).unwrap_or(plain);
        used.insert(prefix.clone());
        (action, prefix)
    });
    prefixed.collect()
}

fn pascal_case(name: &str) -> String {
    let parts = name.split(['-', '_']).filter(|part| !part.is_empty());
    let joined: String = parts.map(|part| part[..1].to_uppercase() + &part[1..]).collect();
    // A name may start with a digit; a TypeScript type may not.
    match joined.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("A{joined}"),
        false => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_names_are_valid_in_typescript() {
        for (name, expected) in [("openid", "Openid"), ("check-text", "CheckText"), ("a_b", "AB"), ("2fa-", "A2fa")] {
            assert_eq!(pascal_case(name), expected);
        }
    }
}
