//! Secrets in variables and files as editors, shells and Kubernetes leave them.

use crate::scene::{Scene, Stores, TENANT, setup, simulator, tenant};
use menlou_harness::GatewayFolder;
use menlou_simulator::DEMO_SECRET;
use std::fs;

#[test]
fn line_ends_blanks_and_byte_order_marks_around_a_secret_are_not_part_of_it() {
    for text in ["\n", "\n\n", "\r\n", " \n", "\t"]
        .map(|end| format!("{DEMO_SECRET}{end}"))
        .into_iter()
        .chain([format!(" {DEMO_SECRET}"), format!("\u{feff}{DEMO_SECRET}\n")])
    {
        for source in ["env:WX_SECRET", "file:secret"] {
            let sim = simulator();
            let file = tenant(&sim).replace(&format!("{DEMO_SECRET:?}"), &format!("{source:?}"));
            let setup = setup(&sim, None, None).env("WX_SECRET", &text);
            let home = GatewayFolder::new(setup);
            fs::write(home.tenants().join("secret"), &text).unwrap();
            home.write_tenant(TENANT, &file);
            let output = home.command(&["tenant", "verify", TENANT], b"");
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{source} {text:?}: {shown}");
        }
    }
}

#[test]
fn an_invisible_character_inside_a_secret_is_reported_with_its_place_and_not_its_secret() {
    let (start, end) = DEMO_SECRET.split_at(4);
    for (inside, code) in [("\u{200b}", "U+200B"), ("\n", "U+000A"), ("\u{feff}", "U+FEFF"), ("\u{7}", "U+0007")] {
        let text = format!("{start}{inside}{end}");
        for source in ["env:WX_SECRET", "file:secret"] {
            let sim = simulator();
            let file = tenant(&sim).replace(&format!("{DEMO_SECRET:?}"), &format!("{source:?}"));
            let home = GatewayFolder::new(setup(&sim, None, None).env("WX_SECRET", &text));
            fs::write(home.tenants().join("secret"), &text).unwrap();
            home.write_tenant(TENANT, &file);
            let output = home.command(&["validate", "--offline"], b"");
            let shown = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{source} {code}: {shown}");
            let place = format!("{code}, at position 5");
            assert!(shown.contains(&place) && shown.contains("tenants/manulife.toml:"), "{source}: {shown}");
            assert!(!shown.contains(end), "{shown}");
        }
    }
    // The same in the tenant's file itself.
    let scene = Scene::new(Stores::Embedded);
    let file = tenant(&scene.sim).replace(DEMO_SECRET, &format!("{start}\u{200b}{end}"));
    scene.write_tenant(TENANT, &file);
    let output = scene.command(&["validate", "--offline"]);
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && shown.contains("U+200B"), "{shown}");
}
