//! A tenant's users: found, read, changed, unbound, and forgotten where a person asks for it.

use super::{
    caller::{Caller, Permission},
    sessions::end_openids,
    state::{AdminState, AuditedAction},
    timestamp::Timestamp,
};
use menlou_config::tenant::TenantName;
use menlou_error::text::Text;
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_store::{Profile, ProfileQuery, UpdateOutcome};
use schemars::JsonSchema;
use serde::Serialize;

/// The longest name, in characters, as the action `user` takes it.
const NAME: usize = 64;
/// The longest address of a picture, in characters.
const AVATAR: usize = 2048;

/// A user with everything that is kept of the person, but the password.
#[derive(Debug, Serialize, JsonSchema)]
pub struct User {
    /// Unique over all tenants.
    pub id: i64,
    /// The name to show.
    pub name: String,
    /// The picture to show.
    pub avatar_url: String,
    /// The name to log in by with a password.
    pub account: Option<String>,
    /// E.164.
    pub phone: Option<String>,
    /// The id at the tenant's own login service.
    pub external_id: Option<String>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// The openids that are bound to it.
    pub bindings: Vec<Binding>,
    /// Counts the changes of name and picture; ETag is made of it.
    pub version: i64,
}

/// An openid that is bound to a user.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Binding {
    /// The platform: wechat.
    pub platform: String,
    /// The person's id in this mini-program.
    pub openid: String,
    /// The person's id across the apps of one open-platform account.
    pub unionid: Option<String>,
    /// When it was bound.
    pub created_at: Timestamp,
}

/// What is to be changed; what is not given stays.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// The name to show: 64 characters at most.
    pub name: Option<String>,
    /// The picture to show: 2048 characters at most.
    pub avatar_url: Option<String>,
}

/// The users that are sought, by ascending id, `most` at most.
///
/// # Errors
/// `forbidden`, `store_unavailable`.
pub async fn find(
    state: &AdminState,
    caller: &Caller,
    tenant: &TenantName,
    seek: ProfileQuery<'_>,
    most: u32,
) -> Result<Vec<User>> {
    caller.require(Permission::ReadPersonalData, tenant.as_str())?;
    let profiles = state.stores.accounts.profiles(tenant.as_str(), seek, most).await?;
    Ok(profiles.into_iter().map(User::from).collect())
}

/// One user.
///
/// # Errors
/// `forbidden`, `unknown_user`, `store_unavailable`.
pub async fn read(state: &AdminState, caller: &Caller, tenant: &TenantName, id: i64) -> Result<User> {
    let found = find(state, caller, tenant, ProfileQuery::Id(id), 1).await?;
    found.into_iter().next().ok_or_else(|| Error::new(&admin_codes::UNKNOWN_USER))
}

/// Changes a user, if it is of this version (or whichever it is of).
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
    within("name", change.name.as_deref(), NAME)?;
    within("avatar_url", change.avatar_url.as_deref(), AVATAR)?;
    let fields = [("name", &change.name), ("avatar_url", &change.avatar_url)];
    let fields = fields.iter().filter(|(_, value)| value.is_some()).map(|(field, _)| *field).collect::<Vec<_>>();
    // Which fields, not what is in them: the log outlives the person's wish to be forgotten.
    let after = Some(fields.join(", "));
    let target = Some(id.to_string());
    let intent = AuditedAction { what: "user.update", tenant: tenant.as_str(), target, before: None, after };
    let changing = async {
        let (name, avatar_url) = (change.name.as_deref(), change.avatar_url.as_deref());
        done(state.stores.accounts.update_profile(tenant.as_str(), id, version, name, avatar_url).await?)?;
        read(state, caller, tenant, id).await
    };
    state.audited(caller, intent, changing).await
}

/// Takes the binding of an openid away: the person is logged out everywhere, and the account stays.
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
    let intent = AuditedAction { what: "user.unbind", tenant: tenant.as_str(), target, ..AuditedAction::default() };
    let unbinding = async {
        let unbound = state.stores.users.unbind(tenant.as_str(), platform, openid).await?;
        unbound.then_some(()).ok_or_else(unknown)
    };
    state.audited(caller, intent, unbinding).await
}

/// Forgets a person: the account, its bindings, and the sessions of its openids.
///
/// # Errors
/// `forbidden`, `unknown_user`, `changed_meanwhile`, `store_unavailable`: what had not ended by then is there still, and
/// the same can be asked for again.
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
    let intent = AuditedAction { what: "user.forget", tenant: tenant.as_str(), target, ..AuditedAction::default() };
    let forgetting = async {
        // The sessions come first: where they can't be ended, the account still tells which they are.
        end_openids(state, tenant, &openids).await?;
        done(state.stores.accounts.delete_account(tenant.as_str(), id, version).await?)?;
        // Those that were opened in between.
        end_openids(state, tenant, &openids).await?;
        Ok(())
    };
    state.audited(caller, intent, forgetting).await
}

fn done(amended: UpdateOutcome) -> Result<()> {
    match amended {
        UpdateOutcome::Done => Ok(()),
        UpdateOutcome::VersionMismatch => Err(Error::new(&admin_codes::CHANGED_MEANWHILE)),
        UpdateOutcome::NotFound => Err(Error::new(&admin_codes::UNKNOWN_USER)),
    }
}

fn within(field: &str, text: Option<&str>, most: usize) -> Result<()> {
    let fits = |text: &str| text.chars().count() <= most && !text.chars().any(char::is_control);
    if text.is_none_or(fits) {
        return Ok(());
    }
    let text = Text::new(
        format!("{field} 最多 {most} 个字符，不含控制字符"),
        format!("{field} has at most {most} characters, and no control characters"),
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
