//! Verification of a tenant's credentials with its platform.

use super::{
    bilingual::BilingualText,
    caller::{Caller, Permission},
    config_errors::{error_bodies, tenant_faulty},
    state::AdminState,
    tenant_files::{file_error, with_tenant_files},
};
use menlou_config::{load::Document, tenant::TenantName};
use menlou_error::{Error, Result, codes};
use menlou_platform::wechat::verify::CheckResult;
use schemars::JsonSchema;
use serde::Serialize;

/// The result of a verification.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verification {
    /// Whether all steps succeeded.
    pub ok: bool,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One request to the platform and its result.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Step {
    /// token, login or phone.
    pub step: &'static str,
    /// What was tried.
    pub title: BilingualText,
    /// Why the step failed; null if it succeeded.
    pub trouble: Option<StepFailure>,
}

/// Why a step failed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepFailure {
    /// The platform's error code; null if the platform did not respond with one.
    pub errcode: Option<i64>,
    /// The platform's request id, for its support.
    pub rid: Option<String>,
    /// The gateway's address as the platform sees it, if the platform rejects this address.
    pub address: Option<String>,
    /// What the error code means.
    pub what: BilingualText,
    /// Who has to act.
    pub who: BilingualText,
    /// How to fix it.
    pub remedy: BilingualText,
    /// Where in the platform's web console.
    pub place: Option<BilingualText>,
    /// A remark about this particular failure.
    pub note: Option<BilingualText>,
    /// The message of the platform or the operating system.
    pub cause: String,
}

/// Tries the credentials in the tenant's current file. Nothing is changed and no token is renewed. This may take half a
/// minute.
///
/// # Errors
/// `forbidden`, `unknown_tenant`, `tenant_faulty`; `overloaded` if too many verifications are running.
pub async fn verify(state: &AdminState, caller: &Caller, name: &TenantName) -> Result<Verification> {
    caller.require(Permission::Write, name.as_str())?;
    let _permit = state.verifications.try_acquire().map_err(|_| Error::new(&codes::OVERLOADED))?;
    let (credentials, phone) = with_tenant_files(state, caller, name, |files, _, name| {
        let text = files.read(&name).map_err(file_error)?.text;
        let document = Document::parse(files.path(&name), text.as_bytes())
            .map_err(|errors| tenant_faulty(error_bodies(&errors, None)))?;
        let validated =
            files.check(&name, &text).map_err(|errors| tenant_faulty(error_bodies(&errors, Some(&document))))?;
        Ok((validated.credentials, menlou_tenant::logs_in_by_phone(&document)))
    })
    .await?;
    let results = menlou_platform::verify(&credentials, phone, state.http.clone(), |_| ()).await;
    let ok = results.iter().all(|result| result.failure.is_none());
    if let Some(tenant) = state.registry.find(name.as_str()) {
        tenant.activity.record_verification(ok);
    }
    Ok(Verification { ok, steps: results.into_iter().map(Step::from).collect() })
}

impl From<CheckResult> for Step {
    fn from(CheckResult { step, failure: trouble }: CheckResult) -> Self {
        let trouble = trouble.map(|trouble| StepFailure {
            errcode: trouble.errcode,
            rid: trouble.rid,
            address: trouble.address.map(|address| address.to_string()),
            what: (&trouble.explanation.meaning).into(),
            who: (&trouble.explanation.responsible.text()).into(),
            remedy: (&trouble.explanation.remedy).into(),
            place: trouble.explanation.location.as_ref().map(BilingualText::from),
            note: trouble.note.as_ref().map(BilingualText::from),
            cause: trouble.cause,
        });
        Self { step: step.name(), title: (&step.text()).into(), trouble }
    }
}
