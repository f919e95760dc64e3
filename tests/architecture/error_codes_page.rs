//! `gateway/ERRORS.md` lists the error codes of the code; `MENLOU_UPDATE_DOCS=1` rewrites it.

use menlou_error::text::Text;
use menlou_error::{Responsible, admin_codes, codes};
use menlou_platform::wechat::errcodes;
use std::{fmt::Write, fs};

fn page() -> String {
    let mut page = String::from(
        "# 错误码与平台错误码 · Error codes and platform errcodes\n\n\
         Made from the tables in the code; `menlou explain CODE|ERRCODE` prints one entry. 由代码中的表生成，`menlou explain` 可逐条查看。\n\n\
         每个响应都是 `{\"code\":1|0,\"msg\":…,\"data\":{…}}`；失败时另有 `\"error\"`：下表中的错误码，不会改名。HTTP 200 表示动作自己的判断，4xx/5xx 表示网关未能服务。\n\
         Every response is `{\"code\":1|0,\"msg\":…,\"data\":{…}}`; a failure also has `\"error\"`: one of these codes, which are never renamed. \
         HTTP 200 is what an action decided, 4xx and 5xx mean that the gateway could not serve the request.\n\n\
         `msg` 给用户看，可直接显示；`data.detail` 给开发者看，说明哪个参数、何种类型等。\n\
         `msg` is for users and can be shown as it is. `data.detail` is for developers: which parameter, which type.\n\n\
         ## 错误码 · Codes\n\n\
         | error | HTTP | `msg` | 含义 · meaning (`data.detail`) | 谁来处理 · who acts | 怎么办 · what to do |\n|---|---|---|---|---|---|\n",
    );
    for code in codes::ALL {
        let status = format!("{} | {}", code.status, both(&code.text));
        row(&mut page, code.name, &status, code.meaning(), code.who, &code.remedy, None);
    }
    page.push_str(
        "\n## 管理接口 · Admin API\n\n\
         管理接口的失败是 `{\"error\":…,\"msg\":…,\"data\":{…}}`；除下列错误码外，也使用上表中的错误码。\n\
         The admin API's failures are `{\"error\":…,\"msg\":…,\"data\":{…}}`; it also uses codes from above.\n\n\
         | error | HTTP | 含义 · meaning | 谁来处理 · who acts | 怎么办 · what to do |\n|---|---|---|---|---|\n",
    );
    for w in admin_codes::ALL {
        row(&mut page, w.name, &w.status.to_string(), &w.text, w.who, &w.remedy, None);
    }
    page.push_str(
        "\n## 微信错误码 · WeChat errcodes\n\n\
         响应的 `data` 带有 `errcode` 与 `rid`（若微信给出）。表中没有的错误码返回 `platform_error`。\n\
         `data` of the response has `errcode`, and `rid` if WeChat sent one. An errcode that is not listed becomes `platform_error`.\n\n\
         | errcode | error | 含义 · meaning | 谁来处理 · who acts | 怎么办 · what to do |\n|---|---|---|---|---|\n",
    );
    for e in errcodes::ALL {
        row(&mut page, &e.code.to_string(), e.error.name, &e.meaning, e.responsible, &e.remedy, e.location.as_ref());
    }
    page
}

fn both(text: &Text) -> String {
    format!("{}<br>{}", text.zh, text.en).replace('|', "\\|")
}

fn row(
    page: &mut String,
    name: &str,
    second: &str,
    meaning: &Text,
    who: Responsible,
    remedy: &Text,
    place: Option<&Text>,
) {
    let place = place.map(|p| format!("<br>{}", both(p))).unwrap_or_default();
    writeln!(page, "| `{name}` | {second} | {} | {} | {}{place} |", both(meaning), both(&who.text()), both(remedy))
        .unwrap();
}

#[test]
fn the_page_of_error_codes_is_up_to_date() {
    let file = super::root().join("gateway/ERRORS.md");
    if std::env::var_os("MENLOU_UPDATE_DOCS").is_some() {
        fs::write(&file, page()).unwrap();
    }
    assert!(
        fs::read_to_string(file).is_ok_and(|text| text == page()),
        "gateway/ERRORS.md is out of date: run MENLOU_UPDATE_DOCS=1 cargo test -p menlou --test architecture"
    );
}
