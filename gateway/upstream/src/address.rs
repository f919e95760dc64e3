//! The base URL of a server, validated once, and the URL of each request below it.

use menlou_call::has_dot_segment;
use menlou_error::text::Text;
use menlou_platform::http::Url;

/// A server's base URL.
pub(super) struct Address {
    /// `scheme://host[:port]`: the server's name in logs and metrics.
    pub origin: String,
    /// The URL without a trailing slash.
    pub base: String,
}

/// A path and query below a server's base URL.
pub(super) struct Target(String);

/// Maximum length of path and query, in bytes.
const MAX_TARGET_LENGTH: usize = 16 * 1024;

impl Address {
    /// Parses `http://` or `https://`, a host, and optionally a port and a base path. Error texts do not contain the URL.
    pub fn new(written: &str) -> Result<Self, Text> {
        let url = Url::parse(written)
            .map_err(|e| Text::new(format!("不是有效的 URL：{e}"), format!("is not a valid URL: {e}")))?;
        let invalid = |zh, en| Err(Text::fixed(zh, en));
        if !matches!(url.scheme(), "http" | "https") {
            return invalid("须以 http:// 或 https:// 开头", "must begin with http:// or https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return invalid(
                "不可含用户名或密码；需要凭证时请用请求头",
                "must not contain a user name or password; use a header for credentials",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return invalid(
                "不可含 ? 或 #：只写到路径为止",
                "must not contain ? or #: only a path may follow the host",
            );
        }
        if !is_unchanged(written, url.path()) {
            return invalid(
                "路径须写成 URL 的规范形式：特殊字符与中文用百分号编码，不含 . 或 .. 段",
                "must have a path in canonical form: percent-encoded, without segments . or ..",
            );
        }
        let origin = url.origin().ascii_serialization();
        Ok(Self { base: format!("{origin}{}", url.path().trim_end_matches('/')), origin })
    }

    /// The path of the base, without a trailing slash.
    pub fn base_path(&self) -> &str {
        self.base.strip_prefix(&self.origin).unwrap_or_default()
    }

    /// The URL of a target below the base.
    pub fn at(&self, target: &Target) -> String {
        format!("{}{}", self.base, target.0)
    }
}

impl Target {
    /// Accepts a path that starts with `/`, or an empty one for the base itself. `None` if it could lead out of the base, or
    /// would be sent in another form: signed requests rely on the exact form.
    pub fn new(path_and_query: String) -> Option<Self> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
        let is_kept = |b: u8| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\' | b'"' | b'<' | b'>');
        let is_valid = path.bytes().all(|b| is_kept(b) && !matches!(b, b'`' | b'{' | b'}' | b'^'))
            && query.bytes().all(|b| is_kept(b) && b != b'\'')
            && (path.is_empty() || path.starts_with('/'))
            && !has_dot_segment(path);
        (is_valid && path_and_query.len() <= MAX_TARGET_LENGTH).then_some(Self(path_and_query))
    }

    /// Whether the path begins with another path.
    pub fn is_below(&self, parent: &str) -> bool {
        self.0.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    }
}

/// Whether the parser left the path unchanged. An absent path is `/`.
fn is_unchanged(written: &str, path: &str) -> bool {
    let rest = written.split_once("://").map_or(written, |(_, rest)| rest);
    rest.find('/').is_none_or(|at| &rest[at..] == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The URL that reqwest sends for a path below a base.
    fn sent(base: &str, path: &str) -> Option<Url> {
        let target = Target::new(path.to_owned())?;
        Some(Url::parse(&Address::new(base).unwrap().at(&target)).unwrap())
    }

    const BASE: &str = "http://127.0.0.1:9/api/";

    #[test]
    fn a_path_is_appended_to_the_base_unchanged() {
        for path in ["/", "/a//b/", "/a/..b/%2F.b%2F?x=../y&z=%2e%2e", "/a?", "/%E4%BA%BA;v=1?q=a+b%20c"] {
            assert_eq!(sent(BASE, path).unwrap().as_str(), format!("http://127.0.0.1:9/api{path}"));
        }
        for path in ["", "?x=/../y"] {
            assert_eq!(sent(BASE, path).unwrap().as_str(), format!("http://127.0.0.1:9/api{path}"));
        }
        assert_eq!(sent("http://h", "//evil/x").unwrap().as_str(), "http://h//evil/x");
    }

    #[test]
    fn a_path_that_could_leave_the_base_is_rejected() {
        let long = format!("/{}", "x".repeat(MAX_TARGET_LENGTH));
        let paths = [
            "x",
            "@evil/",
            "/..",
            "/a/../b",
            "/./a",
            "/%2e%2E/a",
            "/.%2e",
            "/..;/x",
            "/.;x/..;/y",
            "/%2F..%2F",
            "/%252e./x",
            "/%u002e./x",
            "/%c0%ae%c0%ae/x",
            "/a\\..\\b",
            "/a b",
            "/.\t./a",
            "/a#b",
            "/a\"b",
            "/a{b}",
            "/人",
            "/a?it's",
            "/a?<b>",
            long.as_str(),
        ];
        for path in paths {
            assert!(sent(BASE, path).is_none(), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn no_path_leads_out_of_the_base(path in "/?([ -~\t]|[./%2e?;]|%2e|%2F|%5c|%c0%ae|%u002e|\\PC){0,12}") {
            if let Some(url) = sent(BASE, &path) {
                prop_assert_eq!(url.host_str(), Some("127.0.0.1"));
                prop_assert_eq!(url.as_str(), format!("http://127.0.0.1:9/api{path}"), "it is sent unchanged");
                prop_assert_eq!(url.port(), Some(9));
                prop_assert!(url.path() == "/api" || url.path().starts_with("/api/"), "{}", url);
            }
        }
    }

    #[test]
    fn errors_of_an_invalid_url_do_not_contain_it() {
        for url in [
            "",
            "hunter2",
            "ftp://hunter2/",
            "http://",
            "http://u:hunter2@h/",
            "http://hunter2@h/",
            "http://h/?hunter2",
            "http://h/#hunter2",
            "unix:/hunter2",
            "http://h/a b/hunter2",
            "http://h/a/../hunter2",
        ] {
            let error = Address::new(url).map(|a| a.base).unwrap_err();
            assert!(!error.en.contains("hunter2") && !error.zh.contains("hunter2"), "{url}: {error:?}");
        }
        let address = Address::new("HTTPS://Example.com:443/a/b//").unwrap();
        assert_eq!((&*address.origin, &*address.base), ("https://example.com", "https://example.com/a/b"));
    }
}
