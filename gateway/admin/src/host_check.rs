//! Which hosts the admin side serves. A web page whose owner lets its name point at the gateway (DNS rebinding) is of the same
//! origin as the admin side for a browser, and could read it. Only the `Host` of its requests tells.

use super::api::{ResponseContext, error_response};
use axum::{
    extract::{Request, State},
    http::{header::HOST, uri::Authority},
    middleware::Next,
    response::Response,
};
use menlou_config::hosts::HostPattern;
use menlou_error::text::Text;
use menlou_error::{Error, admin_codes};
use std::{net::IpAddr, sync::Arc};

/// Maximum length of a host in an error message, in characters.
const MAX_SHOWN: usize = 64;

/// The hosts that the admin side serves.
pub struct AllowedHosts {
    /// The address that the listener is bound to.
    listen: IpAddr,
    /// The hosts that the operator has set.
    hosts: Vec<HostPattern>,
}

impl AllowedHosts {
    /// The names and addresses of the loopback interface, the address of the listener, and these hosts. A listener on all
    /// addresses serves every address: a page under an address is served by that address, and cannot be rebound.
    pub fn new(listen: IpAddr, hosts: Vec<HostPattern>) -> Self {
        Self { listen: listen.to_canonical(), hosts }
    }

    fn allows(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        let is_own = match bare.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) => address.is_loopback() || address == self.listen || self.listen.is_unspecified(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        };
        is_own || self.hosts.iter().any(|pattern| pattern.matches(&host))
    }
}

/// Answers requests for other hosts with 421. A request without a host is served: browsers always send one.
pub async fn check(State(hosts): State<Arc<AllowedHosts>>, request: Request, next: Next) -> Response {
    let header = request.headers().get(HOST).map(|header| String::from_utf8_lossy(header.as_bytes()).into_owned());
    let host_of = |header: String| header.parse::<Authority>().map_or(header, |authority| authority.host().to_owned());
    let host = request.uri().host().map(str::to_owned);
    let host = host.or_else(|| header.filter(|header| !header.is_empty()).map(host_of));
    let Some(refused) = host.filter(|host| !hosts.allows(host)) else { return next.run(request).await };
    let shown: String = refused.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect();
    let text = Text::new(
        format!("管理端不接受主机 {shown}：请用网关监听的地址访问，或把该主机加入 [admin] allowed_hosts"),
        format!(
            "The admin side does not serve the host {shown}: use the gateway's own address, or add the host to [admin] allowed_hosts."
        ),
    );
    let context = ResponseContext::for_request(&request);
    error_response(Error::new(&admin_codes::WRONG_HOST).with_message(text), &context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str, hosts: &[&str]) -> AllowedHosts {
        AllowedHosts::new(listen.parse().unwrap(), hosts.iter().map(|host| host.parse().unwrap()).collect())
    }

    #[test]
    fn loopback_the_listener_and_the_setting_are_allowed_and_nothing_else() {
        let set = hosts("192.0.2.7", &["admin.example.com", "*.internal", "10.0.0.0/8"]);
        for allowed in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "menlou.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "192.0.2.7",
            "[::ffff:192.0.2.7]",
            "admin.example.com",
            "Admin.Example.com",
            "a.internal",
            "10.1.2.3",
        ] {
            assert!(set.allows(allowed), "{allowed}");
        }
        for refused in [
            "",
            "evil.example",
            "admin.example.com.evil.example",
            "internal",
            "192.0.2.8",
            "0.0.0.0",
            "127.1",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil-localhost",
            "[::2]",
            "2130706433",
        ] {
            assert!(!set.allows(refused), "{refused}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_serves_every_address_and_no_name() {
        for listen in ["0.0.0.0", "::"] {
            let set = hosts(listen, &[]);
            assert!(set.allows("10.1.2.3") && set.allows("[2001:db8::1]") && set.allows("localhost"));
            assert!(!set.allows("menlou") && !set.allows("evil.example"));
        }
    }
}
