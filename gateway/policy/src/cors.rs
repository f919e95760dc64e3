//! Which web pages may call a tenant, as browsers ask: by their origin.

use menlou_config::tenant;

/// The headers that a page may always send.
const ALWAYS: [&str; 3] = ["Authorization", "Content-Type", "X-Request-Id"];

/// The pages that may call a tenant.
pub struct Cors {
    exact: Vec<String>,
    /// Scheme, with `://`, and the end of the host, with its dot and with the port.
    below: Vec<(String, String)>,
    headers: String,
}

impl Cors {
    /// As the tenant's file says; `None` where no page may call.
    pub fn new(written: &tenant::Cors) -> Option<Self> {
        let (below, exact): (Vec<&String>, Vec<&String>) =
            written.origins.iter().partition(|origin| origin.contains("://*."));
        let split = |origin: &String| origin.split_once('*').map(|(scheme, host)| (scheme.to_owned(), host.to_owned()));
        let headers = ALWAYS.iter().copied().chain(written.headers.iter().map(String::as_str));
        (!written.origins.is_empty()).then(|| Self {
            exact: exact.into_iter().cloned().collect(),
            below: below.into_iter().filter_map(split).collect(),
            headers: headers.collect::<Vec<_>>().join(", "),
        })
    }

    /// Whether a page of this origin, as the browser wrote it, may call.
    pub fn allows(&self, origin: &str) -> bool {
        let below = |(scheme, host): &(String, String)| {
            let name = origin.strip_prefix(scheme.as_str()).and_then(|rest| rest.strip_suffix(host.as_str()));
            name.is_some_and(|name| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
            })
        };
        self.exact.iter().any(|known| known == origin) || self.below.iter().any(below)
    }

    /// The headers that a page may send, comma-separated.
    pub fn headers(&self) -> &str {
        &self.headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_allowed_as_a_whole_or_below_a_host() {
        let origins = ["https://h5.example.com", "https://*.example.org:8443", "http://localhost:5173"];
        let written = tenant::Cors { origins: origins.map(str::to_owned).into(), headers: vec!["X-App".into()] };
        let cors = Cors::new(&written).unwrap();
        for allowed in [
            "https://h5.example.com",
            "https://a.example.org:8443",
            "https://a.b-c.example.org:8443",
            "http://localhost:5173",
        ] {
            assert!(cors.allows(allowed), "{allowed}");
        }
        for other in [
            "http://h5.example.com",
            "https://h5.example.com:8443",
            "https://h5.example.com.evil.example",
            "https://xh5.example.com",
            "https://example.org:8443",
            "https://.example.org:8443",
            "https://evilexample.org:8443",
            "https://a.example.org",
            "http://a.example.org:8443",
            "https://evil.example/.example.org:8443",
            "https://evil.example?.example.org:8443",
            "https://evil@a.example.org:8443",
            "https://evil:1.example.org:8443",
            "null",
            "*",
            "",
        ] {
            assert!(!cors.allows(other), "{other}");
        }
        assert_eq!(cors.headers(), "Authorization, Content-Type, X-Request-Id, X-App");
        assert!(Cors::new(&tenant::Cors::default()).is_none());
    }
}
