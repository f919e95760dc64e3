//! The wording of errors.

use super::*;
use menlou_error::text::Text;

#[track_caller]
fn says(language: Language, text: &str, expected: &str) {
    let found = tenant_errors(text, language);
    assert!(found == expected.trim_matches('\n'), "found:\n{found}\nexpected:\n{expected}");
}

#[test]
fn all_errors_are_shown_with_their_lines_and_without_secrets() {
    says(
        Language::En,
        r#"nmae = "X"
[wechat]
appid = "wx123"
secrte = "0123456789abcdef"  # was hunter2
base_url = "ftp://h"
[session]
ttl = 7
[actions.Open]
"#,
        r#"
error: unknown key `nmae`; did you mean `name`?
 --> tenants/x.toml:1:1
  |
1 | nmae = "*"
  | ^^^^

error: `name` is missing
 --> tenants/x.toml:1:1
  |
1 | nmae = "*"
  | ^

error: `secret` is missing
 --> tenants/x.toml:2:2
  |
2 | [wechat]
  |  ^^^^^^

error: `appid` must be an AppID: wx and 16 hex digits in lower case
 --> tenants/x.toml:3:9
  |
3 | appid = "wx123"
  |         ^^^^^^^

error: unknown key `secrte`; did you mean `secret`?
 --> tenants/x.toml:4:1
  |
4 | secrte = "****************"
  | ^^^^^^

error: `base_url` must be an http or https URL without user, query or fragment
 --> tenants/x.toml:5:12
  |
5 | base_url = "ftp://h"
  |            ^^^^^^^^^

error: `ttl` must be a string (in quotes), but is an integer
 --> tenants/x.toml:7:7
  |
7 | ttl = 7
  |       ^

error: `Open` is not a valid name: 1 to 64 lower-case letters, digits, _ or -, not starting with _ or -
 --> tenants/x.toml:8:10
  |
8 | [actions.Open]
  |          ^^^^
"#,
    );
}

#[test]
fn errors_are_shown_in_chinese() {
    says(
        Language::Zh,
        "name = \"保险\"\nsesion = 1\n",
        r#"
错误: 没有配置平台：请添加 [wechat]
 --> tenants/x.toml:1:1
  |
1 | name = "**"
  | ^

错误: 未知的键 `sesion`；是否想写 `session`？
 --> tenants/x.toml:2:1
  |
2 | sesion = *
  | ^^^^^^
"#,
    );
}

#[test]
fn syntax_errors_are_shown_without_values() {
    says(
        Language::En,
        "name = \"X\n[wechat]\nsecret = \"hunter2\" oops\nappid wx\nhunter2\nx = { a = 1, \n",
        r#"
error: not valid TOML: invalid basic string, expected `"`
 --> tenants/x.toml:1:10
  |
1 | name = "*
  |          ^

error: not valid TOML: unexpected key or value, expected newline, `#`
 --> tenants/x.toml:3:20
  |
3 | secret = "*******" ****
  |                    ^

error: not valid TOML: key with no value, expected `=`
 --> tenants/x.toml:4:7
  |
4 | ***** **
  |       ^

error: not valid TOML: key with no value, expected `=`
 --> tenants/x.toml:5:8
  |
5 | *******
  |        ^

error: not valid TOML: unclosed inline table, expected `}`
 --> tenants/x.toml:6:13
  |
6 | x = { * = *,
  |             ^
"#,
    );
}

#[test]
fn columns_are_correct_after_a_byte_order_mark_and_wide_characters() {
    says(
        Language::En,
        "\u{feff}name = \"保险\"\r\nwechat = { appid = \"保险\", secret = \"hunter2\", more = \"hunter2\" }\r\n",
        r#"
error: `appid` must be an AppID: wx and 16 hex digits in lower case
 --> tenants/x.toml:2:20
  |
2 | wechat = { appid = "保险", secret = "*******", more = "*******" }
  |                    ^^^^^^

error: unknown key `more`; known keys: `appid`, `base_url`, `previous_secret`, `secret`
 --> tenants/x.toml:2:46
  |
2 | wechat = { appid = "**", secret = "*******", more = "*******" }
  |                                              ^^^^
"#,
    );
}

#[test]
fn toml_values_that_a_config_cannot_have_are_errors() {
    says(
        Language::En,
        "a = 2020-01-01\nb = inf\nc = 99999999999999999999\n",
        r#"
error: write dates and times as strings, in quotes
 --> tenants/x.toml:1:5
  |
1 | a = **********
  |     ^^^^^^^^^^

error: only finite numbers can be used
 --> tenants/x.toml:2:5
  |
2 | b = ***
  |     ^^^

error: the integer does not fit into 64 bits
 --> tenants/x.toml:3:5
  |
3 | c = ********************
  |     ^^^^^^^^^^^^^^^^^^^^
"#,
    );
}

#[test]
fn a_value_in_place_of_a_table_is_masked() {
    says(
        Language::En,
        "name = 1\nwechat = \"hunter2\"\nsession = []\nactions = { a = 1, b = { plugin = \"../x\" } }\n",
        r#"
error: `name` must be a string (in quotes), but is an integer
 --> tenants/x.toml:1:8
  |
1 | name = 1
  |        ^

error: `wechat` must be a table, but is a string (in quotes)
 --> tenants/x.toml:2:10
  |
2 | wechat = "*******"
  |          ^^^^^^^^^

error: `session` must be a table, but is a list ([…])
 --> tenants/x.toml:3:11
  |
3 | session = []
  |           ^^

error: `a` must be a table, but is an integer
 --> tenants/x.toml:4:17
  |
4 | actions = { a = *, b = { plugin = "****" } }
  |                 ^

error: `plugin` must be 1 to 64 lower-case letters, digits, _ or -, not starting with _ or -
 --> tenants/x.toml:4:35
  |
4 | actions = { a = *, b = { plugin = "../x" } }
  |                                   ^^^^^^
"#,
    );
}

#[test]
fn a_secret_in_place_of_the_appid_is_not_shown() {
    says(
        Language::En,
        "name = 'X'\n[wechat]\nappid = '0123456789abcdef0123456789abcdef'\nsecret = 'wx4f4bc4dec97d474b'\n",
        r#"
error: `appid` must be an AppID: wx and 16 hex digits in lower case
 --> tenants/x.toml:3:9
  |
3 | appid = '********************************'
  |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
"#,
    );
}

#[test]
fn checks_beyond_the_schema_are_reported() {
    says(
        Language::En,
        "wechat.appid = \"wx4f4bc4dec97d474b\"\nwechat.secret = \"vault:hunter2\"\nname = ' '\nsession.ttl = '31d'\nwechat.base_url = 'http://u:hunter2@h'",
        r#"
error: `secret`: unknown kind of secret; write "env:NAME", "file:PATH", "sealed:…" (made by menlou secret seal), or the secret itself (which must not look like "scheme:…" or "$…")
 --> tenants/x.toml:2:17
  |
2 | wechat.secret = "*************"
  |                 ^^^^^^^^^^^^^^^

error: `name` must be 1 to 64 characters, not only white space
 --> tenants/x.toml:3:8
  |
3 | name = ' '
  |        ^^^

error: `ttl` must be from 1m to 30d
 --> tenants/x.toml:4:15
  |
4 | session.ttl = '31d'
  |               ^^^^^

error: `base_url` must be an http or https URL without user, query or fragment
 --> tenants/x.toml:5:19
  |
5 | wechat.base_url = '******************'
  |                   ^^^^^^^^^^^^^^^^^^^^
"#,
    );
}

#[test]
fn no_line_of_a_broken_file_shows_an_encoded_key() {
    let key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    for text in [
        format!("secret = \"\"\"\n{key}\n{key}==\n"),
        format!("secret = \n{key}\n"),
        format!("secret = {key}\n"),
        format!("{key}==\n"),
        format!("secret = \"{key}\n"),
        format!("secret \"{key}\"\n"),
        format!("[wechat\nsecret = '{key}'\n"),
        format!("x = [\n{key},\n"),
        format!("wechat = {{ secret = '{key}' \n"),
    ] {
        let found = tenant_errors(&text, Language::En);
        assert!(found.contains("not valid TOML") && !found.contains(&key[..8]), "{text}\n{found}");
    }
}

#[test]
fn errors_have_the_pointer_of_their_value() {
    let text = "name = 1\n[wechat]\nappid = \"x\"\nsceret = \"s\"\n[session]\nttl = \"soon\"\n";
    let doc = Document::parse("acme.toml", text.as_bytes()).unwrap();
    let errors = TenantFile::read(&doc).unwrap_err();
    let about: Vec<_> = errors.iter().filter_map(|error| doc.pointer_of(error)).collect();
    for pointer in ["/name", "/wechat/appid", "/wechat/sceret", "/wechat", "/session/ttl"] {
        assert!(about.iter().any(|at| at == pointer), "{pointer}: {about:?}");
    }
    let list = Document::parse("acme.toml", b"[actions.a]\nx = [\"1\", \"2\"]\n").unwrap();
    let error = list.error_at("/actions/a/x/1", Text::fixed("", ""));
    assert_eq!(list.pointer_of(&error).as_deref(), Some("/actions/a/x/1"));
}

#[test]
fn an_error_of_a_missing_value_is_placed_at_the_nearest_table() {
    let doc =
        Document::parse("x.toml", b"[wechat]\nappid = 'a'\n[[list]]\na = 1\n[actions.'a/b~c'] # old\nk = 1\n").unwrap();
    let at = |pointer| doc.error_at(pointer, Text::fixed("无", "none")).at();
    assert_eq!(at("/wechat/secret"), "x.toml:1:1");
    assert_eq!(at("/list/0/a"), "x.toml:4:5");
    assert_eq!(at("/list/7"), "x.toml:3:1");
    assert_eq!(at("/actions/a~1b~0c/k"), "x.toml:6:5");
    assert_eq!(at("/none/at/all"), "x.toml:1:1");
    let error = doc.error_at_key("/actions/a~1b~0c", Text::fixed("无", "none"));
    assert_eq!(error.to_string(), "x.toml:5:10: none");
    assert_eq!(
        serde_json::to_value(&error).unwrap(),
        serde_json::json!({ "file": "x.toml", "line": 5, "column": 10, "variable": null, "zh": "无", "en": "none" })
    );
    assert!(error.render(Language::En, true).contains("\u{1b}["));
    assert_eq!(format!("{doc:?}"), "Document { path: \"x.toml\", .. }");
}
