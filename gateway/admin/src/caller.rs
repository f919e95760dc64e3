//! Who is asking on the admin side, and what they may do.

use menlou_config::tenant::TenantName;
use menlou_error::text::Text;
use menlou_error::{Error, Result, admin_codes as codes};
use std::fmt;

/// What a token's bearer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// May do everything.
    Operator,
    /// Reads everything but secrets and people's data.
    Viewer,
    /// Reads and changes one tenant.
    Tenant(TenantName),
}

/// What something takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Any good token: what tells nothing of any tenant.
    Know,
    /// Reading settings and numbers.
    See,
    /// Reading people's data.
    Meet,
    /// Changing a tenant and what belongs to it.
    Change,
    /// What concerns the gateway as a whole: making and removing tenants.
    Operate,
}

/// Someone who showed a good token.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token's id.
    pub id: String,
    /// Whose token it is, or what for.
    pub label: String,
    /// What they are.
    pub role: Role,
}

impl Caller {
    /// Whether they may do this to a tenant.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn may(&self, right: Right, tenant: &str) -> Result<()> {
        self.allowed(right, Some(tenant))
    }

    /// Whether they may do this to all tenants.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn may_everywhere(&self, right: Right) -> Result<()> {
        self.allowed(right, None)
    }

    fn allowed(&self, right: Right, tenant: Option<&str>) -> Result<()> {
        let allowed = match &self.role {
            Role::Operator => true,
            Role::Viewer => matches!(right, Right::Know | Right::See),
            Role::Tenant(own) => right == Right::Know || right != Right::Operate && tenant == Some(own.as_str()),
        };
        if allowed { Ok(()) } else { Err(Error::new(&codes::FORBIDDEN)) }
    }
}

impl Role {
    /// Reads a role as people write it: `operator`, `viewer`, `tenant:NAME`.
    ///
    /// # Errors
    /// What roles there are.
    pub fn parse(written: &str) -> Result<Self, Text> {
        match (written, written.strip_prefix("tenant:")) {
            ("operator", _) => Ok(Self::Operator),
            ("viewer", _) => Ok(Self::Viewer),
            (_, Some(name)) => TenantName::parse(name).map(Self::Tenant),
            _ => Err(Text::fixed(
                "角色应为 operator、viewer 或 tenant:租户名",
                "a role is operator, viewer or tenant:NAME",
            )),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Viewer => f.write_str("viewer"),
            Self::Tenant(name) => write!(f, "tenant:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_it_is_for() {
        let caller = |role| Caller { id: "1".into(), label: String::new(), role: Role::parse(role).unwrap() };
        let (operator, viewer, acme) = (caller("operator"), caller("viewer"), caller("tenant:acme"));
        for right in [Right::Know, Right::See, Right::Meet, Right::Change, Right::Operate] {
            let (reads, runs) = (matches!(right, Right::Know | Right::See), right == Right::Operate);
            assert!(operator.may(right, "acme").is_ok() && operator.may_everywhere(right).is_ok());
            assert_eq!(viewer.may(right, "acme").is_ok(), reads, "{right:?}");
            assert_eq!(viewer.may_everywhere(right).is_ok(), reads, "{right:?}");
            assert_eq!(acme.may(right, "acme").is_ok(), !runs, "{right:?}");
            assert_eq!(acme.may(right, "acme2").is_ok(), right == Right::Know, "{right:?}");
            assert_eq!(acme.may_everywhere(right).is_ok(), right == Right::Know, "{right:?}");
        }
    }

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for role in ["operator", "viewer", "tenant:acme"] {
            assert_eq!(Role::parse(role).unwrap().to_string(), role);
        }
        for no_role in ["", "Operator", "tenant", "tenant:", "tenant:A", "tenant:../x", "admin"] {
            assert!(Role::parse(no_role).is_err(), "{no_role}");
        }
    }
}
