//! The page that creates a tenant: a short form, from which a commented tenant file is made.

use super::{
    console_request::ConsoleRequest, form_data::FormData, layout::Layout, paths::BASE, response::ConsoleResponse,
    save_errors::is_shown_on_form,
};
use crate::{
    caller::Permission,
    config_errors::{ConfigErrorBody, from_error_data},
    state::AdminState,
    tenants::{self, Precondition, TenantDraft},
    validation,
};
use askama::Template;
use menlou_config::tenant::TenantName;
use menlou_error::{Error, Result, codes};
use menlou_tenant::{NewTenant, new_tenant_file};
use secrecy::zeroize::Zeroizing;

/// The actions that the form offers: those that need no settings.
const OFFERED_ACTIONS: [&str; 4] = ["openid", "login", "user", "logout"];
/// The fields that show their errors themselves, as pointers into the file. `tenant` is the name itself.
const FIELDS: [&str; 5] = ["tenant", "/name", "/wechat/appid", "/wechat/secret", "/wechat/base_url"];

#[derive(Template)]
#[template(path = "new_tenant.html")]
struct NewTenantPage {
    layout: Layout,
    tenant: String,
    name: String,
    appid: String,
    base_url: String,
    actions: Vec<OfferedAction>,
    /// Why the tenant was not created.
    failure: Option<String>,
    errors: Vec<ConfigErrorBody>,
}

/// The errors in the form so far, as a fragment.
#[derive(Template)]
#[template(path = "new_tenant_check.html")]
struct CheckFragment {
    layout: Layout,
    errors: Vec<ConfigErrorBody>,
}

struct OfferedAction {
    name: String,
    title: String,
    is_selected: bool,
}

/// `GET /console/new`
pub async fn show(request: ConsoleRequest) -> Result<ConsoleResponse> {
    request.caller()?.require_everywhere(Permission::Operate)?;
    ConsoleResponse::page(&NewTenantPage::new(&request, None))
}

/// `POST /console/new/check`: validates while the form is being filled in.
pub async fn check(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let (state, caller) = (request.state(), request.caller()?);
    caller.require_everywhere(Permission::Operate)?;
    let errors = match tenant_name(request.form.get("tenant")) {
        Ok(name) => validation::check(state, caller, &name, file_text(state, &request.form)).await?.faults,
        Err(error) => vec![name_error(&error)],
    };
    ConsoleResponse::page(&CheckFragment { errors: in_filled_fields(errors, &request.form), layout: request.layout })
}

/// `POST /console/new`
pub async fn create(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let (state, caller) = (request.state(), request.caller()?);
    caller.require_everywhere(Permission::Operate)?;
    let created = match tenant_name(request.form.get("tenant")) {
        Ok(name) => {
            let text = validation::encrypt_secrets(state, caller, &name, file_text(state, &request.form)).await?;
            let saved = tenants::save(state, caller, &name, TenantDraft::File(text), Precondition::NotExists).await;
            saved.map(|_| name)
        }
        Err(error) => Err(error),
    };
    match created {
        Ok(name) => Ok(ConsoleResponse::redirect(format!("{BASE}tenants/{name}?done=made"))),
        Err(error) if is_shown_on_form(&error) => {
            let page = NewTenantPage::new(&request, Some(&error));
            Ok(ConsoleResponse::page(&page)?.with_error_status(&error))
        }
        Err(error) => Err(error),
    }
}

fn tenant_name(written: &str) -> Result<TenantName> {
    TenantName::parse(written).map_err(|text| Error::new(&codes::BAD_PARAMETER).with_message(text))
}

/// The tenant file that the form describes.
fn file_text(state: &AdminState, form: &FormData) -> Zeroizing<String> {
    let library = state.library.load();
    let selected: Vec<&str> = form.all("action").collect();
    let facts = NewTenant {
        tenant: form.get("tenant"),
        name: form.get("name").trim(),
        appid: form.get("appid").trim(),
        secret: form.get("secret").trim(),
        base_url: Some(form.get("base_url").trim()).filter(|url| !url.is_empty()),
        actions: library.actions().filter(|action| selected.contains(&action.name.as_str())).collect(),
    };
    Zeroizing::new(new_tenant_file(&facts))
}

/// Leaves out errors in fields that are still empty.
fn in_filled_fields(errors: Vec<ConfigErrorBody>, form: &FormData) -> Vec<ConfigErrorBody> {
    let is_empty = |error: &ConfigErrorBody| {
        let field = match error.pointer.as_deref() {
            Some("/name") => "name",
            Some("/wechat/appid") => "appid",
            Some("/wechat/secret") => "secret",
            Some("tenant") => "tenant",
            _ => return false,
        };
        form.get(field).is_empty()
    };
    errors.into_iter().filter(|error| !is_empty(error)).collect()
}

impl NewTenantPage {
    fn new(request: &ConsoleRequest, error: Option<&Error>) -> Self {
        let (form, layout) = (&request.form, request.layout.clone());
        let library = request.state().library.load();
        let find = |name: &&str| library.actions().find(|action| action.name == **name);
        let actions = OFFERED_ACTIONS.iter().filter_map(find).map(|action| OfferedAction {
            name: action.name.clone(),
            title: layout.s(&action.title).to_owned(),
            is_selected: error.is_none() || form.all("action").any(|selected| selected == action.name),
        });
        Self {
            actions: actions.collect(),
            tenant: form.get("tenant").to_owned(),
            name: form.get("name").to_owned(),
            appid: form.get("appid").to_owned(),
            base_url: form.get("base_url").to_owned(),
            failure: error.map(|error| layout.s(error.meaning()).to_owned()),
            errors: error.map(from_error_data).unwrap_or_default(),
            layout,
        }
    }
}

/// The errors in one field.
fn errors_at<'a>(errors: &'a [ConfigErrorBody], pointer: &str, layout: &Layout) -> Vec<&'a str> {
    let here = errors.iter().filter(|error| error.pointer.as_deref() == Some(pointer));
    here.map(|error| error.text(layout.language)).collect()
}

/// The errors that belong to none of the [`FIELDS`].
fn other_errors<'a>(errors: &'a [ConfigErrorBody], layout: &Layout) -> Vec<&'a str> {
    let others = errors.iter().filter(|error| error.pointer.as_deref().is_none_or(|at| !FIELDS.contains(&at)));
    others.map(|error| error.text(layout.language)).collect()
}

/// An invalid tenant name as an error in the field `tenant`.
fn name_error(error: &Error) -> ConfigErrorBody {
    let text = error.meaning();
    let (zh, en) = (text.zh.clone().into_owned(), text.en.clone().into_owned());
    ConfigErrorBody { line: None, column: None, pointer: Some("tenant".to_owned()), zh, en }
}
