//! The caller of an admin operation, the caller's role, and what each role permits.

use menlou_config::tenant::TenantName;
use menlou_error::text::Text;
use menlou_error::{Error, Result, admin_codes as codes};
use std::fmt;

/// The role of an admin token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Operator,
    /// Reads everything except secrets and personal data.
    Viewer,
    /// Reads and changes one tenant.
    Tenant(TenantName),
}

/// The permission that an operation requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Any valid token. For data that concerns no tenant.
    Authenticated,
    /// Read settings, status and usage.
    Read,
    /// Read personal data: sessions, users, openids, phone numbers.
    ReadPersonalData,
    /// Change a tenant, its users and its sessions.
    Write,
    /// Create and remove tenants.
    Operate,
}

/// The owner of a valid admin token.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token's id.
    pub id: String,
    /// The token's label: a person or a purpose.
    pub label: String,
    /// The token's role.
    pub role: Role,
}

impl Caller {
    /// Checks that the caller has this permission for one tenant.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require(&self, permission: Permission, tenant: &str) -> Result<()> {
        self.check(permission, Some(tenant))
    }

    /// Checks that the caller has this permission for all tenants.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require_everywhere(&self, permission: Permission) -> Result<()> {
        self.check(permission, None)
    }

    fn check(&self, permission: Permission, tenant: Option<&str>) -> Result<()> {
        let is_allowed = match &self.role {
            Role::Operator => true,
            Role::Viewer => matches!(permission, Permission::Authenticated | Permission::Read),
            Role::Tenant(own) => {
                permission == Permission::Authenticated
                    || permission != Permission::Operate && tenant == Some(own.as_str())
            }
        };
        if is_allowed { Ok(()) } else { Err(Error::new(&codes::FORBIDDEN)) }
    }
}

impl Role {
    /// Parses `operator`, `viewer` or `tenant:NAME`.
    ///
    /// # Errors
    /// The text lists the roles.
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
    fn each_role_has_its_permissions_and_no_other() {
        let caller = |role| Caller { id: "1".into(), label: String::new(), role: Role::parse(role).unwrap() };
        let (operator, viewer, acme) = (caller("operator"), caller("viewer"), caller("tenant:acme"));
        for permission in [
            Permission::Authenticated,
            Permission::Read,
            Permission::ReadPersonalData,
            Permission::Write,
            Permission::Operate,
        ] {
            let is_read = matches!(permission, Permission::Authenticated | Permission::Read);
            let is_authenticated = permission == Permission::Authenticated;
            assert!(
                operator.require(permission, "acme").is_ok() && operator.require_everywhere(permission).is_ok(),
                "{permission:?}"
            );
            assert_eq!(viewer.require(permission, "acme").is_ok(), is_read, "{permission:?}");
            assert_eq!(viewer.require_everywhere(permission).is_ok(), is_read, "{permission:?}");
            assert_eq!(acme.require(permission, "acme").is_ok(), permission != Permission::Operate, "{permission:?}");
            assert_eq!(acme.require(permission, "acme2").is_ok(), is_authenticated, "{permission:?}");
            assert_eq!(acme.require_everywhere(permission).is_ok(), is_authenticated, "{permission:?}");
        }
    }

    #[test]
    fn role_is_parsed_from_its_display() {
        for role in ["operator", "viewer", "tenant:acme"] {
            assert_eq!(Role::parse(role).unwrap().to_string(), role);
        }
        for invalid in ["", "Operator", "tenant", "tenant:", "tenant:A", "tenant:../x", "admin"] {
            assert!(Role::parse(invalid).is_err(), "{invalid}");
        }
    }
}
