//! CORS: which web pages may send requests to a tenant, decided by their origin.

use menlou_config::tenant;

/// Headers that a page may always send.
const DEFAULT_HEADERS: [&str; 3] = ["Authorization", "Content-Type", "X-Request-Id"];

/// The web pages that may send requests to a tenant.
pub struct Cors {
    exact: Vec<String>,
    /// Patterns `https://*.example.com:8443`: the scheme with `://`, and the host's suffix with its leading dot and port.
    wildcards: Vec<(String, String)>,
    headers: String,
}

impl Cors {
    /// Built from the settings of a tenant file; `None` if no origin is allowed.
    pub fn new(settings: &tenant::Cors) -> Option<Self> {
        let (wildcards, exact): (Vec<&String>, Vec<&String>) =
            settings.origins.iter().partition(|origin| origin.contains("://*."));
        let split = |origin: &String| origin.split_once('*').map(|(scheme, host)| (scheme.to_owned(), host.to_owned()));
        let headers = DEFAULT_HEADERS.iter().copied().chain(settings.headers.iter().map(String::as_str));
        (!settings.origins.is_empty()).then(|| Self {
            exact: exact.into_iter().cloned().collect(),
            wildcards: wildcards.into_iter().filter_map(split).collect(),
            headers: headers.collect::<Vec<_>>().join(", "),
        })
    }

    /// Whether pages of this origin are allowed. `origin` is the value of the `Origin` header.
    pub fn allows(&self, origin: &str) -> bool {
        let matches = |(scheme, suffix): &(String, String)| {
            let name = origin.strip_prefix(scheme.as_str()).and_then(|rest| rest.strip_suffix(suffix.as_str()));
            name.is_some_and(|name| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
            })
        };
        self.exact.iter().any(|allowed| allowed == origin) || self.wildcards.iter().any(matches)
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
    fn origins_match_exactly_or_by_a_subdomain_wildcard() {
        let origins = ["https://h5.example.com", "https://*.example.org:8443", "http://localhost:5173"];
        let settings = tenant::Cors { origins: origins.map(str::to_owned).into(), headers: vec!["X-App".into()] };
        let cors = Cors::new(&settings).unwrap();
        for allowed in [
            "https://h5.example.com",
            "https://a.example.org:8443",
            "https://a.b-c.example.org:8443",
            "http://localhost:5173",
        ] {
            assert!(cors.allows(allowed), "{allowed}");
        }
        for rejected in [
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
            assert!(!cors.allows(rejected), "{rejected}");
        }
        assert_eq!(cors.headers(), "Authorization, Content-Type, X-Request-Id, X-App");
        assert!(Cors::new(&tenant::Cors::default()).is_none());
    }
}
