//! The OpenAPI documents pass linters and describe the running gateway; the TypeScript types compile.

use crate::scene::{Scene, Stores, TENANT};
use menlou_harness::{Upstream, artifacts::plugin_library, http::Request};
use serde_json::Value;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

#[test]
fn command_line_and_admin_port_return_the_same_document() {
    let scene = Scene::new(Stores::Embedded);
    for (arguments, path) in
        [(&["openapi"][..], "/openapi.json"), (&["openapi", "--tenant", TENANT], "/openapi.json?tenant=manulife")]
    {
        let printed: Value = serde_json::from_slice(&output_of(&scene, arguments)).unwrap();
        let mut served: Value = serde_json::from_slice(&scene.admin(path).unwrap().body).unwrap();
        // The gateway of the test listens on another port than its config file says.
        served["servers"] = printed["servers"].clone();
        assert_eq!(printed, served);
        assert_eq!(output_of(&scene, arguments), output_of(&scene, arguments), "the output is deterministic");
    }
    assert_eq!(scene.admin("/openapi.json?tenant=nobody").unwrap().status, 404);
}

#[test]
fn document_names_actions_as_the_tenant_does() {
    let scene = Scene::with(Stores::Embedded, |setup, sim| {
        setup.tenant(
            "renamed",
            crate::scene::tenant(sim).replace("[actions.user]", "[actions.my-page]\nplugin = \"user\"\n\n[actions.check-text]\nplugin = \"wechat\"\ncall = \"msg_sec_check\"\nauth = \"required\"\n\n[actions.orders]\nplugin = \"proxy\"\nupstream = \"http://shop.test\"\nauth = \"optional\"\n"),
        )
    });
    let all: Value = serde_json::from_slice(&output_of(&scene, &["openapi"])).unwrap();
    let paths: Vec<&String> = all["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        ["login", "logout", "openid", "proxy", "proxy/{path}", "user", "wechat"]
            .map(|a| format!("/srv/{{tenant}}/{a}"))
            .each_ref()
    );
    assert_eq!(all["paths"]["/srv/{tenant}/openid"]["post"]["security"], serde_json::json!([]));
    assert_eq!(all["paths"]["/srv/{tenant}/user"]["post"]["security"], serde_json::json!([{ "bearerAuth": [] }]));
    let one: Value = serde_json::from_slice(&scene.admin("/openapi.json?tenant=renamed").unwrap().body).unwrap();
    let paths: Vec<&String> = one["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        ["check-text", "login", "logout", "my-page", "openid", "orders", "orders/{path}"]
            .map(|a| format!("/srv/renamed/{a}"))
            .each_ref()
    );
    assert!(one["components"]["schemas"]["MyPageData"]["properties"]["user"].is_object());
    let content =
        |action: &str| one["paths"][format!("/srv/renamed/{action}")]["post"]["responses"]["200"]["content"].clone();
    assert!(content("check-text")["application/json"].is_object() && content("check-text")["image/*"].is_object());
    assert_eq!(content("openid").as_object().unwrap().len(), 1, "no file response");
    let orders = &one["paths"]["/srv/renamed/orders/{path}"]["put"];
    assert_eq!(orders["requestBody"]["content"], serde_json::json!({ "*/*": {} }), "any body");
    assert_eq!(orders["responses"]["default"]["content"], serde_json::json!({ "*/*": {} }), "any response");
    let printed: Value = serde_json::from_slice(&output_of(&scene, &["openapi", "--tenant", "renamed"])).unwrap();
    assert_eq!(printed["paths"], one["paths"], "also if a setting determines the access");
    let types = String::from_utf8(output_of(&scene, &["typescript", "--tenant", "renamed"])).unwrap();
    assert!(types.contains("\"my-page\": { params: MyPageParams; data: MyPageData }"), "{types}");
}

#[test]
fn unknown_action_is_reported_and_left_out() {
    let scene = Scene::with(Stores::Embedded, |setup, sim| {
        setup.tenant(
            "odd",
            format!("{}[actions.oepnid]\n", crate::scene::tenant(sim).replace("demo-secret", "env:MISSING_ONE")),
        )
    });
    let output = scene.command(&["openapi", "--tenant", "odd"]);
    let output_text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && output_text.contains("odd.toml:") && output_text.contains("did you mean openid?"),
        "{output_text}"
    );
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["paths"].as_object().unwrap().len(), 4, "a secret is not needed");
    for arguments in [["openapi", "--tenant", "nobody"], ["typescript", "--tenant", "No Name"]] {
        let output = scene.command(&arguments);
        assert!(!output.status.success() && output.stdout.is_empty());
    }
}

#[test]
fn swagger_ui_is_part_of_the_binary() {
    let scene = Scene::new(Stores::Embedded);
    let page = scene.admin("/docs").unwrap();
    let policy = page.header("content-security-policy").map(str::to_owned);
    let html = String::from_utf8(page.body).unwrap();
    assert!(page.status == 200 && !html.contains("://"), "nothing is loaded from other origins: {html}");
    assert!(policy.is_some_and(|p| p.contains("script-src 'self';") && p.contains("frame-ancestors 'none'")));
    for (file, holds) in [("swagger-ui.css", "swagger-ui"), ("swagger-ui-bundle.js", "SwaggerUIBundle")] {
        assert!(html.contains(&format!("docs/{file}")));
        let response = scene.admin(&format!("/docs/{file}")).unwrap();
        assert!(response.status == 200 && String::from_utf8_lossy(&response.body).contains(holds), "{file}");
    }
    assert_eq!(scene.admin("/docs/nothing.js").unwrap().status, 404);
}

#[test]
fn docs_page_shows_a_curl_command_for_each_action() {
    let scene = Scene::new(Stores::Embedded);
    add_rogue(&scene);
    let shown = |path: &str| {
        let folder = tempfile::tempdir().unwrap();
        let browser = run(Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .args(["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"])
            .arg(format!("http://{}{path}", scene.gateway.admin_addr())));
        let output_text = String::from_utf8_lossy(&browser.stderr);
        assert!(browser.status.success() && !output_text.contains("CONSOLE"), "the page reports errors: {output_text}");
        String::from_utf8(browser.stdout).unwrap()
    };
    let page = shown(&format!("/docs?tenant={TENANT}#/actions/login"));
    for part in ["<title>Menlou 门楼: manulife</title>", "/srv/manulife/openid", "-d 'method=phone' -d 'phone_code=…'"]
    {
        assert!(page.contains(part) || text_of(&page).contains(part), "{part}: {page}");
    }
    assert!(!page.contains("additionalProp"), "no generated examples");
    assert!(text_of(&shown("/docs")).contains("/srv/{tenant}/wechat"));
    assert!(shown("/docs?tenant=nobody").contains("404 no such tenant is serving"));
}

/// The text of a page without its tags.
fn text_of(page: &str) -> String {
    page.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect()
}

#[test]
fn document_passes_standard_linters() {
    let (folder, scene) = (npm(), Scene::new(Stores::Embedded));
    add_rogue(&scene);
    let shop = "[actions.orders]\nplugin = \"proxy\"\nupstream = \"http://shop.test\"\nauth = \"optional\"\n";
    scene.write_tenant(TENANT, &format!("{}{shop}", crate::scene::tenant(&scene.sim)));
    fs::write(folder.join("all.json"), output_of(&scene, &["openapi"])).unwrap();
    fs::write(folder.join("one.json"), output_of(&scene, &["openapi", "--tenant", TENANT])).unwrap();
    fs::write(folder.join("admin.json"), scene.admin("/api/v1/openapi.json").unwrap().body).unwrap();
    let documents = ["all.json", "one.json", "admin.json"];
    let linted = run(Command::new("node")
        .current_dir(&folder)
        .args(["node_modules/@redocly/cli/bin/cli.js", "lint", "--config", "redocly.yaml", "--max-problems", "50"])
        .args(documents)
        .envs([("REDOCLY_TELEMETRY", "off"), ("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")]));
    let output_text = text(&linted);
    assert!(linted.status.success() && !output_text.contains("Warning was generated"), "{output_text}");
    let valid = run(Command::new(python().join("openapi-spec-validator")).current_dir(folder).args(documents));
    assert!(valid.status.success(), "{}", text(&valid));
}

#[test]
fn gateway_conforms_to_its_document() {
    // The limits of login attempts would reject most requests of this test.
    let mut scene = Scene::with(Stores::Embedded, |setup, _| {
        setup.setting("passwords.attempts_per_account", "100000").setting("passwords.attempts_per_address", "100000")
    });
    // The plugin rogue has an action with numbers that also supports GET.
    add_rogue(&scene);
    let shop = Upstream::start();
    let shop =
        format!("[actions.orders]\nplugin = \"proxy\"\nupstream = \"http://{}\"\nauth = \"optional\"\n", shop.addr());
    scene.write_tenant(TENANT, &format!("{}[actions.echo]\n{shop}{FIXED}{OPEN}", crate::scene::tenant(&scene.sim)));
    scene.gateway.restart();
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("openapi.json");
    fs::write(&document, output_of(&scene, &["openapi", "--tenant", TENANT])).unwrap();
    let authorized = scene.authorize("Ann");
    let token = authorized.token().unwrap();
    scene.client().with(token).call("login", &[("method", "profile"), ("name", "Ann")]).ok();
    let share = Request::post(scene.client().target("share-code")).form(&[]).send(scene.addr()).unwrap();
    assert_eq!((share.status, share.header("content-type")), (200, Some("image/jpeg")));
    // Logout comes last, because it ends the session.
    let open = "notify|number|open-data";
    let all = ["--exclude-operation-id-regex".to_owned(), format!("^(logout|{open})$")];
    let open = ["--include-operation-id-regex".to_owned(), format!("^({open})$")];
    let logout = ["--include-operation-id", "logout"].map(str::to_owned);
    let refusals = ["--exclude-checks", "positive_data_acceptance"].map(str::to_owned);
    for chosen in [all.to_vec(), [open, refusals].concat(), logout.to_vec()] {
        let tried = run(Command::new(python().join("schemathesis"))
            .current_dir(folder.path())
            .arg("run")
            .arg(&document)
            .args(["--url", &format!("http://{}", scene.addr()), "--header", &format!("Authorization: Bearer {token}")])
            .args(chosen)
            .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--checks", "all"])
            .args(["--generation-deterministic", "--no-color", "--continue-on-failure"]));
        assert!(tried.status.success(), "the gateway contradicts the document:\n{}", text(&tried));
    }
    for path in ["/wxa/getwxacodeunlimit", "/wxa/msg_sec_check", "/wxa/checksession"] {
        assert!(scene.sim.calls(path) > 10, "{path} was hardly requested");
    }
}

#[test]
fn admin_api_conforms_to_its_document() {
    let scene = Scene::new(Stores::Embedded);
    scene.person("Ann");
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("openapi.json");
    fs::write(&document, scene.admin("/api/v1/openapi.json").unwrap().body).unwrap();
    for file in ["schemathesis.toml", "hooks.py"] {
        fs::copy(repository().join("tests/openapi").join(file), folder.path().join(file)).unwrap();
    }
    let admin = scene.admin_as("operator");
    let tried = run(Command::new(python().join("schemathesis"))
        .current_dir(folder.path())
        .envs([("SCHEMATHESIS_HOOKS", "hooks"), ("PYTHONPATH", ".")])
        .arg("run")
        .arg(&document)
        .args(["--url", &format!("http://{}", scene.admin_addr())])
        .args(["--header", &format!("Authorization: Bearer {}", admin.token())])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--checks", "all"])
        // A valid id need not exist, and a valid text need not be a tenant file. Invalid tokens are tested elsewhere, because
        // many of them are answered with 429.
        .args(["--exclude-checks", "positive_data_acceptance,ignored_auth"])
        .args(["--generation-deterministic", "--no-color", "--continue-on-failure"]));
    assert!(tried.status.success(), "the gateway contradicts the document:\n{}", text(&tried));
}

#[test]
fn typescript_client_compiles_against_the_types() {
    let (folder, scene) = (npm(), Scene::new(Stores::Embedded));
    add_rogue(&scene);
    for arguments in [&["typescript"][..], &["typescript", "--tenant", TENANT]] {
        fs::write(folder.join("types.ts"), output_of(&scene, arguments)).unwrap();
        let checked = run(Command::new("node")
            .current_dir(&folder)
            .args(["node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--noUnusedLocals"])
            // Without the types of other packages, which a mini-program does not have.
            .args(["--target", "es2020", "--module", "esnext", "--typeRoots", "none", "client.ts"]));
        assert!(checked.status.success(), "{}", text(&checked));
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Requests to WeChat with fields fixed by the tenant: other parameters of the client are accepted.
const FIXED: &str = r#"
[actions.check-text]
plugin = "wechat"
call = "msg_sec_check"
fixed = { content = "hello", scene = 1 }

[actions.share-code]
plugin = "wechat"
call = "qrcode"
auth = "optional"
fixed = { scene = "id=7" }

[actions.key]
plugin = "wechat"
call = "check_session"

[actions.by-path]
plugin = "wechat"
call = "POST /wxa/msg_sec_check"
fields = []
fixed = { content = "hello", scene = 1, version = 2 }
openid_field = "openid"
"#;

/// Requests to WeChat with required fields that the document does not contain: it knows the plugin's schema, not the API
/// that `call` names.
const OPEN: &str = r#"
[actions.notify]
plugin = "wechat"
call = "subscribe_send"

[actions.number]
plugin = "wechat"
call = "phone_number"

[actions.open-data]
plugin = "wechat"
call = "decrypt"
"#;

/// Adds the plugin rogue, which has unusual actions.
fn add_rogue(scene: &Scene) {
    fs::copy(plugin_library("rogue"), scene.plugins().join("rogue.so")).unwrap();
}

/// The standard output of a command.
fn output_of(scene: &Scene, arguments: &[&str]) -> Vec<u8> {
    let output = scene.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    output.stdout
}

/// The folder with the linter and the compiler from npm.
fn npm() -> PathBuf {
    installed("openapi", "openapi", &["package-lock.json", "package.json", "redocly.yaml", "client.ts"], |folder| {
        let mut npm = Command::new("npm");
        npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]);
        vec![npm]
    })
}

/// The folder with the programs from PyPI.
fn python() -> PathBuf {
    let folder = installed("openapi", "openapi-python", &["requirements.txt"], |folder| {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(folder.join("venv"));
        let mut pip = Command::new(folder.join("venv/bin/pip"));
        pip.args(["install", "--quiet", "--no-deps", "--requirement"]).arg(folder.join("requirements.txt"));
        vec![venv, pip]
    });
    folder.join("venv/bin")
}

/// A folder in the target directory with these files of a folder of `tests`. `install` runs once for each version of the first
/// file, which pins all dependencies.
pub fn installed(from: &str, name: &str, files: &[&str], install: impl Fn(&Path) -> Vec<Command>) -> PathBuf {
    let from = repository().join("tests").join(from);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    // Tests are concurrent processes: one installs, the others wait.
    let lock = File::create(folder.join(".turn")).unwrap();
    lock.lock().unwrap();
    for file in files {
        fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    let pinned = fs::read(from.join(files[0])).unwrap();
    let done = folder.join(".installed-from");
    if !fs::read(&done).is_ok_and(|of| of == pinned) {
        for mut command in install(&folder) {
            let ran = run(&mut command);
            assert!(ran.status.success(), "{command:?} (needs a package registry once): {}", text(&ran));
        }
        fs::write(done, pinned).unwrap();
    }
    folder
}

fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    let needed = "install the Debian packages nodejs, npm, python3-venv and chromium (tests/tools.sh does)";
    command.output().unwrap_or_else(|e| panic!("{program}: {e}; {needed}"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
