//! What the gateway says of its actions: the document passes linters and holds at a running gateway, the types compile.

use crate::scene::{Scene, Stores, TENANT};
use menlou_harness::gateway::library;
use serde_json::Value;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

#[test]
fn the_document_is_the_same_from_the_command_line_and_from_the_admin_port() {
    let scene = Scene::new(Stores::Embedded);
    for (arguments, path) in
        [(&["openapi"][..], "/openapi.json"), (&["openapi", "--tenant", TENANT], "/openapi.json?tenant=manulife")]
    {
        let printed: Value = serde_json::from_slice(&said(&scene, arguments)).unwrap();
        let mut served: Value = serde_json::from_slice(&scene.admin(path).unwrap().body).unwrap();
        // The test's gateway listens elsewhere than its file says.
        served["servers"] = printed["servers"].clone();
        assert_eq!(printed, served);
        assert_eq!(said(&scene, arguments), said(&scene, arguments), "always the same bytes");
    }
    assert_eq!(scene.admin("/openapi.json?tenant=nobody").unwrap().status, 404);
}

#[test]
fn the_document_tells_each_action_under_its_tenant_s_name_for_it() {
    let scene = Scene::with(Stores::Embedded, |setup, sim| {
        setup.tenant(
            "renamed",
            crate::scene::tenant(sim).replace("[actions.user]", "[actions.my-page]\nplugin = \"user\"\n\n[actions.check-text]\nplugin = \"wechat\"\ncall = \"msg_sec_check\"\nlogin = \"required\"\n"),
        )
    });
    let all: Value = serde_json::from_slice(&said(&scene, &["openapi"])).unwrap();
    let paths: Vec<&String> = all["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        ["login", "logout", "openid", "user", "wechat"].map(|a| format!("/srv/{{tenant}}/{a}")).each_ref()
    );
    assert_eq!(all["paths"]["/srv/{tenant}/openid"]["post"]["security"], serde_json::json!([]));
    assert_eq!(all["paths"]["/srv/{tenant}/user"]["post"]["security"], serde_json::json!([{ "bearerAuth": [] }]));
    let one: Value = serde_json::from_slice(&scene.admin("/openapi.json?tenant=renamed").unwrap().body).unwrap();
    let paths: Vec<&String> = one["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        ["check-text", "login", "logout", "my-page", "openid"].map(|a| format!("/srv/renamed/{a}")).each_ref()
    );
    assert!(one["components"]["schemas"]["MyPageData"]["properties"]["user"].is_object());
    let printed: Value = serde_json::from_slice(&said(&scene, &["openapi", "--tenant", "renamed"])).unwrap();
    assert_eq!(printed["paths"], one["paths"], "also where a setting says who is served");
    let types = String::from_utf8(said(&scene, &["types", "--tenant", "renamed"])).unwrap();
    assert!(types.contains("\"my-page\": { params: MyPageParams; data: MyPageData }"), "{types}");
}

#[test]
fn an_action_that_no_plugin_offers_is_told_and_left_out() {
    let scene = Scene::with(Stores::Embedded, |setup, sim| {
        setup.tenant(
            "odd",
            format!("{}[actions.oepnid]\n", crate::scene::tenant(sim).replace("demo-secret", "env:MISSING_ONE")),
        )
    });
    let output = scene.command(&["openapi", "--tenant", "odd"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("odd.toml:") && told.contains("did you mean openid?"), "{told}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["paths"].as_object().unwrap().len(), 4, "a secret is not needed");
    for arguments in [["openapi", "--tenant", "nobody"], ["types", "--tenant", "No Name"]] {
        let output = scene.command(&arguments);
        assert!(!output.status.success() && output.stdout.is_empty());
    }
}

#[test]
fn swagger_ui_is_served_from_within_the_program() {
    let scene = Scene::new(Stores::Embedded);
    let page = scene.admin("/docs").unwrap();
    let html = String::from_utf8(page.body).unwrap();
    assert!(page.status == 200 && !html.contains("://"), "nothing from elsewhere: {html}");
    for (file, holds) in [("swagger-ui.css", "swagger-ui"), ("swagger-ui-bundle.js", "SwaggerUIBundle")] {
        assert!(html.contains(&format!("docs/{file}")));
        let answer = scene.admin(&format!("/docs/{file}")).unwrap();
        assert!(answer.status == 200 && String::from_utf8_lossy(&answer.body).contains(holds), "{file}");
    }
    assert_eq!(scene.admin("/docs/nothing.js").unwrap().status, 404);
}

#[test]
fn a_standard_linter_finds_no_fault_in_the_document() {
    let (folder, scene) = (npm(), Scene::new(Stores::Embedded));
    add_rogue(&scene);
    fs::write(folder.join("all.json"), said(&scene, &["openapi"])).unwrap();
    fs::write(folder.join("one.json"), said(&scene, &["openapi", "--tenant", TENANT])).unwrap();
    fs::write(folder.join("admin.json"), scene.admin("/api/v1/openapi.json").unwrap().body).unwrap();
    let documents = ["all.json", "one.json", "admin.json"];
    let linted = run(Command::new("node")
        .current_dir(&folder)
        .args(["node_modules/@redocly/cli/bin/cli.js", "lint", "--config", "redocly.yaml", "--max-problems", "50"])
        .args(documents)
        .envs([("REDOCLY_TELEMETRY", "off"), ("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")]));
    let told = text(&linted);
    assert!(linted.status.success() && !told.contains("Warning was generated"), "{told}");
    let valid = run(Command::new(python().join("openapi-spec-validator")).current_dir(folder).args(documents));
    assert!(valid.status.success(), "{}", text(&valid));
}

#[test]
fn the_document_holds_at_a_running_gateway() {
    // Whoever tries so much would be locked out, as it should be.
    let mut scene = Scene::with(Stores::Embedded, |setup, _| {
        setup.setting("passwords.attempts_per_account", "100000").setting("passwords.attempts_per_address", "100000")
    });
    // An action with numbers, also by GET.
    add_rogue(&scene);
    scene.write_tenant(TENANT, &format!("{}[actions.echo]\n", crate::scene::tenant(&scene.sim)));
    scene.gateway.restart();
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("openapi.json");
    fs::write(&document, said(&scene, &["openapi", "--tenant", TENANT])).unwrap();
    let authorized = scene.authorize("Ann");
    let token = authorized.token().unwrap();
    scene.client().with(token).call("login", &[("method", "profile"), ("name", "Ann")]).ok();
    // Logging out comes last: it ends the session.
    for chosen in [["--exclude-operation-id", "logout"], ["--include-operation-id", "logout"]] {
        let tried = run(Command::new(python().join("schemathesis"))
            .current_dir(folder.path())
            .arg("run")
            .arg(&document)
            .args(["--url", &format!("http://{}", scene.addr()), "--header", &format!("Authorization: Bearer {token}")])
            .args(chosen)
            .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--checks", "all"])
            .args(["--generation-deterministic", "--no-color", "--continue-on-failure"]));
        assert!(tried.status.success(), "the document and the gateway contradict each other:\n{}", text(&tried));
    }
}

#[test]
fn the_admin_s_document_holds_at_a_running_gateway() {
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
        // What fits the schema need not be there, and a text need not be a tenant's file. That other tokens are refused is
        // tested elsewhere: who tries so many has to wait.
        .args(["--exclude-checks", "positive_data_acceptance,ignored_auth"])
        .args(["--generation-deterministic", "--no-color", "--continue-on-failure"]));
    assert!(tried.status.success(), "the document and the gateway contradict each other:\n{}", text(&tried));
}

#[test]
fn a_client_of_wx_request_compiles_against_the_types() {
    let (folder, scene) = (npm(), Scene::new(Stores::Embedded));
    add_rogue(&scene);
    for arguments in [&["types"][..], &["types", "--tenant", TENANT]] {
        fs::write(folder.join("types.ts"), said(&scene, arguments)).unwrap();
        let checked = run(Command::new("node")
            .current_dir(&folder)
            .args(["node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--noUnusedLocals"])
            // What other packages brought of types is none of a mini-program's.
            .args(["--target", "es2020", "--module", "esnext", "--typeRoots", "none", "client.ts"]));
        assert!(checked.status.success(), "{}", text(&checked));
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Adds a plugin of another kind of actions.
fn add_rogue(scene: &Scene) {
    fs::copy(library("rogue"), scene.plugins().join("rogue.so")).unwrap();
}

/// What a command of the gateway's prints.
fn said(scene: &Scene, arguments: &[&str]) -> Vec<u8> {
    let output = scene.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    output.stdout
}

/// The folder with the linter and the compiler, from npm.
fn npm() -> PathBuf {
    installed("openapi", &["package-lock.json", "package.json", "redocly.yaml", "client.ts"], |folder| {
        let mut npm = Command::new("npm");
        npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]);
        vec![npm]
    })
}

/// The folder of the programs from PyPI.
fn python() -> PathBuf {
    let folder = installed("openapi-python", &["requirements.txt"], |folder| {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(folder.join("venv"));
        let mut pip = Command::new(folder.join("venv/bin/pip"));
        pip.args(["install", "--quiet", "--no-deps", "--requirement"]).arg(folder.join("requirements.txt"));
        vec![venv, pip]
    });
    folder.join("venv/bin")
}

/// A folder under the build's own with these files of `tests/openapi`, and what `install` gets for them: once per version
/// of the first, which pins everything.
fn installed(name: &str, files: &[&str], install: impl Fn(&Path) -> Vec<Command>) -> PathBuf {
    let from = repository().join("tests/openapi");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    // Tests are processes of their own, side by side: one installs, the others wait.
    let turn = File::create(folder.join(".turn")).unwrap();
    turn.lock().unwrap();
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
    let needed = "install the Debian packages nodejs, npm and python3-venv (tests/tools.sh does)";
    command.output().unwrap_or_else(|e| panic!("{program}: {e}; {needed}"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
