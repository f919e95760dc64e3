//! Whether a tenant's credentials work: asked of its platform, told in words.

use super::{
    caller::{Caller, Permission},
    plugins::BilingualText,
    state::AdminState,
    tenants, validation,
};
use menlou_config::{load::Document, tenant::TenantName};
use menlou_error::{Error, Result, codes};
use menlou_platform::wechat::verify::Finding;
use schemars::JsonSchema;
use serde::Serialize;

/// What the platform said.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verification {
    /// Whether everything works.
    pub ok: bool,
    /// Step by step.
    pub steps: Vec<Step>,
}

/// What was asked, and what came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Step {
    /// token, login or phone.
    pub step: &'static str,
    /// What was asked, for people.
    pub title: BilingualText,
    /// What is wrong; null where it works.
    pub trouble: Option<Trouble>,
}

/// What is wrong.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Trouble {
    /// The platform's code; null where it did not get so far.
    pub errcode: Option<i64>,
    /// The platform's id of the request, for its support.
    pub rid: Option<String>,
    /// The gateway's address as the platform saw it, where it refuses that.
    pub address: Option<String>,
    /// What it means.
    pub what: BilingualText,
    /// Who has to act.
    pub who: BilingualText,
    /// What to do.
    pub remedy: BilingualText,
    /// Where in the platform's console.
    pub place: Option<BilingualText>,
    /// What only this case tells.
    pub note: Option<BilingualText>,
    /// What the system or the platform said.
    pub cause: String,
}

/// Asks the platform with what the tenant's file says now. Nothing is changed, and no token renewed; it may take half a
/// minute.
///
/// # Errors
/// `forbidden`, `unknown_tenant`, `tenant_faulty`, `overloaded` where too many are asking.
pub async fn verify(state: &AdminState, caller: &Caller, name: &TenantName) -> Result<Verification> {
    caller.require(Permission::Write, name.as_str())?;
    let _turn = state.verifications.try_acquire().map_err(|_| Error::new(&codes::OVERLOADED))?;
    let (account, phone) = tenants::blocking(state, name, |files, _, name| {
        let text = files.read(&name).map_err(tenants::refused)?.text;
        let doc = Document::parse(files.path(&name), text.as_bytes())
            .map_err(|faults| validation::faulty(validation::flaws(&faults, None)))?;
        let validated =
            files.check(&name, &text).map_err(|faults| validation::faulty(validation::flaws(&faults, Some(&doc))))?;
        Ok((validated.account, menlou_tenant::logs_in_by_phone(&doc)))
    })
    .await?;
    let findings = menlou_tenant::verify(&account, phone, state.http.clone(), |_| ()).await;
    let ok = findings.iter().all(|finding| finding.trouble.is_none());
    if let Some(tenant) = state.registry.find(name.as_str()) {
        tenant.activity.verified(ok);
    }
    Ok(Verification { ok, steps: findings.into_iter().map(Step::from).collect() })
}

impl From<Finding> for Step {
    fn from(Finding { step, trouble }: Finding) -> Self {
        let trouble = trouble.map(|trouble| Trouble {
            errcode: trouble.errcode,
            rid: trouble.rid,
            address: trouble.address.map(|address| address.to_string()),
            what: (&trouble.explanation.what).into(),
            who: (&trouble.explanation.who.text()).into(),
            remedy: (&trouble.explanation.remedy).into(),
            place: trouble.explanation.place.as_ref().map(BilingualText::from),
            note: trouble.note.as_ref().map(BilingualText::from),
            cause: trouble.cause,
        });
        Self { step: step.name(), title: (&step.text()).into(), trouble }
    }
}
