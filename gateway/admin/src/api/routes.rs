//! The table of routes, from which the router, the OpenAPI document and the permission tests are derived.
//!
//! The crates utoipa-axum and aide generate such documents as well, but from attributes or wrappers at each handler. They
//! would replace this table and `document.rs` by about as many lines, add a macro or a second router, and lose the
//! bilingual titles, the permission and the versioning that the table declares for each route.

use super::{
    handlers as h,
    request::{ApiRequest, BodyKind},
    response::ApiResponse,
};
use crate::{caller::Permission, plugins, tenants, users, validation, verify};
use axum::{http::Method, routing::MethodFilter};
use menlou_error::Result;
use menlou_error::text::Text;
use schemars::{Schema, SchemaGenerator};
use std::{collections::BTreeMap, future::Future, pin::Pin};

/// The path of the API, and the prefix of all its routes.
pub const BASE: &str = "/api/v1";

/// The handler of a route.
type Handler = fn(ApiRequest) -> Pin<Box<dyn Future<Output = Result<ApiResponse>> + Send>>;
/// Generates the schema of a type.
pub type SchemaFn = fn(&mut SchemaGenerator) -> Schema;

/// An operation of the API.
pub struct Route {
    /// The `operationId`.
    pub id: &'static str,
    /// The HTTP method.
    pub method: MethodFilter,
    /// The path after [`BASE`].
    pub path: &'static str,
    /// What the operation does.
    pub title: Text,
    /// The permission that the operation requires. For documentation and tests: the operation checks it itself.
    pub permission: Permission,
    /// The schema of the query.
    pub query: Option<SchemaFn>,
    /// The kind of request body.
    pub body: BodyKind,
    /// The schema of a JSON request body.
    pub body_schema: Option<SchemaFn>,
    /// The status of a success.
    pub status: u16,
    /// The schema of the response body; none with status 204.
    pub response: Option<SchemaFn>,
    /// Whether the operation requires `If-Match` or returns an `ETag`.
    pub is_versioned: bool,
    /// The handler.
    pub handler: Handler,
}

/// All routes.
pub static ROUTES: &[Route] = &[
    get(
        "whoami",
        "/me",
        Permission::Authenticated,
        "查看当前令牌",
        "Returns the token of the request",
        |request| Box::pin(h::current_token(request)),
    )
    .with_response(schema::<h::CurrentToken>),
    get(
        "listTenants",
        "/tenants",
        Permission::Authenticated,
        "列出有权查看的租户",
        "Lists the tenants that the token may read",
        |request| Box::pin(h::list_tenants(request)),
    )
    .with_query(schema::<h::TenantListQuery>)
    .with_response(schema::<h::TenantList>),
    get(
        "readTenant",
        "/tenants/{tenant}",
        Permission::Read,
        "读取租户：文件（密钥已隐去）、状态与错误",
        "Reads a tenant: its file with masked secrets, its status and errors",
        |request| Box::pin(h::read_tenant(request)),
    )
    .with_response(schema::<tenants::TenantDetails>)
    .versioned(),
    route(
        "saveTenant",
        MethodFilter::PUT,
        "/tenants/{tenant}",
        Permission::Write,
        "新建（If-None-Match: *，仅运维）或替换（If-Match）租户文件",
        "Creates a tenant (If-None-Match: *, operators only) or replaces its file (If-Match)",
        |request| Box::pin(h::save_tenant(request)),
    )
    .with_body(BodyKind::Toml, None)
    .with_response(schema::<tenants::SavedTenant>)
    .versioned(),
    route(
        "removeTenant",
        MethodFilter::DELETE,
        "/tenants/{tenant}",
        Permission::Operate,
        "删除租户文件；用户与会话保留",
        "Removes a tenant's file; its users and sessions are kept",
        |request| Box::pin(h::remove_tenant(request)),
    )
    .versioned(),
    route(
        "changeTenant",
        MethodFilter::PATCH,
        "/tenants/{tenant}",
        Permission::Write,
        "修改租户文件中的部分设置，保留注释与格式",
        "Changes settings in a tenant's file; comments and formatting are kept",
        |request| Box::pin(h::change_tenant(request)),
    )
    .with_body(BodyKind::Json, Some(schema::<h::TenantChange>))
    .with_response(schema::<tenants::SavedTenant>)
    .versioned(),
    route(
        "verifyTenant",
        MethodFilter::POST,
        "/tenants/{tenant}/verify",
        Permission::Write,
        "向平台验证租户的凭据",
        "Verifies the tenant's credentials with the platform",
        |request| Box::pin(h::verify_tenant(request)),
    )
    .with_response(schema::<verify::Verification>),
    route(
        "checkTenant",
        MethodFilter::POST,
        "/tenants/{tenant}/check",
        Permission::Write,
        "校验草稿，不保存",
        "Validates a draft without saving it",
        |request| Box::pin(h::check_tenant(request)),
    )
    .with_body(BodyKind::Toml, None)
    .with_response(schema::<validation::ValidationReport>),
    get(
        "readHistory",
        "/tenants/{tenant}/history",
        Permission::Read,
        "读取租户的审计记录",
        "Reads the audit log of a tenant",
        |request| Box::pin(h::tenant_audit_log(request)),
    )
    .with_query(schema::<h::AuditQuery>)
    .with_response(schema::<h::AuditLog>),
    get(
        "readUsage",
        "/tenants/{tenant}/usage",
        Permission::Read,
        "各动作每分钟的请求数、失败数与耗时（本网关）",
        "Reads requests, failures and durations by action and minute, of this gateway",
        |request| Box::pin(h::usage(request)),
    )
    .with_query(schema::<h::UsageQuery>)
    .with_response(schema::<h::UsageByAction>),
    get(
        "readFailures",
        "/tenants/{tenant}/failures",
        Permission::Read,
        "最近失败的请求（本网关）",
        "Reads the latest failed requests, of this gateway",
        |request| Box::pin(h::failures(request)),
    )
    .with_response(schema::<h::FailureList>),
    get(
        "countSessions",
        "/tenants/{tenant}/sessions/count",
        Permission::Read,
        "统计会话数",
        "Counts the sessions",
        |request| Box::pin(h::count_sessions(request)),
    )
    .with_response(schema::<h::SessionCount>),
    get(
        "findSessions",
        "/tenants/{tenant}/sessions",
        Permission::ReadPersonalData,
        "查找某用户的会话",
        "Finds the sessions of a user or an openid",
        |request| Box::pin(h::find_sessions(request)),
    )
    .with_query(schema::<h::SessionQuery>)
    .with_response(schema::<h::SessionList>),
    route(
        "endSessions",
        MethodFilter::DELETE,
        "/tenants/{tenant}/sessions",
        Permission::Write,
        "结束某用户的会话或全部会话",
        "Ends the sessions of a user or an openid, or all sessions",
        |request| Box::pin(h::end_sessions(request)),
    )
    .with_query(schema::<h::EndSessionsQuery>)
    .with_response(schema::<h::EndedSessions>),
    route(
        "endSession",
        MethodFilter::DELETE,
        "/tenants/{tenant}/sessions/{session}",
        Permission::Write,
        "结束一个会话",
        "Ends a session",
        |request| Box::pin(h::end_session(request)),
    ),
    get(
        "findUsers",
        "/tenants/{tenant}/users",
        Permission::ReadPersonalData,
        "查找或列出用户",
        "Finds or lists users",
        |request| Box::pin(h::find_users(request)),
    )
    .with_query(schema::<h::UserQuery>)
    .with_response(schema::<h::UserList>),
    get(
        "readUser",
        "/tenants/{tenant}/users/{user}",
        Permission::ReadPersonalData,
        "读取用户",
        "Reads a user",
        |request| Box::pin(h::read_user(request)),
    )
    .with_response(schema::<users::User>)
    .versioned(),
    route(
        "updateUser",
        MethodFilter::PATCH,
        "/tenants/{tenant}/users/{user}",
        Permission::Write,
        "修改用户的姓名或头像",
        "Changes a user's name or picture",
        |request| Box::pin(h::update_user(request)),
    )
    .with_body(BodyKind::Json, Some(schema::<h::UserChange>))
    .with_response(schema::<users::User>)
    .versioned(),
    route(
        "forgetUser",
        MethodFilter::DELETE,
        "/tenants/{tenant}/users/{user}",
        Permission::Write,
        "删除用户数据：账号、绑定与会话",
        "Deletes a user's data: account, bindings and sessions",
        |request| Box::pin(h::forget_user(request)),
    )
    .versioned(),
    route(
        "unbind",
        MethodFilter::DELETE,
        "/tenants/{tenant}/users/{user}/bindings/{platform}/{openid}",
        Permission::Write,
        "解除一个 openid 的绑定",
        "Unbinds an openid",
        |request| Box::pin(h::unbind(request)),
    ),
    get(
        "listPlugins",
        "/plugins",
        Permission::Authenticated,
        "列出插件：动作、当前版本与加载记录",
        "Lists the plugins: actions, current versions and reloads",
        |request| Box::pin(h::list_plugins(request)),
    )
    .with_response(schema::<plugins::Plugins>),
    get(
        "readAudit",
        "/audit",
        Permission::Read,
        "读取全部审计记录",
        "Reads the complete audit log",
        |request| Box::pin(h::audit_log(request)),
    )
    .with_query(schema::<h::AuditQuery>)
    .with_response(schema::<h::AuditLog>),
];

/// The routes by path.
pub fn by_path() -> BTreeMap<&'static str, Vec<&'static Route>> {
    let mut paths: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    for route in ROUTES {
        paths.entry(route.path).or_default().push(route);
    }
    paths
}

fn schema<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn get(
    id: &'static str,
    path: &'static str,
    permission: Permission,
    zh: &'static str,
    en: &'static str,
    handler: Handler,
) -> Route {
    route(id, MethodFilter::GET, path, permission, zh, en, handler)
}

const fn route(
    id: &'static str,
    method: MethodFilter,
    path: &'static str,
    permission: Permission,
    zh: &'static str,
    en: &'static str,
    handler: Handler,
) -> Route {
    Route {
        id,
        method,
        path,
        title: Text::fixed(zh, en),
        permission,
        query: None,
        body: BodyKind::Nothing,
        body_schema: None,
        status: 204,
        response: None,
        is_versioned: false,
        handler,
    }
}

impl Route {
    const fn with_query(mut self, query: SchemaFn) -> Self {
        self.query = Some(query);
        self
    }

    const fn with_body(mut self, body: BodyKind, schema: Option<SchemaFn>) -> Self {
        self.body = body;
        self.body_schema = schema;
        self
    }

    const fn with_response(mut self, response: SchemaFn) -> Self {
        self.status = 200;
        self.response = Some(response);
        self
    }

    const fn versioned(mut self) -> Self {
        self.is_versioned = true;
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

    /// The name of the method.
    pub fn method_name(&self) -> String {
        self.method().to_string()
    }
}
