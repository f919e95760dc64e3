//! 500 tenants in one gateway: a changed file reloads only its own tenant, and the console lists and finds each of them.

use crate::scene::{Scene, Stores, eventually, tenant};

/// Tenants besides the two of every scene.
const ADDED: usize = 500;

fn name(number: usize) -> String {
    format!("shop-{number:03}")
}

/// A scene with [`ADDED`] more tenants.
fn scene() -> Scene {
    Scene::with(Stores::Embedded, |setup, sim| {
        let file = tenant(sim);
        (0..ADDED).fold(setup, |setup, number| {
            setup.tenant(&name(number), file.replace("Manulife", &format!("Branch {number:03} 分店")))
        })
    })
}

/// Number of times that a tenant was loaded or reloaded since the gateway started.
fn reloads(scene: &Scene) -> usize {
    let metrics = scene.admin("/metrics").unwrap().text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("menlou_tenant_reloads_total "));
    line.expect("the counter").parse().unwrap()
}

#[test]
fn changed_file_reloads_only_its_own_tenant() {
    let scene = scene();
    let initial = ADDED + 2;
    assert_eq!(reloads(&scene), initial, "each once");
    let call = |name: &str, action: &str| scene.gateway.client(name).call(action, &[]);
    let file = tenant(&scene.sim);
    // In quick succession, so that an additional scan of the folder would reload a tenant twice.
    for (at, number) in [7, 250, 499].into_iter().enumerate() {
        let name = name(number);
        call(&name, "more").assert_error(404, "unknown_action");
        scene.write_tenant(&name, &format!("{file}\n[actions.more]\nplugin = \"user\"\n"));
        eventually("the change is loaded", || (call(&name, "more").status == 401).then_some(()));
        assert_eq!(reloads(&scene), initial + at + 1);
        assert_eq!(scene.log().matches("tenant reloaded").count(), at + 1, "{}", scene.log());
    }
    scene.write_tenant("newcomer", &file);
    eventually("the newcomer is served", || (call("newcomer", "user").status == 401).then_some(()));
    assert_eq!(reloads(&scene), initial + 4);
    scene.remove_tenant("newcomer");
    eventually("the newcomer is removed", || (call("newcomer", "user").status == 404).then_some(()));
    // An invalid file is read repeatedly until it is fixed.
    scene.write_tenant(&name(8), &file.replace("appid", "apqid"));
    eventually("readiness names the invalid file", || {
        scene.readiness().1.to_string().contains("shop-008.toml").then_some(())
    });
    scene.write_tenant(&name(8), &file);
    eventually("the file is valid again", || {
        (!scene.readiness().1.to_string().contains("shop-008.toml")).then_some(())
    });
    assert_eq!(reloads(&scene), initial + 5, "the invalid file did not reload its tenant, the fixed one did once");
    assert_eq!(scene.log().matches("tenant loaded").count(), initial + 1, "the newcomer, and all at the start");
}

/// Names of the tenants in the list of the page.
fn listed(page: &str) -> Vec<String> {
    let names = page.split("<div class=\"name\">").skip(1).filter_map(|part| part.split_once("<code>"));
    names.map(|(_, rest)| rest.split('<').next().unwrap_or_default().to_owned()).collect()
}

/// Target of the link to the next page, with HTML entities decoded.
fn next(page: &str) -> Option<String> {
    let (before, _) = page.split_once("\" rel=\"next\"")?;
    Some(before.rsplit_once("href=\"")?.1.replace("&#38;", "&").replace("&amp;", "&"))
}

#[test]
fn overview_paginates_tenants_and_searches_parts_of_names() {
    let scene = scene();
    scene.write_tenant(&name(77), "name = ");
    scene.write_tenant("Shop-9", "");
    eventually("readiness names both invalid files", || {
        let readiness = scene.readiness().1.to_string();
        (readiness.contains("shop-077.toml") && readiness.contains("Shop-9.toml")).then_some(())
    });
    for language in ["en", "zh-CN"] {
        let mut browser = scene.console_as("viewer").with("Accept-Language", language);
        let (mut page, mut seen) = (Some("/console/".to_owned()), Vec::new());
        while let Some(path) = page.take() {
            assert_eq!(browser.get(&path).status, 200, "{path}");
            assert!(browser.page.len() < 400_000, "{path}: {} bytes", browser.page.len());
            let names = listed(&browser.page);
            assert!((1..=50).contains(&names.len()), "{path}: {names:?}");
            assert_eq!(browser.page.contains(if language == "en" { "First page" } else { "第一页" }), !seen.is_empty());
            seen.extend(names);
            page = next(&browser.page);
        }
        assert!(seen.is_sorted() && seen.len() == ADDED + 3, "{} tenants: {seen:?}", seen.len());

        browser.get("/console/?q=P-4");
        assert_eq!(listed(&browser.page), (400..450).map(name).collect::<Vec<_>>());
        browser.get(&next(&browser.page).expect("a next page"));
        assert_eq!(listed(&browser.page), (450..500).map(name).collect::<Vec<_>>());
        assert_eq!(next(&browser.page), None);
        browser.get("/console/?q=31+%E5%88%86%E5%BA%97");
        assert_eq!(listed(&browser.page), [name(31), name(131), name(231), name(331), name(431)]);
        assert!(browser.page.contains("value=\"31 分店\""), "the search field keeps the query");
        let single = browser.get("/console/?q=Shop-123");
        assert_eq!(single.header("location"), Some("/console/tenants/shop-123"));
        browser.get("/console/?q=%22%3E%3Cscript%3E%26x%3D1");
        assert!(listed(&browser.page).is_empty() && !browser.page.contains("<script>&"), "{}", browser.page);

        browser.get("/console/");
        assert!(browser.page.contains("<a href=\"/console/?faulty=1\">2</a>"), "{}", browser.page);
        browser.get("/console/?faulty=1");
        let names = listed(&browser.page);
        assert!(names.len() == 2 && names[0].ends_with("Shop-9.toml") && names[1] == name(77), "{names:?}");
        assert!(
            !browser.page.contains("Shop-9.toml\">"),
            "a file with an invalid tenant name has no page: {}",
            browser.page
        );
        browser.get("/console/?faulty=1&q=077");
        assert_eq!(listed(&browser.page), [name(77)]);
    }
    let mut own = scene.console_as(&format!("tenant:{}", name(5)));
    assert_eq!(own.get("/console/").header("location"), Some("/console/tenants/shop-005"));
    let admin = scene.admin_as(&format!("tenant:{}", name(5)));
    let tenants = admin.get("/tenants").ok()["tenants"].as_array().unwrap().clone();
    assert!(tenants.len() == 1 && tenants[0]["name"] == name(5), "{tenants:?}");
}
