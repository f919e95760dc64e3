//! Access to the console: signing in and out, permissions for each page, protection against requests of other sites.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually};
use menlou_harness::{Browser, http::Request};

const OWN: &str = "tenant:manulife";
/// Pages of a tenant that require the permission to read.
const PAGES: [&str; 5] = ["", "/settings", "/actions", "/actions/login", "/history"];
/// Pages of a tenant that show personal data or change something.
const WRITE_PAGES: [&str; 2] = ["/people", "/switch-on?of=openid"];
/// Forms of a tenant that require the permission to write.
const FORMS: [&str; 10] = [
    "/verify",
    "/settings",
    "/check",
    "/secret",
    "/switch-on",
    "/actions/login",
    "/actions/login/off",
    "/actions/login/on",
    "/people/end",
    "/people/forget",
];

#[test]
fn pages_require_signing_in_with_a_token() {
    let scene = Scene::new(Stores::Embedded);
    let mut browser = scene.browser();
    for path in ["/", "/console"] {
        assert_eq!(browser.get(path).header("location"), Some("/console/"), "{path}");
    }
    let settings = format!("/console/tenants/{TENANT}/settings");
    let redirected = browser.get(&settings);
    assert_eq!((redirected.status, browser.page.as_str()), (303, ""), "nothing is shown without a session");
    let next = redirected.header("location").unwrap().to_owned();
    assert!(next.starts_with("/console/sign-in?next=%2Fconsole%2Ftenants%2Fmanulife"), "{next}");
    browser.get(&next);
    assert_eq!(browser.value("next"), settings);

    for wrong in ["nonsense", "", "mla_000000000000_wrong"] {
        let rejected = browser.post("/console/sign-in", &[("token", wrong), ("next", &settings)]);
        assert!(rejected.status == 401 && rejected.header("set-cookie").is_none(), "{}", rejected.text());
        assert!(browser.page.contains("role=\"alert\"") && browser.value("next") == settings);
    }
    let admin = scene.admin_as("operator");
    let signed_in = browser.post("/console/sign-in", &[("token", admin.token()), ("next", &settings)]);
    assert_eq!((signed_in.status, signed_in.header("location")), (303, Some(settings.as_str())));
    let cookie = signed_in.header("set-cookie").unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/console/;"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("mla_") && !cookie.contains("Secure") && !cookie.contains("Max-Age"), "{cookie}");
    assert_eq!(browser.get(&settings).status, 200);
    assert!(!browser.page.contains("mla_"), "a token is shown");

    let elsewhere = [("token", admin.token()), ("next", "https://evil.example/")];
    assert_eq!(scene.browser().post("/console/sign-in", &elsewhere).header("location"), Some("/console/"));
    let mut behind_tls = scene.browser().with("X-Forwarded-Proto", "https");
    let signed_in = behind_tls.post("/console/sign-in", &elsewhere);
    let cookie = signed_in.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Secure-menlou=") && cookie.contains("; Secure"), "{cookie}");
    assert_eq!(behind_tls.get("/console/").status, 200);
}

#[test]
fn session_ends_by_signing_out_and_with_its_token() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as("operator");
    let (mut browser, mut another) = (scene.console_of(&admin), scene.console_of(&admin));
    assert_eq!((browser.get("/console/").status, another.get("/console/").status), (200, 200));
    let with_old_cookie = browser.clone();
    let signed_out = browser.submit("/console/sign-out", &[]);
    assert_eq!(signed_out.header("location"), Some("/console/sign-in?done=out"));
    assert!(signed_out.header("set-cookie").unwrap().contains("Max-Age=0"));
    for mut ended in [browser, with_old_cookie] {
        assert_eq!(ended.get("/console/").status, 303, "also with the old cookie");
    }
    assert_eq!(another.get("/console/").status, 200, "other sessions continue");
    let id = admin.get("/me").ok()["id"].as_str().unwrap().to_owned();
    assert!(scene.command(&["admin", "token", "revoke", &id]).status.success());
    assert_eq!(another.get("/console/").status, 303, "a revoked token ends its sessions");
    let fragment = another.send(Request::new("GET", "/console/").header("HX-Request", "true"));
    assert!(fragment.header("hx-redirect").unwrap().starts_with("/console/sign-in"), "{:?}", fragment.headers);
}

#[test]
fn many_invalid_tokens_answer_429() {
    let scene = Scene::new(Stores::Embedded);
    let mut browser = scene.browser();
    let mut attempt = || browser.post("/console/sign-in", &[("token", "mla_000000000000_guess")]);
    let refused = (0..40).map(|_| attempt()).find(|response| response.status == 429).expect("a limit");
    assert!(refused.header("retry-after").is_some() && refused.text().contains("role=\"alert\""));
    scene.console_as("viewer").get("/console/");
}

#[test]
fn forms_of_other_sites_and_of_other_sessions_are_rejected() {
    let scene = Scene::new(Stores::Embedded);
    let mut browser = scene.console_as("operator");
    browser.get(&format!("/console/tenants/{TENANT}"));
    let (csrf, revision) = (browser.value("csrf"), browser.value("revision"));
    let mut neighbour = scene.console_as("operator");
    neighbour.get("/console/");
    let foreign = neighbour.value("csrf");
    assert!(csrf.len() > 30 && csrf != foreign);
    let remove = format!("/console/tenants/{TENANT}/remove");
    let fields = |csrf: &str| {
        let all = [("name", TENANT), ("revision", revision.as_str()), ("csrf", csrf)];
        menlou_harness::http::encode(&all[..if csrf == "none" { 2 } else { 3 }])
    };
    let ours = ("Origin", "http://localhost");
    for (csrf, header) in [
        ("none", ours),
        ("", ours),
        (foreign.as_str(), ours),
        (&csrf, ("Origin", "http://evil.example")),
        (&csrf, ("Origin", "null")),
        (&csrf, ("Sec-Fetch-Site", "cross-site")),
        (&csrf, ("Sec-Fetch-Site", "same-site")),
        (&csrf, ("X-None", "")),
    ] {
        let form = Request::post(&remove).header(header.0, header.1);
        let refused = browser.send(form.body("application/x-www-form-urlencoded", fields(csrf)));
        assert_eq!(refused.status, 403, "{csrf} {header:?}: {}", refused.text());
    }
    let token = scene.admin_as("viewer").token().to_owned();
    let lured = Request::post("/console/sign-in").header("Origin", "http://evil.example").form(&[("token", &token)]);
    assert_eq!(scene.browser().send(lured).status, 403, "another site cannot sign a browser in");
    assert!(scene.tenants().join(format!("{TENANT}.toml")).exists());
    let valid = Request::post(&remove).header("Sec-Fetch-Site", "same-origin");
    assert_eq!(browser.send(valid.body("application/x-www-form-urlencoded", fields(&csrf))).status, 303);
    assert!(!scene.tenants().join(format!("{TENANT}.toml")).exists());
}

#[test]
fn pages_and_forms_serve_exactly_the_roles_that_have_the_permission() {
    let scene = Scene::new(Stores::Embedded);
    scene.person("Ann");
    let file = |name: &str| std::fs::read(scene.tenants().join(format!("{name}.toml"))).unwrap();
    let before = [TENANT, NEIGHBOUR].map(file);
    for role in ["operator", "viewer", OWN] {
        let mut browser = scene.console_as(role);
        let mut status = |path: &str| browser.get(path).status;
        let (all, operator) = (role != OWN, role == "operator");
        assert_eq!(status("/console/"), if all { 200 } else { 303 }, "{role}");
        assert_eq!(status("/console/plugins"), 200, "{role}");
        assert_eq!(status("/console/audit"), if all { 200 } else { 403 }, "{role}");
        assert_eq!(status("/console/new"), if operator { 200 } else { 403 }, "{role}");
        assert_eq!(status("/console/none"), 404, "{role}");
        for of in [TENANT, NEIGHBOUR] {
            let (sees, changes) = (all || of == TENANT, operator || !all && of == TENANT);
            for page in PAGES {
                let path = format!("/console/tenants/{of}{page}");
                assert_eq!(status(&path), if sees { 200 } else { 403 }, "{path} as {role}");
            }
            for page in WRITE_PAGES {
                let path = format!("/console/tenants/{of}{page}");
                assert_eq!(status(&path), if changes { 200 } else { 403 }, "{path} as {role}");
            }
        }
        browser.get("/console/plugins");
        let csrf = browser.value("csrf");
        for of in [TENANT, NEIGHBOUR] {
            let changes = operator || role == OWN && of == TENANT;
            for form in FORMS.iter().chain(&["/remove"]) {
                let path = format!("/console/tenants/{of}{form}");
                let may = changes && (*form != "/remove" || operator);
                // The form is empty, so that it changes nothing even if the role has the permission.
                let status = browser.post(&path, &[("csrf", csrf.as_str())]).status;
                assert_eq!(status != 403, may, "{path} as {role}: {status}");
            }
        }
        let made = browser.post("/console/new", &[("csrf", &csrf), ("tenant", "made"), ("name", "x")]).status;
        assert_eq!(made != 403, operator, "{role}: {made}");
    }
    assert_eq!([TENANT, NEIGHBOUR].map(file), before);
    for path in PAGES.iter().chain(&WRITE_PAGES) {
        assert_eq!(
            scene.browser().get(&format!("/console/tenants/{TENANT}{path}")).status,
            303,
            "without a session: {path}"
        );
    }
}

#[test]
fn pages_show_no_secrets_and_only_the_data_that_the_role_may_read() {
    let scene = Scene::new(Stores::Embedded);
    let client = scene.session("Ann");
    let code = scene.sim.phone_code("13800138000");
    client.call("login", &[("method", "phone"), ("phone_code", &code)]).ok();
    for role in ["operator", "viewer", OWN] {
        let mut browser = scene.console_as(role);
        for of in [TENANT, NEIGHBOUR] {
            for page in PAGES.iter().chain(&WRITE_PAGES) {
                browser.get(&format!("/console/tenants/{of}{page}"));
                let mut hidden = vec!["demo-secret", "neighbours-own-secret", "mla_"];
                match role {
                    "viewer" => hidden.push("13800138000"),
                    OWN => hidden.extend(["Neighbour<", "wx00000000000000ff"]),
                    _ => {}
                }
                for secret in hidden {
                    assert!(!browser.page.contains(secret), "{secret} on {page} of {of} as {role}: {}", browser.page);
                }
            }
        }
    }
    let mut operator = scene.console_as("operator");
    operator.get(&format!("/console/tenants/{TENANT}/people"));
    assert!(operator.page.contains("13800138000"), "an operator sees it: {}", operator.page);
}

#[test]
fn pages_use_the_preferred_or_selected_language() {
    let scene = Scene::new(Stores::Embedded);
    let language = |browser: &Browser| match browser.page.contains("<html lang=\"zh-CN\">") {
        true => "zh",
        false => "en",
    };
    let mut browser = scene.browser().with("Accept-Language", "zh-CN,zh;q=0.9");
    browser.get("/console/sign-in");
    assert!(language(&browser) == "zh" && browser.page.contains("登录控制台"));
    let back = browser.post("/console/language", &[("to", "en"), ("back", "/console/sign-in?next=%2Fconsole%2F")]);
    assert_eq!(back.header("location"), Some("/console/sign-in?next=%2Fconsole%2F"));
    browser.get("/console/sign-in");
    assert!(language(&browser) == "en" && browser.page.contains("Sign in"));
    let lured = browser.post("/console/language", &[("to", "zh"), ("back", "//evil.example")]);
    assert_eq!(lured.header("location"), Some("/console/"));
}

#[test]
fn status_page_counts_and_explains_failures_and_verifies_credentials() {
    let scene = Scene::new(Stores::Embedded);
    scene.authorize("Ann").ok();
    scene.client().call("openid", &[("code", "no such code")]).assert_error(200, "invalid_code");
    let mut browser = scene.console_as(OWN);
    let path = format!("/console/tenants/{TENANT}");
    eventually("both requests are counted", || {
        browser.get(&path);
        browser.page.contains("2 requests, 1 refused, 0 failed (0 at the platform), 1 sessions opened").then_some(())
    });
    for text in ["invalid_code", "errcode 40029", "request id", "<svg", "wx.login"] {
        assert!(browser.page.contains(text), "{text}: {}", browser.page);
    }
    assert!(browser.page.contains("Not verified since"));
    browser.submit(&format!("{path}/verify"), &[]);
    assert!(browser.page.contains("Credentials work") && browser.page.contains("<html"), "{}", browser.page);
    let csrf = browser.value("csrf");
    let fragment =
        Request::post(format!("{path}/verify")).header("Origin", "http://localhost").header("HX-Request", "true");
    browser.send(fragment.form(&[("csrf", &csrf)]));
    assert!(
        browser.page.contains("Credentials work") && !browser.page.contains("<html"),
        "a fragment: {}",
        browser.page
    );
    let mut operator = scene.console_as("operator");
    operator.get("/console/");
    assert!(operator.page.contains("credentials work") && operator.page.contains("not verified"), "{}", operator.page);
    operator.get("/console/?q=neigh");
    assert!(operator.page.contains("Neighbour") && !operator.page.contains("Manulife"), "{}", operator.page);
    let one = operator.get("/console/?q=neighbour");
    assert_eq!(one.header("location"), Some("/console/tenants/neighbour"));
}

#[test]
fn style_sheet_and_scripts_are_part_of_the_binary() {
    let scene = Scene::new(Stores::Embedded);
    let mut browser = scene.browser();
    let policy = browser.get("/console/sign-in").header("content-security-policy").map(str::to_owned);
    assert!(policy.is_some_and(|policy| policy.contains("frame-ancestors 'none'")), "pages cannot be framed");
    let page = browser.page.clone();
    let named: Vec<_> = page.split('"').filter(|part| part.starts_with("/console/assets/")).collect();
    assert!(named.len() >= 4, "{named:?}");
    for file in named {
        let response = browser.get(file);
        assert!(response.status == 200 && response.header("cache-control").unwrap().contains("immutable"), "{file}");
    }
    assert_eq!(browser.get("/console/assets/none.js").status, 404);
}
