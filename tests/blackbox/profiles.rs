//! Names and avatar URLs: what is stored of them, and which are rejected.

use crate::scene::{Scene, Stores};
use menlou_harness::Client;
use serde_json::json;

fn profile(client: &Client, name: &str, avatar_url: &str) -> menlou_harness::Envelope {
    client.call("login", &[("method", "profile"), ("name", name), ("avatar_url", avatar_url)])
}

#[test]
fn names_are_stored_without_invisible_characters() {
    let scene = Scene::new(Stores::Embedded);
    let client = scene.session("ann");
    let login = profile(&client, "\u{202e} 安\u{200b}娜  Lee\u{feff} ", "");
    assert_eq!(login.ok()["user"]["name"], json!("安娜 Lee"));
    let renamed = client.call("user", &[("name", "\u{2066}Anna\u{2069}")]);
    assert_eq!(renamed.ok()["user"]["name"], json!("Anna"));
}

#[test]
fn names_without_a_visible_character_are_rejected() {
    let scene = Scene::new(Stores::Embedded);
    let client = scene.session("ann");
    let blank = ["  ", "\u{3000}", "\u{200b}", "\u{200b}\u{200d}\u{feff}", "\u{3164}", "\u{202e}\u{202c}", "\t\n"];
    for name in blank {
        profile(&client, name, "").assert_error(200, "invalid_name");
    }
    client.call("user", &[]).assert_error(401, "login_required");
    profile(&client, "Ann", "").ok();
    for name in blank {
        client.call("user", &[("name", name)]).assert_error(200, "invalid_name");
    }
    assert_eq!(client.call("user", &[]).ok()["user"]["name"], json!("Ann"));
}

#[test]
fn avatar_urls_that_others_cannot_load_are_rejected() {
    let scene = Scene::new(Stores::Embedded);
    let client = scene.session("ann");
    let rejected = [
        "http://tmp/wx5f.jpg",
        "https://tmp/wx5f.jpg",
        "wxfile://tmp_5f.jpg",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "http://example.com/a.png",
        "https://user@example.com/a.png",
        "/a.png",
    ];
    for url in rejected {
        profile(&client, "Ann", url).assert_error(200, "invalid_avatar_url");
    }
    profile(&client, "Ann", "https://example.com/a.png").ok();
    for url in rejected {
        client.call("user", &[("avatar_url", url)]).assert_error(200, "invalid_avatar_url");
    }
    assert_eq!(client.call("user", &[]).ok()["user"]["avatar_url"], json!("https://example.com/a.png"));
}
