//! Many tenants side by side: a change touches only its own, and the console finds each of them.

use crate::scene::{Scene, Stores, eventually, tenant};

/// Besides the two that every scene has.
const MORE: usize = 500;

fn name(number: usize) -> String {
    format!("shop-{number:03}")
}

/// A scene with many tenants.
fn scene() -> Scene {
    Scene::with(Stores::Embedded, |setup, sim| {
        let file = tenant(sim);
        (0..MORE).fold(setup, |setup, number| {
            setup.tenant(&name(number), file.replace("Manulife", &format!("Branch {number:03} 分店")))
        })
    })
}

/// How many tenants have been put to work since the gateway started.
fn built(scene: &Scene) -> usize {
    let metrics = scene.admin("/metrics").unwrap().text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("menlou_tenant_reloads_total "));
    line.expect("the counter").parse().unwrap()
}

#[test]
fn what_changes_in_one_file_among_many_builds_its_tenant_and_no_other() {
    let scene = scene();
    let all = MORE + 2;
    assert_eq!(built(&scene), all, "each once");
    let ask = |name: &str, action: &str| scene.gateway.client(name).call(action, &[]);
    let file = tenant(&scene.sim);
    // Each on the heels of the other, so that a second look at the folder would show.
    for (at, number) in [7, 250, 499].into_iter().enumerate() {
        let name = name(number);
        ask(&name, "more").assert_error(404, "unknown_action");
        scene.write_tenant(&name, &format!("{file}\n[actions.more]\nplugin = \"user\"\n"));
        eventually("the change is taken up", || (ask(&name, "more").status == 401).then_some(()));
        assert_eq!(built(&scene), all + at + 1);
        assert_eq!(scene.log().matches("tenant reloaded").count(), at + 1, "{}", scene.log());
    }
    scene.write_tenant("newcomer", &file);
    eventually("the newcomer is served", || (ask("newcomer", "user").status == 401).then_some(()));
    assert_eq!(built(&scene), all + 4);
    scene.remove_tenant("newcomer");
    eventually("it is gone", || (ask("newcomer", "user").status == 404).then_some(()));
    // A bad file is looked at again and again, until it is mended.
    scene.write_tenant(&name(8), &file.replace("appid", "apqid"));
    eventually("the fault is told", || scene.readiness().1.to_string().contains("shop-008.toml").then_some(()));
    scene.write_tenant(&name(8), &file);
    eventually("it is mended", || (!scene.readiness().1.to_string().contains("shop-008.toml")).then_some(()));
    assert_eq!(built(&scene), all + 5, "the bad one was not built, the mended one once");
    assert_eq!(scene.log().matches("tenant loaded").count(), all + 1, "the newcomer, and all at the start");
}

/// The names of the tenants that the page lists.
fn listed(page: &str) -> Vec<String> {
    let names = page.split("<div class=\"name\">").skip(1).filter_map(|part| part.split_once("<code>"));
    names.map(|(_, rest)| rest.split('<').next().unwrap_or_default().to_owned()).collect()
}

/// Where the link to the next page leads, as a browser reads it.
fn next(page: &str) -> Option<String> {
    let (before, _) = page.split_once("\" rel=\"next\"")?;
    Some(before.rsplit_once("href=\"")?.1.replace("&#38;", "&").replace("&amp;", "&"))
}

#[test]
fn the_overview_shows_many_tenants_page_by_page_and_finds_each_by_a_part_of_its_names() {
    let scene = scene();
    scene.write_tenant(&name(77), "name = ");
    scene.write_tenant("Shop-9", "");
    eventually("both faults are told", || {
        let told = scene.readiness().1.to_string();
        (told.contains("shop-077.toml") && told.contains("Shop-9.toml")).then_some(())
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
        assert!(seen.is_sorted() && seen.len() == MORE + 3, "{} tenants: {seen:?}", seen.len());

        browser.get("/console/?q=P-4");
        assert_eq!(listed(&browser.page), (400..450).map(name).collect::<Vec<_>>());
        browser.get(&next(&browser.page).expect("a next page"));
        assert_eq!(listed(&browser.page), (450..500).map(name).collect::<Vec<_>>());
        assert_eq!(next(&browser.page), None);
        browser.get("/console/?q=31+%E5%88%86%E5%BA%97");
        assert_eq!(listed(&browser.page), [name(31), name(131), name(231), name(331), name(431)]);
        assert!(browser.page.contains("value=\"31 分店\""), "what was sought stands there still");
        let only = browser.get("/console/?q=Shop-123");
        assert_eq!(only.header("location"), Some("/console/tenants/shop-123"));
        browser.get("/console/?q=%22%3E%3Cscript%3E%26x%3D1");
        assert!(listed(&browser.page).is_empty() && !browser.page.contains("<script>&"), "{}", browser.page);

        browser.get("/console/");
        assert!(browser.page.contains("<a href=\"/console/?faulty=1\">2</a>"), "{}", browser.page);
        browser.get("/console/?faulty=1");
        let names = listed(&browser.page);
        assert!(names.len() == 2 && names[0].ends_with("Shop-9.toml") && names[1] == name(77), "{names:?}");
        assert!(!browser.page.contains("Shop-9.toml\">"), "what is no tenant has no page: {}", browser.page);
        browser.get("/console/?faulty=1&q=077");
        assert_eq!(listed(&browser.page), [name(77)]);
    }
    let mut own = scene.console_as(&format!("tenant:{}", name(5)));
    assert_eq!(own.get("/console/").header("location"), Some("/console/tenants/shop-005"));
    let admin = scene.admin_as(&format!("tenant:{}", name(5)));
    let tenants = admin.get("/tenants").ok()["tenants"].as_array().unwrap().clone();
    assert!(tenants.len() == 1 && tenants[0]["name"] == name(5), "{tenants:?}");
}
