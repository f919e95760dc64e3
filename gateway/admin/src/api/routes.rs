//! The table of routes.

use super::{
    handlers as h,
    request::{ApiRequest, Brings},
    response::ApiResponse,
};
use crate::Permission;
use crate::plugins;
use crate::tenants;
use crate::users;
use crate::validation;
use crate::verify;
use axum::{http::Method, routing::MethodFilter};
use menlou_error::Result;
use menlou_error::text::Text;
use schemars::{Schema, SchemaGenerator};
use std::{collections::BTreeMap, future::Future, pin::Pin};

/// What serves a request.
type Handler = fn(ApiRequest) -> Pin<Box<dyn Future<Output = Result<ApiResponse>> + Send>>;
/// The schema of a type.
pub type Of = fn(&mut SchemaGenerator) -> Schema;

/// One operation of the API.
pub struct Route {
    /// Its name: the `operationId`.
    pub id: &'static str,
    /// The method.
    pub method: MethodFilter,
    /// The path behind `/api/v1`.
    pub path: &'static str,
    /// What it does.
    pub title: Text,
    /// What it takes of the caller; the rooms themselves see to it.
    pub right: Permission,
    /// What it takes in the query.
    pub query: Option<Of>,
    /// What it takes as body.
    pub body: Brings,
    /// The body's schema, where it is JSON.
    pub takes: Option<Of>,
    /// The status of a success.
    pub status: u16,
    /// What it gives; nothing with 204.
    pub gives: Option<Of>,
    /// Whether it is bound to a version (`If-Match`) or tells one (`ETag`).
    pub versioned: bool,
    /// What serves it.
    pub handler: Handler,
}

/// Every route.
pub static ROUTES: &[Route] = &[
    get("whoami", "/me", Permission::Authenticated, "查看当前令牌", "Tells owner token this is", |asked| {
        Box::pin(h::me(asked))
    })
    .giving(of::<h::Me>),
    get(
        "listTenants",
        "/tenants",
        Permission::Authenticated,
        "列出租户（仅限可见者）",
        "Lists the tenants that the caller may see",
        |asked| Box::pin(h::list_tenants(asked)),
    )
    .asking(of::<h::Names>)
    .giving(of::<h::Tenants>),
    get(
        "readTenant",
        "/tenants/{tenant}",
        Permission::Read,
        "读取租户：文件（密钥已隐去）、状态与问题",
        "Reads a tenant: its file with masked secrets, how it stands, what is wrong",
        |asked| Box::pin(h::read_tenant(asked)),
    )
    .giving(of::<tenants::TenantDetails>)
    .versioned(),
    write(
        "saveTenant",
        MethodFilter::PUT,
        "/tenants/{tenant}",
        Permission::Write,
        "新建（If-None-Match: *，仅运维）或替换（If-Match）租户文件",
        "Makes a tenant (If-None-Match: *, operators only) or replaces its file (If-Match)",
        |asked| Box::pin(h::save_tenant(asked)),
    )
    .taking(Brings::Toml, None)
    .giving(of::<tenants::SavedTenant>)
    .versioned(),
    write(
        "removeTenant",
        MethodFilter::DELETE,
        "/tenants/{tenant}",
        Permission::Operate,
        "删除租户文件；用户与会话保留",
        "Removes a tenant's file; users and sessions stay",
        |asked| Box::pin(h::remove_tenant(asked)),
    )
    .versioned(),
    write(
        "changeTenant",
        MethodFilter::PATCH,
        "/tenants/{tenant}",
        Permission::Write,
        "修改租户文件中的若干设置，注释与格式保留",
        "Changes settings in a tenant's file; comments and layout stay",
        |asked| Box::pin(h::change_tenant(asked)),
    )
    .taking(Brings::Json, Some(of::<h::TenantChange>))
    .giving(of::<tenants::SavedTenant>)
    .versioned(),
    write(
        "verifyTenant",
        MethodFilter::POST,
        "/tenants/{tenant}/verify",
        Permission::Write,
        "用租户的凭据询问平台",
        "Asks the platform with the tenant's credentials",
        |asked| Box::pin(h::verify(asked)),
    )
    .giving(of::<verify::Verification>),
    write(
        "checkTenant",
        MethodFilter::POST,
        "/tenants/{tenant}/check",
        Permission::Write,
        "检查一份草稿，不保存",
        "Checks a draft without saving it",
        |asked| Box::pin(h::check_tenant(asked)),
    )
    .taking(Brings::Toml, None)
    .giving(of::<validation::Verdict>),
    get(
        "readHistory",
        "/tenants/{tenant}/history",
        Permission::Read,
        "租户的审计记录",
        "The log of what admins did to a tenant",
        |asked| Box::pin(h::history(asked)),
    )
    .asking(of::<h::Before>)
    .giving(of::<h::AuditLog>),
    get(
        "readUsage",
        "/tenants/{tenant}/usage",
        Permission::Read,
        "各动作每分钟的调用、失败与耗时（本网关）",
        "Calls, failures and times by action and minute, of this gateway",
        |asked| Box::pin(h::usage(asked)),
    )
    .asking(of::<h::Lately>)
    .giving(of::<h::Usages>),
    get(
        "readFailures",
        "/tenants/{tenant}/failures",
        Permission::Read,
        "最近的失败（本网关）",
        "The latest failures, of this gateway",
        |asked| Box::pin(h::failures(asked)),
    )
    .giving(of::<h::Failures>),
    get(
        "countSessions",
        "/tenants/{tenant}/sessions/count",
        Permission::Read,
        "会话数",
        "How many sessions there are",
        |asked| Box::pin(h::count_sessions(asked)),
    )
    .giving(of::<h::Total>),
    get(
        "findSessions",
        "/tenants/{tenant}/sessions",
        Permission::ReadPersonalData,
        "查找某人的会话",
        "Finds a person's sessions",
        |asked| Box::pin(h::find_sessions(asked)),
    )
    .asking(of::<h::Person>)
    .giving(of::<h::Sessions>),
    write(
        "endSessions",
        MethodFilter::DELETE,
        "/tenants/{tenant}/sessions",
        Permission::Write,
        "结束某人或全部会话",
        "Ends a person's sessions, or all",
        |asked| Box::pin(h::end_sessions(asked)),
    )
    .asking(of::<h::PersonOrAll>)
    .giving(of::<h::Ended>),
    write(
        "endSession",
        MethodFilter::DELETE,
        "/tenants/{tenant}/sessions/{session}",
        Permission::Write,
        "结束一个会话",
        "Ends a session",
        |asked| Box::pin(h::end_session(asked)),
    ),
    get(
        "findUsers",
        "/tenants/{tenant}/users",
        Permission::ReadPersonalData,
        "查找或列出用户",
        "Finds or lists users",
        |asked| Box::pin(h::find_users(asked)),
    )
    .asking(of::<h::Wanted>)
    .giving(of::<h::Users>),
    get(
        "readUser",
        "/tenants/{tenant}/users/{user}",
        Permission::ReadPersonalData,
        "读取用户",
        "Reads a user",
        |asked| Box::pin(h::read_user(asked)),
    )
    .giving(of::<users::User>)
    .versioned(),
    write(
        "updateUser",
        MethodFilter::PATCH,
        "/tenants/{tenant}/users/{user}",
        Permission::Write,
        "修改用户的姓名或头像",
        "Changes a user's name or picture",
        |asked| Box::pin(h::update_user(asked)),
    )
    .taking(Brings::Json, Some(of::<h::UserChange>))
    .giving(of::<users::User>)
    .versioned(),
    write(
        "forgetUser",
        MethodFilter::DELETE,
        "/tenants/{tenant}/users/{user}",
        Permission::Write,
        "遗忘此人：删除账号、绑定与会话",
        "Forgets a person: account, bindings and sessions",
        |asked| Box::pin(h::forget_user(asked)),
    )
    .versioned(),
    write(
        "unbind",
        MethodFilter::DELETE,
        "/tenants/{tenant}/users/{user}/bindings/{platform}/{openid}",
        Permission::Write,
        "解除一个 openid 的绑定",
        "Takes the binding of an openid away",
        |asked| Box::pin(h::unbind(asked)),
    ),
    get(
        "listPlugins",
        "/plugins",
        Permission::Authenticated,
        "插件：提供的动作、服务中的版本、更新结果",
        "The plugins: what they offer, which version serves, what came of new ones",
        |asked| Box::pin(h::list_plugins(asked)),
    )
    .giving(of::<plugins::Plugins>),
    get("readAudit", "/audit", Permission::Read, "全部审计记录", "The log of what admins did", |asked| {
        Box::pin(h::audit_log(asked))
    })
    .asking(of::<h::Before>)
    .giving(of::<h::AuditLog>),
];

/// The routes of each path.
pub fn by_path() -> BTreeMap<&'static str, Vec<&'static Route>> {
    let mut paths: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    for route in ROUTES {
        paths.entry(route.path).or_default().push(route);
    }
    paths
}

fn of<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn get(
    id: &'static str,
    path: &'static str,
    right: Permission,
    zh: &'static str,
    en: &'static str,
    handler: Handler,
) -> Route {
    write(id, MethodFilter::GET, path, right, zh, en, handler)
}

const fn write(
    id: &'static str,
    method: MethodFilter,
    path: &'static str,
    right: Permission,
    zh: &'static str,
    en: &'static str,
    handler: Handler,
) -> Route {
    Route {
        id,
        method,
        path,
        title: Text::fixed(zh, en),
        right,
        query: None,
        body: Brings::Nothing,
        takes: None,
        status: 204,
        gives: None,
        versioned: false,
        handler,
    }
}

impl Route {
    const fn asking(mut self, query: Of) -> Self {
        self.query = Some(query);
        self
    }

    const fn taking(mut self, body: Brings, takes: Option<Of>) -> Self {
        self.body = body;
        self.takes = takes;
        self
    }

    const fn giving(mut self, gives: Of) -> Self {
        self.status = 200;
        self.gives = Some(gives);
        self
    }

    const fn versioned(mut self) -> Self {
        self.versioned = true;
        self
    }

    /// The method.
    pub fn method(&self) -> Method {
        match self.method {
            MethodFilter::PUT => Method::PUT,
            MethodFilter::POST => Method::POST,
            MethodFilter::PATCH => Method::PATCH,
            MethodFilter::DELETE => Method::DELETE,
            _ => Method::GET,
        }
    }

    /// The method's name.
    pub fn name(&self) -> String {
        self.method().to_string()
    }
}
