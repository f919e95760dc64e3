//! Addresses in response headers: `Location`, `Content-Location` and `Refresh` name the public path instead of the server's
//! address.

use super::address::Address;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_LOCATION, LOCATION, REFRESH},
};
use menlou_platform::http::Url;

/// How paths of the servers map to paths of the traffic port.
pub(super) struct PublicPath<'a> {
    /// URL of the request, against which relative references are resolved.
    pub request_url: &'a str,
    /// Path of the action on the traffic port, `/srv/tenant/action`.
    pub action: &'a str,
    /// Whether the path of the request was sent with that of the action.
    pub is_kept: bool,
}

/// Rewrites the headers of a response of one of `servers`.
pub(super) fn rewrite<'a>(
    headers: &mut HeaderMap,
    public: &PublicPath<'_>,
    servers: impl Iterator<Item = &'a Address> + Clone,
) {
    let rewrite_one = |written: &str| public.rewritten(written, servers.clone());
    for name in [LOCATION, CONTENT_LOCATION] {
        replace(headers, &name, rewrite_one);
    }
    replace(headers, &REFRESH, |written| {
        let lower = written.to_ascii_lowercase();
        let at = lower.find("url=")? + 4;
        let (start, url) = written.split_at(at);
        Some(format!("{start}{}", rewrite_one(url.trim().trim_matches(['"', '\'']))?))
    });
}

fn replace(headers: &mut HeaderMap, name: &HeaderName, rewritten: impl Fn(&str) -> Option<String>) {
    for value in headers.get_all(name).iter().map(|value| value.to_str().ok().and_then(&rewritten)).collect::<Vec<_>>()
    {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
}

impl PublicPath<'_> {
    /// The reference for the client. `None` if it stays as it is: it leads to another host, or is a path that no request
    /// through the gateway reaches.
    fn rewritten<'a>(&self, written: &str, mut servers: impl Iterator<Item = &'a Address>) -> Option<String> {
        let url = Url::parse(self.request_url).ok()?.join(written).ok()?;
        // A service may sit behind a TLS proxy of its own, so the scheme does not matter.
        let is_of = |address: &Address| {
            Url::parse(&address.base).is_ok_and(|base| {
                base.host() == url.host()
                    && (base.port_or_known_default() == url.port_or_known_default() || base.port() == url.port())
            })
        };
        let base = servers.find(|server| is_of(server))?.base_path();
        let path = self.public_path(url.path(), base);
        if path.is_none() && !written.contains("//") && !written.contains('\\') {
            return None;
        }
        let mut public = path.unwrap_or_else(|| url.path().to_owned());
        if public.starts_with("//") {
            // Two slashes would begin a host.
            public.insert_str(0, "/.");
        }
        for (mark, part) in [('?', url.query()), ('#', url.fragment())] {
            if let Some(part) = part {
                public.push(mark);
                public.push_str(part);
            }
        }
        Some(public)
    }

    /// `None` if no request through the gateway reaches this path of a server.
    fn public_path(&self, path: &str, base: &str) -> Option<String> {
        // The service knows the public path, from X-Forwarded-Prefix.
        if below(path, self.action).is_some() && !self.is_kept {
            return Some(path.to_owned());
        }
        let rest = below(path, base)?;
        match self.is_kept {
            true => below(rest, self.action).map(|_| rest.to_owned()),
            false => Some(format!("{}{rest}", self.action)),
        }
    }
}

/// The rest of a path below another.
fn below<'a>(path: &'a str, parent: &str) -> Option<&'a str> {
    path.strip_prefix(parent).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(request_url: &str, is_kept: bool, written: &str) -> String {
        let servers = ["http://10.0.0.5:8080/api", "http://shop.internal/api"].map(|url| Address::new(url).unwrap());
        let public = PublicPath { request_url, action: "/srv/shop/page", is_kept };
        let mut headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_str(written).unwrap())]);
        rewrite(&mut headers, &public, servers.iter());
        headers[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn inner_addresses_become_public_paths() {
        for (written, expected) in [
            ("http://10.0.0.5:8080/api/login?next=%2Fx#top", "/srv/shop/page/login?next=%2Fx#top"),
            ("https://10.0.0.5:8080/api/login", "/srv/shop/page/login"),
            ("//10.0.0.5:8080/api/", "/srv/shop/page/"),
            ("http://shop.internal/api/x", "/srv/shop/page/x"),
            ("https://shop.internal/api/x", "/srv/shop/page/x"),
            ("/api/login", "/srv/shop/page/login"),
            ("/api", "/srv/shop/page"),
            ("next?x=1", "/srv/shop/page/a/next?x=1"),
            ("?x=1", "/srv/shop/page/a/b?x=1"),
            ("../x", "/srv/shop/page/x"),
            // The service knows the public path.
            ("/srv/shop/page/login", "/srv/shop/page/login"),
            ("http://10.0.0.5:8080/srv/shop/page/login", "/srv/shop/page/login"),
            // Not below the base: the address does not appear, but the path stays.
            ("http://10.0.0.5:8080/admin", "/admin"),
            ("http://10.0.0.5:8080//evil.example/", "/.//evil.example/"),
            ("/apiary", "/apiary"),
            // Of others.
            ("https://example.com/api/x", "https://example.com/api/x"),
            ("https://public.example/srv/shop/page/x", "https://public.example/srv/shop/page/x"),
            ("http://10.0.0.5:9090/api/x", "http://10.0.0.5:9090/api/x"),
            ("weixin://dl/business", "weixin://dl/business"),
            ("javascript:alert(1)", "javascript:alert(1)"),
        ] {
            assert_eq!(rewritten("http://10.0.0.5:8080/api/a/b?q", false, written), expected, "{written}");
        }
        let kept = "http://10.0.0.5:8080/api/srv/shop/page/a";
        for (written, expected) in [
            ("http://10.0.0.5:8080/api/srv/shop/page/x", "/srv/shop/page/x"),
            ("/api/srv/shop/page", "/srv/shop/page"),
            ("/api/other", "/api/other"),
            ("http://10.0.0.5:8080/api//evil.example", "/api//evil.example"),
        ] {
            assert_eq!(rewritten(kept, true, written), expected, "{written}");
        }
    }

    #[test]
    fn url_of_a_refresh_is_rewritten() {
        let servers = [Address::new("http://10.0.0.5:8080").unwrap()];
        let public = PublicPath { request_url: "http://10.0.0.5:8080/", action: "/srv/shop/page", is_kept: false };
        for (written, expected) in [
            ("5; url=http://10.0.0.5:8080/x", "5; url=/srv/shop/page/x"),
            ("0;URL='/x?y=1'", "0;URL=/srv/shop/page/x?y=1"),
            ("5", "5"),
            ("5; url=https://example.com/", "5; url=https://example.com/"),
        ] {
            let mut headers = HeaderMap::from_iter([(REFRESH, HeaderValue::from_static(written))]);
            rewrite(&mut headers, &public, servers.iter());
            assert_eq!(headers[REFRESH], expected, "{written}");
        }
    }
}
