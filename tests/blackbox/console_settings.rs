//! Changes in the console: settings as form and text, actions, a new tenant, users. No change overwrites one that the admin
//! has not seen, and no secret is shown.

use crate::scene::{Scene, Stores, TENANT, eventually, tenant};
use menlou_harness::{Browser, http::Request};
use std::fs;

const OWN: &str = "tenant:manulife";

fn file(scene: &Scene, name: &str) -> String {
    fs::read_to_string(scene.tenants().join(format!("{name}.toml"))).unwrap_or_default()
}

fn tenant_path(rest: &str) -> String {
    format!("/console/tenants/{TENANT}{rest}")
}

/// Sends a form as htmx does. Returns the fragment.
fn fragment(browser: &mut Browser, path: &str, fields: &[(&str, &str)]) -> String {
    let csrf = browser.value("csrf");
    let page = browser.page.clone();
    let request = Request::post(path).header("Sec-Fetch-Site", "same-origin").header("HX-Request", "true");
    browser.send(request.form(&[fields, &[("csrf", csrf.as_str())]].concat()));
    std::mem::replace(&mut browser.page, page)
}

#[test]
fn errors_are_shown_at_their_line_and_field_while_typing() {
    let scene = Scene::new(Stores::Embedded);
    let mut browser = scene.console_as(OWN);
    browser.get(&tenant_path("/settings"));
    let text = browser.text("toml");
    assert!(text.contains("secret = \"masked:\"") && text.contains("appid = \"wx"), "{text}");
    let wrong = text.replace("appid = \"wx", "appid = \"wX");
    let fragment_html = fragment(&mut browser, &tenant_path("/check?from=text"), &[("toml", &wrong)]);
    assert!(fragment_html.contains("<span class=\"place\">line 4"), "{fragment_html}");
    assert!(fragment_html.contains("<div class=\"row bad\"><span class=\"number\">4</span>"), "{fragment_html}");
    assert!(fragment_html.contains("hx-target=\"#fields\""), "the form follows the text: {fragment_html}");
    let broken = fragment(&mut browser, &tenant_path("/check?from=text"), &[("toml", "name = ")]);
    assert!(broken.contains("line 1") && !broken.contains("hx-target=\"#fields\""), "{broken}");
    let typed = [("toml", text.as_str()), ("has-session.ttl", "1"), ("session.ttl", "soon")];
    let fragment_html = fragment(&mut browser, &tenant_path("/check?from=form"), &typed);
    assert!(fragment_html.contains("ttl = &#34;soon&#34;"), "the text follows the form: {fragment_html}");
    let at_field = fragment_html.split("hx-target=\"#errors-session-ttl\"").nth(1).unwrap();
    assert!(at_field.starts_with(" hx-swap=\"innerHTML\"><p>"), "{fragment_html}");
    let valid = fragment(&mut browser, &tenant_path("/check?from=text"), &[("toml", &text)]);
    assert!(valid.contains("no errors"), "{valid}");
    // Without JavaScript: a complete page with the entered values.
    browser.submit(&tenant_path("/check"), &typed);
    assert!(browser.page.contains("<html") && browser.text("toml").contains("ttl = \"soon\""), "{}", browser.page);
    assert!(file(&scene, TENANT) == tenant(&scene.sim), "nothing was saved");
}

#[test]
fn saving_by_form_or_text_keeps_comments() {
    let scene = Scene::new(Stores::Embedded);
    scene.write_tenant(TENANT, &format!("# Ours.\n{}", tenant(&scene.sim)));
    let mut browser = scene.console_as(OWN);
    browser.get(&tenant_path("/settings"));
    let (text, revision) = (browser.text("toml"), browser.value("revision"));
    let form = [
        ("toml", text.as_str()),
        ("revision", &revision),
        ("has-name", "1"),
        ("name", "Renamed <b>"),
        ("has-session.ttl", "1"),
        ("session.ttl", "2h"),
    ];
    let saved = browser.submit(&tenant_path("/settings"), &form);
    assert_eq!(saved.header("location"), Some(tenant_path("/settings?done=saved").as_str()), "{}", browser.page);
    let after = file(&scene, TENANT);
    assert!(after.starts_with("# Ours.\nname = \"Renamed <b>\"\n") && after.contains("ttl = \"2h\""), "{after}");
    assert!(after.contains("\"demo-secret\""), "{after}");
    browser.get(&tenant_path("/settings?done=saved"));
    assert!(browser.page.contains("role=\"status\"") && !browser.page.contains("Renamed <b>"), "{}", browser.page);
    let (text, revision) = (browser.text("toml").replace("[actions.logout]", ""), browser.value("revision"));
    let crlf = text.replace('\n', "\r\n");
    assert_eq!(browser.submit(&tenant_path("/settings"), &[("toml", &crlf), ("revision", &revision)]).status, 303);
    assert_eq!(file(&scene, TENANT), after.replace("[actions.logout]", ""));
    browser.get(&tenant_path("/settings"));
    let (wrong, revision) = (browser.text("toml").replace("ttl = \"2h\"", "ttl = 2"), browser.value("revision"));
    let refused = browser.submit(&tenant_path("/settings"), &[("toml", &wrong), ("revision", &revision)]);
    assert!(refused.status == 422 && browser.text("toml").contains("ttl = 2"), "{}", browser.page);
    let reference = browser.text("toml").replace("ttl = 2", "ttl = \"2h\"").replace("masked:", "env:HOME");
    let refused = browser.submit(&tenant_path("/settings"), &[("toml", &reference), ("revision", &revision)]);
    assert!(refused.status == 403 && browser.page.contains("env:HOME"), "{}", browser.page);
    assert!(file(&scene, TENANT).contains("\"demo-secret\""));
}

#[test]
fn conflicting_save_shows_the_current_file_first() {
    let scene = Scene::new(Stores::Embedded);
    let (mut ann, mut bob) = (scene.console_as(OWN), scene.console_as("operator"));
    let save = |browser: &mut Browser, name: &str| {
        let (text, revision) = (browser.text("toml"), browser.value("revision"));
        let form = [("toml", text.as_str()), ("revision", &revision), ("has-name", "1"), ("name", name)];
        browser.submit(&tenant_path("/settings"), &form).status
    };
    ann.get(&tenant_path("/settings"));
    bob.get(&tenant_path("/settings"));
    assert_eq!(save(&mut ann, "Ann was here"), 303);
    assert_eq!(save(&mut bob, "Bob was here"), 412);
    assert!(file(&scene, TENANT).contains("Ann was here"), "nothing is overwritten unseen");
    assert!(bob.page.contains("Ann was here") && bob.text("toml").contains("Bob was here"), "{}", bob.page);
    assert_eq!(save(&mut bob, "Bob was here"), 303, "after the current file was shown");
    assert!(file(&scene, TENANT).contains("Bob was here"));
    let mut ann = scene.console_as(OWN);
    ann.get(&tenant_path("/history"));
    let (removed, added) = (ann.page.find("class=\"removed\"").unwrap(), ann.page.find("class=\"added\"").unwrap());
    assert!(ann.page[removed..].starts_with("class=\"removed\">- name = &#34;Ann was here"), "{}", ann.page);
    assert!(ann.page[added..].starts_with("class=\"added\">+ name = &#34;Bob was here"), "{}", ann.page);
}

#[test]
fn appsecret_rotation_keeps_the_previous_secret_and_shows_none() {
    let scene = Scene::new(Stores::Embedded);
    scene.secrets().add("a-new-secret-of-wechat");
    let mut browser = scene.console_as(OWN);
    browser.get(&tenant_path("/settings"));
    let revision = browser.value("revision");
    let change = [("secret", "a-new-secret-of-wechat"), ("keep", "previous"), ("revision", &revision)];
    let changed = browser.submit(&tenant_path("/secret"), &change);
    assert_eq!(changed.header("location"), Some(tenant_path("/settings?done=secret").as_str()), "{}", browser.page);
    let text = file(&scene, TENANT);
    assert!(
        text.contains("\nsecret = \"a-new-secret-of-wechat\"") && text.contains("previous_secret = \"demo-secret\"")
    );
    eventually("logins use the previous secret", || scene.authorize("Ann").error.is_none().then_some(()));
    browser.get(&tenant_path("/settings"));
    assert!(
        !browser.page.contains("a-new-secret") && browser.page.contains("Rotation in progress"),
        "{}",
        browser.page
    );
    let revision = browser.value("revision");
    browser.submit(&tenant_path("/secret"), &[("drop", "previous"), ("revision", &revision)]);
    assert!(!file(&scene, TENANT).contains("previous_secret"));
    browser.get(&tenant_path("/settings"));
    let refused =
        browser.submit(&tenant_path("/secret"), &[("secret", "env:HOME"), ("revision", &browser.value("revision"))]);
    assert_eq!(refused.status, 403, "{}", browser.page);
}

#[test]
fn actions_are_enabled_configured_and_disabled() {
    let scene = Scene::new(Stores::Embedded);
    let mut browser = scene.console_as("operator");
    browser.get(&tenant_path("/actions"));
    for name in ["openid", "login", "user", "logout"] {
        assert!(browser.page.contains(&tenant_path(&format!("/actions/{name}\""))), "{name}: {}", browser.page);
    }
    browser.get(&tenant_path("/switch-on?of=proxy"));
    assert!(browser.page.contains("name=\"actions.new.upstream\""), "{}", browser.page);
    let revision = browser.value("revision");
    let fields = |upstream: &'static str| {
        [
            ("of", "proxy"),
            ("action", "orders"),
            ("has-actions.new.upstream", "1"),
            ("actions.new.upstream", upstream),
            ("has-actions.new.auth", "1"),
            ("actions.new.auth", "optional"),
            ("has-actions.new.retries", "1"),
            ("actions.new.retries", "2"),
        ]
    };
    let form = |upstream| [&fields(upstream)[..], &[("revision", revision.as_str())]].concat();
    let refused = browser.submit(&tenant_path("/switch-on?of=proxy"), &form("no address"));
    assert_eq!(refused.status, 422, "{}", browser.page);
    assert!(browser.page.contains("id=\"errors-actions-new-upstream\"") && browser.page.contains("no address"));
    let on =
        browser.submit(&tenant_path("/switch-on?of=proxy"), &form("http://127.0.0.1:9/a\r\nhttp://127.0.0.1:9/b\r\n"));
    assert_eq!(on.status, 422, "all addresses must have the same path: {}", browser.page);
    let on = browser.submit(&tenant_path("/switch-on?of=proxy"), &form("http://127.0.0.1:9/a"));
    assert_eq!(on.header("location"), Some(tenant_path("/actions?done=on").as_str()), "{}", browser.page);
    let text = file(&scene, TENANT);
    for line in ["[actions.orders]", "plugin = \"proxy\"", "upstream = \"http://127.0.0.1:9/a\"", "retries = 2"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    eventually("the action serves", || (scene.client().call("orders", &[]).status == 502).then_some(()));

    browser.get(&tenant_path("/actions/login"));
    assert!(browser.page.contains("value=\"phone\" checked"), "{}", browser.page);
    let revision = browser.value("revision");
    let login = [("has-actions.login.methods", "1"), ("actions.login.methods", "password"), ("revision", &revision)];
    assert_eq!(browser.submit(&tenant_path("/actions/login"), &login).status, 303, "{}", browser.page);
    let text = file(&scene, TENANT);
    assert!(text.contains("\"password\"") && !text.contains("\"phone\"") && !text.contains("\"profile\""), "{text}");
    browser.get(&tenant_path("/actions/login"));
    let none = [("has-actions.login.methods", "1"), ("revision", &browser.value("revision"))];
    assert_eq!(browser.submit(&tenant_path("/actions/login"), &none).status, 422, "at least one method is required");

    browser.get(&tenant_path("/actions"));
    let off = [("revision", browser.value("revision"))];
    assert_eq!(browser.submit(&tenant_path("/actions/orders/off"), &[("revision", &off[0].1)]).status, 303);
    // Disabling keeps the settings, and its own admin can bring the action back with the address that an operator has set.
    let text = file(&scene, TENANT);
    for line in ["[actions.orders]", "plugin = \"proxy\"", "upstream = \"http://127.0.0.1:9/a\"", "disabled = true"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    eventually("the action is off", || (scene.client().call("orders", &[]).status == 404).then_some(()));
    let mut own = scene.console_as(OWN);
    own.get(&tenant_path("/actions"));
    assert!(own.page.contains("actions/orders/on") && !own.page.contains("actions/orders/off"), "{}", own.page);
    let on = own.submit(&tenant_path("/actions/orders/on"), &[("revision", &own.value("revision"))]);
    assert_eq!(on.header("location"), Some(tenant_path("/actions?done=on").as_str()), "{}", own.page);
    assert!(!file(&scene, TENANT).contains("disabled"));
    eventually("the action serves again", || (scene.client().call("orders", &[]).status == 502).then_some(()));
    own.get(&tenant_path("/actions"));
    let none = own.submit(&tenant_path("/actions/nothing/off"), &[("revision", &own.value("revision"))]);
    assert_eq!((none.status, file(&scene, TENANT).contains("nothing")), (404, false));
    browser.get(&tenant_path("/actions"));
    assert_eq!(browser.submit(&tenant_path("/actions/user/off"), &[("revision", "of before")]).status, 412);
}

#[test]
fn tenant_admin_may_set_upstreams_on_allowed_hosts_only() {
    let set = |hosts: &'static str| {
        let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("admin.allowed_upstream_hosts", hosts));
        let mut browser = scene.console_as(OWN);
        browser.get(&tenant_path("/switch-on?of=proxy"));
        let form = |upstream: &'static str, revision: String| {
            vec![
                ("of", "proxy".to_owned()),
                ("action", "orders".to_owned()),
                ("has-actions.new.upstream", "1".to_owned()),
                ("actions.new.upstream", upstream.to_owned()),
                ("has-actions.new.auth", "1".to_owned()),
                ("actions.new.auth", "optional".to_owned()),
                ("revision", revision),
            ]
        };
        let page = browser.page.clone();
        let mut sent = |upstream| {
            let form = form(upstream, browser.value("revision"));
            let fields: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
            browser.submit(&tenant_path("/switch-on?of=proxy"), &fields).status
        };
        (page, sent("http://127.0.0.1:9"), sent("http://127.0.1.9"))
    };
    let (page, inner, other) = set("[]");
    assert!(page.contains("Only operators can set this") && page.contains("readonly"), "{page}");
    assert!(inner >= 400 && other >= 400, "{inner} {other}");
    let (page, named, other) = set("[\"127.0.0.1\", \"*.shop.example\"]");
    assert!(page.contains("127.0.0.1/32, *.shop.example") && !page.contains("Only operators can set this"), "{page}");
    assert_eq!((named, other), (303, 403));
}

#[test]
fn new_tenant_is_validated_created_and_verified() {
    let scene = Scene::new(Stores::Embedded);
    let mut browser = scene.console_as("operator");
    browser.get("/console/new");
    let form = |tenant: &'static str, appid: &'static str| {
        vec![
            ("tenant", tenant),
            ("name", "Acme \"shop\""),
            ("appid", appid),
            ("secret", "no-such-secret-of-wechat"),
            ("base_url", scene.sim.base_url()),
            ("action", "openid"),
            ("action", "login"),
        ]
    };
    let wrong = fragment(&mut browser, "/console/new/check", &form("acme", "wx"));
    assert!(wrong.contains("hx-target=\"#errors-appid\" hx-swap=\"innerHTML\"><p>"), "{wrong}");
    let refused = browser.submit("/console/new", &form("Acme", "wx4f4bc4dec97d474b"));
    assert_eq!(refused.status, 400, "{}", browser.page);
    let taken = browser.submit("/console/new", &form(TENANT, "wx4f4bc4dec97d474b"));
    assert_eq!(taken.status, 412, "{}", browser.page);
    let made = browser.submit("/console/new", &form("acme", "wx4f4bc4dec97d474b"));
    assert_eq!(made.header("location"), Some("/console/tenants/acme?done=made"), "{}", browser.page);
    let text = file(&scene, "acme");
    assert!(
        text.contains("name = 'Acme \"shop\"'") && text.contains("[actions.login]") && text.starts_with('#'),
        "{text}"
    );
    browser.get("/console/tenants/acme");
    browser.submit("/console/tenants/acme/verify", &[]);
    assert!(browser.page.contains("Verification failed") && browser.page.contains("errcode 40125"), "{}", browser.page);
    assert!(!browser.page.contains("no-such-secret"));
}

#[test]
fn users_are_found_their_sessions_ended_and_their_data_deleted() {
    let scene = Scene::new(Stores::Embedded);
    let client = scene.session("Ann");
    let code = scene.sim.phone_code("13800138000");
    let user = client.call("login", &[("method", "phone"), ("phone_code", &code)]).user_id().unwrap().to_string();
    let mut browser = scene.console_as(OWN);
    browser.get(&tenant_path("/people?by=phone&of=%2B8613800138000"));
    let (session, openid) = (browser.value("session"), browser.value("openid"));
    assert!(session.len() == 64 && !openid.is_empty(), "{}", browser.page);
    let ended = browser.submit(&tenant_path("/people/end"), &[("session", &session), ("by", "id"), ("of", &user)]);
    assert_eq!(ended.header("location"), Some(tenant_path(&format!("/people?by=id&of={user}&done=ended")).as_str()));
    client.call("user", &[]).assert_error(401, "session_expired");
    let again = scene.session("Ann");
    again.call("user", &[]).ok();
    browser.get(&tenant_path(&format!("/people?by=openid&of={openid}")));
    assert!(browser.page.contains("+8613800138000"), "{}", browser.page);
    let version = browser.value("version");
    let unsure = [("user", user.as_str()), ("version", &version)];
    assert_eq!(browser.submit(&tenant_path("/people/forget"), &unsure).status, 400);
    browser.get(&tenant_path(&format!("/people?by=id&of={user}")));
    let sure = [("user", user.as_str()), ("version", &version), ("sure", "1")];
    assert_eq!(browser.submit(&tenant_path("/people/forget"), &sure).status, 303, "{}", browser.page);
    again.call("user", &[]).assert_error(401, "session_expired");
    browser.get(&tenant_path(&format!("/people?by=id&of={user}")));
    assert!(browser.page.contains("No user was found"), "{}", browser.page);
    browser.get(&tenant_path("/people?by=id&of=x"));
    assert!(browser.page.contains("role=\"alert\""));
    // Ending all sessions requires the tenant's name as confirmation.
    let bob = scene.session("Bob");
    browser.get(&tenant_path("/people"));
    assert_eq!(browser.submit(&tenant_path("/people/end"), &[("all", "x")]).status, 400);
    browser.get(&tenant_path("/people"));
    assert_eq!(browser.submit(&tenant_path("/people/end"), &[("all", TENANT)]).status, 303);
    bob.call("user", &[]).assert_error(401, "session_expired");
}
