//! The console's doors: signing in and out, who may open which page, and what other sites can't do.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually};
use menlou_harness::{Browser, http::Request};

const OWN: &str = "tenant:manulife";
/// Pages of a tenant, for those who may see it; those behind the bar show people or change something.
const PAGES: [&str; 5] = ["", "/settings", "/actions", "/actions/login", "/history"];
const CHANGERS: [&str; 2] = ["/people", "/switch-on?of=openid"];
/// Forms of a tenant, for those who may change it.
const FORMS: [&str; 9] = [
    "/verify",
    "/settings",
    "/check",
    "/secret",
    "/switch-on",
    "/actions/login",
    "/actions/login/off",
    "/people/end",
    "/people/forget",
];

#[test]
fn a_token_signs_in_and_whoever_is_not_is_asked_to_first() {
    let scene = Scene::new(Stores::Embedded);
    let mut browser = scene.browser();
    for path in ["/", "/console"] {
        assert_eq!(browser.get(path).header("location"), Some("/console/"), "{path}");
    }
    let settings = format!("/console/tenants/{TENANT}/settings");
    let asked = browser.get(&settings);
    assert_eq!((asked.status, browser.page.as_str()), (303, ""), "nothing is shown to strangers");
    let next = asked.header("location").unwrap().to_owned();
    assert!(next.starts_with("/console/sign-in?next=%2Fconsole%2Ftenants%2Fmanulife"), "{next}");
    browser.get(&next);
    assert_eq!(browser.value("next"), settings);

    for wrong in ["nonsense", "", "mla_000000000000_wrong"] {
        let refused = browser.post("/console/sign-in", &[("token", wrong), ("next", &settings)]);
        assert!(refused.status == 401 && refused.header("set-cookie").is_none(), "{}", refused.text());
        assert!(browser.page.contains("role=\"alert\"") && browser.value("next") == settings);
    }
    let admin = scene.admin_as("operator");
    let entered = browser.post("/console/sign-in", &[("token", admin.token()), ("next", &settings)]);
    assert_eq!((entered.status, entered.header("location")), (303, Some(settings.as_str())));
    let cookie = entered.header("set-cookie").unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("mla_") && !cookie.contains("Secure") && !cookie.contains("Max-Age"), "{cookie}");
    assert_eq!(browser.get(&settings).status, 200);
    assert!(!browser.page.contains("mla_"), "a token is shown");

    let elsewhere = [("token", admin.token()), ("next", "https://evil.example/")];
    assert_eq!(scene.browser().post("/console/sign-in", &elsewhere).header("location"), Some("/console/"));
    let mut behind_tls = scene.browser().with("X-Forwarded-Proto", "https");
    let entered = behind_tls.post("/console/sign-in", &elsewhere);
    let cookie = entered.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-menlou=") && cookie.contains("; Secure"), "{cookie}");
    assert_eq!(behind_tls.get("/console/").status, 200);
}

#[test]
fn a_sitting_ends_by_signing_out_and_with_its_token() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as("operator");
    let (mut browser, mut another) = (scene.console_of(&admin), scene.console_of(&admin));
    assert_eq!((browser.get("/console/").status, another.get("/console/").status), (200, 200));
    let kept = browser.clone();
    let left = browser.submit("/console/sign-out", &[]);
    assert_eq!(left.header("location"), Some("/console/sign-in?done=out"));
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"));
    for mut gone in [browser, kept] {
        assert_eq!(gone.get("/console/").status, 303, "also with the old cookie");
    }
    assert_eq!(another.get("/console/").status, 200, "another sitting goes on");
    let id = admin.get("/me").ok()["id"].as_str().unwrap().to_owned();
    assert!(scene.command(&["admin", "token", "revoke", &id]).status.success());
    assert_eq!(another.get("/console/").status, 303, "a revoked token holds no door open");
    let part = another.send(Request::new("GET", "/console/").header("HX-Request", "true"));
    assert!(part.header("hx-redirect").unwrap().starts_with("/console/sign-in"), "{:?}", part.headers);
}

#[test]
fn who_guesses_tokens_has_to_wait() {
    let scene = Scene::new(Stores::Embedded);
    let mut browser = scene.browser();
    let mut attempt = || browser.post("/console/sign-in", &[("token", "mla_000000000000_guess")]);
    let refused = (0..40).map(|_| attempt()).find(|answer| answer.status == 429).expect("a limit");
    assert!(refused.header("retry-after").is_some() && refused.text().contains("role=\"alert\""));
    scene.console_as("viewer").get("/console/");
}

#[test]
fn a_form_of_another_site_or_of_another_sitting_does_nothing() {
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
    assert_eq!(scene.browser().send(lured).status, 403, "nobody is signed in by another site");
    assert!(scene.tenants().join(format!("{TENANT}.toml")).exists());
    let good = Request::post(&remove).header("Sec-Fetch-Site", "same-origin");
    assert_eq!(browser.send(good.body("application/x-www-form-urlencoded", fields(&csrf))).status, 303);
    assert!(!scene.tenants().join(format!("{TENANT}.toml")).exists());
}

#[test]
fn every_page_and_form_serves_the_roles_that_it_is_for_and_no_other() {
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
            for page in CHANGERS {
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
                // With nothing filled in, whoever may does nothing either.
                let answer = browser.post(&path, &[("csrf", csrf.as_str())]).status;
                assert_eq!(answer != 403, may, "{path} as {role}: {answer}");
            }
        }
        let made = browser.post("/console/new", &[("csrf", &csrf), ("tenant", "made"), ("name", "x")]).status;
        assert_eq!(made != 403, operator, "{role}: {made}");
    }
    assert_eq!([TENANT, NEIGHBOUR].map(file), before);
    for path in PAGES.iter().chain(&CHANGERS) {
        assert_eq!(scene.browser().get(&format!("/console/tenants/{TENANT}{path}")).status, 303, "a stranger: {path}");
    }
}

#[test]
fn no_page_shows_a_secret_a_viewer_nothing_of_a_person_and_a_tenant_nothing_of_another() {
    let scene = Scene::new(Stores::Embedded);
    let client = scene.session("Ann");
    let code = scene.sim.phone_code("13800138000");
    client.call("login", &[("method", "phone"), ("phone_code", &code)]).ok();
    for role in ["operator", "viewer", OWN] {
        let mut browser = scene.console_as(role);
        for of in [TENANT, NEIGHBOUR] {
            for page in PAGES.iter().chain(&CHANGERS) {
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
    assert!(operator.page.contains("13800138000"), "who may see it does: {}", operator.page);
}

#[test]
fn pages_speak_the_language_that_is_preferred_or_was_chosen() {
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
fn a_failure_is_counted_and_explained_and_the_credentials_are_verified() {
    let scene = Scene::new(Stores::Embedded);
    scene.authorize("Ann").ok();
    scene.client().call("openid", &[("code", "no such code")]).assert_error(200, "invalid_code");
    let mut browser = scene.console_as(OWN);
    let path = format!("/console/tenants/{TENANT}");
    eventually("both calls are counted", || {
        browser.get(&path);
        browser.page.contains("2 calls, 1 failures, 1 sessions opened").then_some(())
    });
    for told in ["invalid_code", "errcode 40029", "request id", "<svg", "wx.login"] {
        assert!(browser.page.contains(told), "{told}: {}", browser.page);
    }
    assert!(browser.page.contains("Not verified since"));
    browser.submit(&format!("{path}/verify"), &[]);
    assert!(browser.page.contains("Everything works") && browser.page.contains("<html"), "{}", browser.page);
    let csrf = browser.value("csrf");
    let part =
        Request::post(format!("{path}/verify")).header("Origin", "http://localhost").header("HX-Request", "true");
    browser.send(part.form(&[("csrf", &csrf)]));
    assert!(browser.page.contains("Everything works") && !browser.page.contains("<html"), "a part: {}", browser.page);
    let mut operator = scene.console_as("operator");
    operator.get("/console/");
    assert!(operator.page.contains("credentials work") && operator.page.contains("not verified"), "{}", operator.page);
    operator.get("/console/?q=neigh");
    assert!(operator.page.contains("Neighbour") && !operator.page.contains("Manulife"), "{}", operator.page);
    let one = operator.get("/console/?q=neighbour");
    assert_eq!(one.header("location"), Some("/console/tenants/neighbour"));
}

#[test]
fn style_and_scripts_come_from_the_program() {
    let scene = Scene::new(Stores::Embedded);
    let mut browser = scene.browser();
    browser.get("/console/sign-in");
    let page = browser.page.clone();
    let named: Vec<_> = page.split('"').filter(|part| part.starts_with("/console/assets/")).collect();
    assert!(named.len() >= 4, "{named:?}");
    for file in named {
        let answer = browser.get(file);
        assert!(answer.status == 200 && answer.header("cache-control").unwrap().contains("immutable"), "{file}");
    }
    assert_eq!(browser.get("/console/assets/none.js").status, 404);
}
