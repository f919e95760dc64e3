//! Listing, reading, changing and deleting the users of a tenant, and unbinding their openids.

use super::{
    caller::{Caller, Permission},
    sessions::end_openids,
    state::{AdminState, AuditedAction},
    timestamp::Timestamp,
};
use menlou_config::tenant::TenantName;
use menlou_error::text::Text;
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_policy::profile;
use menlou_store::{Profile, ProfileQuery, UpdateOutcome};
use schemars::JsonSchema;
use serde::Serialize;

/// Maximum length of a name, in characters; the same as in the action `user`.
const MAX_NAME: usize = 64;
/// Maximum length of a picture URL, in characters.
const MAX_AVATAR_URL: usize = 2048;

/// A user with all stored personal data except the password.
#[derive(Debug, Serialize, JsonSchema)]
pub struct User {
    /// Unique across all tenants.
    pub id: i64,
    /// The display name.
    pub name: String,
    /// The URL of the user's picture.
    pub avatar_url: String,
    /// The account name for login with a password.
    pub account: Option<String>,
    /// The phone number in E.164 format.
    pub phone: Option<String>,
    /// The id in the tenant's own login service.
    pub external_id: Option<String>,
    /// When the account was created.
    pub created_at: Timestamp,
    /// When the account was last changed.
    pub updated_at: Timestamp,
    /// The openids that are bound to the user.
    pub bindings: Vec<Binding>,
    /// Incremented by each change of the name or picture. The ETag contains this number.
    pub version: i64,
}

/// An openid that is bound to a user.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Binding {
    /// The platform: wechat.
    pub platform: String,
    /// The id of the person in this mini-program.
    pub openid: String,
    /// The id of the person across the apps of one open-platform account.
    pub unionid: Option<String>,
    /// When the openid was bound.
    pub created_at: Timestamp,
}

/// A change of a user's profile. `None` keeps the value.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// The display name, at most 64 characters.
    pub name: Option<String>,
    /// The URL of the user's picture, at most 2048 characters.
    pub avatar_url: Option<String>,
}

/// The calling codes that are tried for a number without one, where most users of mini-programs are.
const LOCAL_CODES: [&str; 4] = ["86", "852", "853", "886"];

/// The matching users by ascending id, at most `limit`.
///
/// # Errors
/// `forbidden`, `store_unavailable`.
pub async fn find(
    state: &AdminState,
    caller: &Caller,
    tenant: &TenantName,
    query: ProfileQuery<'_>,
    limit: u32,
) -> Result<Vec<User>> {
    caller.require(Permission::ReadPersonalData, tenant.as_str())?;
    let profiles = state.stores.accounts.profiles(tenant.as_str(), query, limit).await?;
    Ok(profiles.into_iter().map(User::from).collect())
}

/// The users with this phone number, as people write it: in E.164 format, with spaces or hyphens, with `00` for the `+`,
/// without the `+`, or as a local number of mainland China, Hong Kong, Macau or Taiwan.
///
/// # Errors
/// `forbidden`, `store_unavailable`.
pub async fn find_by_phone(state: &AdminState, caller: &Caller, tenant: &TenantName, phone: &str) -> Result<Vec<User>> {
    let mut found: Vec<User> = Vec::new();
    for number in possible_numbers(phone) {
        found.extend(find(state, caller, tenant, ProfileQuery::Phone(&number), 1).await?);
    }
    found.sort_by_key(|user| user.id);
    Ok(found)
}

/// The numbers in E.164 format that a written number may stand for.
fn possible_numbers(written: &str) -> Vec<String> {
    // Full-width digits and signs come from Chinese keyboards.
    let narrow = |c: char| match c {
        '０'..='９' => char::from_digit(u32::from(c) - u32::from('０'), 10).unwrap_or(c),
        '＋' => '+',
        c => c,
    };
    let is_layout =
        |c: char| c.is_whitespace() || matches!(c, '-' | '‐' | '–' | '—' | '.' | '(' | ')' | '（' | '）' | '/');
    let number: String = written.chars().map(narrow).filter(|c| !is_layout(*c)).collect();
    if let Some(digits) = number.strip_prefix('+').or_else(|| number.strip_prefix("00")) {
        return vec![format!("+{digits}")];
    }
    let mut numbers = vec![format!("+{number}")];
    numbers.extend(LOCAL_CODES.iter().map(|code| format!("+{code}{}", number.strip_prefix('0').unwrap_or(&number))));
    numbers
}

/// One user.
///
/// # Errors
/// `forbidden`, `unknown_user`, `store_unavailable`.
pub async fn read(state: &AdminState, caller: &Caller, tenant: &TenantName, id: i64) -> Result<User> {
    let found = find(state, caller, tenant, ProfileQuery::Id(id), 1).await?;
    found.into_iter().next().ok_or_else(|| Error::new(&admin_codes::UNKNOWN_USER))
}

/// Changes a user. If `version` is given, the user must have this version.
///
/// # Errors
/// `forbidden`, `bad_parameter`, `unknown_user`, `changed_meanwhile`, `store_unavailable`.
pub async fn update(
    state: &AdminState,
    caller: &Caller,
    tenant: &TenantName,
    id: i64,
    version: Option<i64>,
    change: ProfileChange,
) -> Result<User> {
    caller.require(Permission::Write, tenant.as_str())?;
    check_length("name", change.name.as_deref(), MAX_NAME)?;
    check_length("avatar_url", change.avatar_url.as_deref(), MAX_AVATAR_URL)?;
    let bad = |e: Error| Error::new(&codes::BAD_PARAMETER).with_message(e.meaning().clone());
    let name = change.name.as_deref().map(profile::require_name).transpose().map_err(bad)?;
    change.avatar_url.as_deref().map(profile::require_avatar_url).transpose().map_err(bad)?;
    let change = ProfileChange { name, ..change };
    let fields = [("name", &change.name), ("avatar_url", &change.avatar_url)];
    let fields = fields.iter().filter(|(_, value)| value.is_some()).map(|(field, _)| *field).collect::<Vec<_>>();
    // Only the names of the fields: the audit log is kept after the user has been deleted.
    let after = Some(fields.join(", "));
    let target = Some(id.to_string());
    let action =
        AuditedAction { what: "user.update", tenant: tenant.as_str(), target, after, ..AuditedAction::default() };
    let changing = async {
        let (name, avatar_url) = (change.name.as_deref(), change.avatar_url.as_deref());
        let outcome = state.stores.accounts.update_profile(tenant.as_str(), id, version, name, avatar_url).await?;
        require_done(outcome)?;
        read(state, caller, tenant, id).await
    };
    state.audited(caller, action, changing).await
}

/// Unbinds an openid. All its sessions lose the user; the account stays.
///
/// # Errors
/// `forbidden`, `unknown_user`, `unknown_binding`, `store_unavailable`.
pub async fn unbind(
    state: &AdminState,
    caller: &Caller,
    tenant: &TenantName,
    id: i64,
    platform: &str,
    openid: &str,
) -> Result<()> {
    caller.require(Permission::Write, tenant.as_str())?;
    let user = read(state, caller, tenant, id).await?;
    let unknown = || Error::new(&admin_codes::UNKNOWN_BINDING);
    user.bindings.iter().find(|b| b.platform == platform && b.openid == openid).ok_or_else(unknown)?;
    let target = Some(id.to_string());
    let action = AuditedAction { what: "user.unbind", tenant: tenant.as_str(), target, ..AuditedAction::default() };
    let unbinding = async {
        let unbound = state.stores.users.unbind(tenant.as_str(), platform, openid).await?;
        unbound.then_some(()).ok_or_else(unknown)
    };
    state.audited(caller, action, unbinding).await
}

/// Deletes a person's data: the account, its bindings, and the sessions of its openids.
///
/// # Errors
/// `forbidden`, `unknown_user`, `changed_meanwhile`; `store_unavailable`, after which the deletion may be incomplete and
/// can be repeated.
pub async fn forget(
    state: &AdminState,
    caller: &Caller,
    tenant: &TenantName,
    id: i64,
    version: Option<i64>,
) -> Result<()> {
    caller.require(Permission::Write, tenant.as_str())?;
    let user = read(state, caller, tenant, id).await?;
    if version.is_some_and(|version| version != user.version) {
        return Err(Error::new(&admin_codes::CHANGED_MEANWHILE));
    }
    let openids: Vec<_> = user.bindings.into_iter().map(|bound| (bound.platform, bound.openid)).collect();
    let target = Some(id.to_string());
    let action = AuditedAction { what: "user.forget", tenant: tenant.as_str(), target, ..AuditedAction::default() };
    let forgetting = async {
        // Sessions first: if they cannot be ended, the account still lists the openids for the next attempt.
        end_openids(state, tenant, &openids).await?;
        require_done(state.stores.accounts.delete_account(tenant.as_str(), id, version).await?)?;
        // Sessions that were opened in the meantime.
        end_openids(state, tenant, &openids).await?;
        Ok(())
    };
    state.audited(caller, action, forgetting).await
}

fn require_done(outcome: UpdateOutcome) -> Result<()> {
    match outcome {
        UpdateOutcome::Done => Ok(()),
        UpdateOutcome::VersionMismatch => Err(Error::new(&admin_codes::CHANGED_MEANWHILE)),
        UpdateOutcome::NotFound => Err(Error::new(&admin_codes::UNKNOWN_USER)),
    }
}

fn check_length(field: &str, text: Option<&str>, max: usize) -> Result<()> {
    let is_valid = |text: &str| text.chars().count() <= max && !text.chars().any(char::is_control);
    if text.is_none_or(is_valid) {
        return Ok(());
    }
    let text = Text::new(
        format!("{field} 最多 {max} 个字符，不含控制字符"),
        format!("{field} must have at most {max} characters and no control characters"),
    );
    Err(Error::new(&codes::BAD_PARAMETER).with_message(text))
}

impl From<Profile> for User {
    fn from(profile: Profile) -> Self {
        let bindings = profile.bindings.into_iter().map(|bound| Binding {
            platform: bound.platform,
            openid: bound.openid,
            unionid: bound.unionid,
            created_at: Timestamp(bound.created_at),
        });
        Self {
            bindings: bindings.collect(),
            id: profile.id,
            name: profile.name,
            avatar_url: profile.avatar_url,
            account: profile.account,
            phone: profile.phone,
            external_id: profile.external_id,
            created_at: Timestamp(profile.created_at),
            updated_at: Timestamp(profile.updated_at),
            version: profile.version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_is_understood_as_people_write_it() {
        let stands_for = |written: &str, number: &str| possible_numbers(written).iter().any(|one| one == number);
        for written in [
            "+8613800138000",
            "13800138000",
            "138 0013 8000",
            "138-0013-8000",
            "8613800138000",
            "008613800138000",
            "+86 138 0013 8000",
            "(+86) 138-0013-8000",
            "１３８００１３８０００",
            "＋86 13800138000",
        ] {
            assert!(stands_for(written, "+8613800138000"), "{written}");
        }
        assert!(stands_for("5123 4567", "+85251234567") && stands_for("0912 345 678", "+886912345678"));
        assert_eq!(possible_numbers("+1 202 555 0123"), ["+12025550123"]);
        assert!(!stands_for("1380013800", "+8613800138000"));
    }
}
