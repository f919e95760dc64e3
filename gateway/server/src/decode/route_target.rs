//! Where a request goes: `/srv/?f=<tenant>&a=<action>&…`, or `/srv/<tenant>/<action>?…`.

use super::{form, given, present};
use http::Uri;
use menlou_call::Params;
use menlou_config::tenant::is_name;
use menlou_error::{Error, Result, codes};
use percent_encoding::percent_decode_str;

/// The names of the query that say where a request goes.
const PLACE: [&str; 2] = ["f", "a"];

/// Where a request goes.
#[derive(Debug)]
pub struct RouteTarget<'a> {
    /// The `f`.
    pub tenant: String,
    /// The `a`.
    pub action: String,
    /// What the path has after the action, from its `/` on, as it came; it goes nowhere above.
    pub subpath: &'a str,
    query: &'a [u8],
    /// What of the query said where the request goes.
    apart: &'static [&'static str],
}

impl<'a> RouteTarget<'a> {
    /// Reads the URL.
    pub fn of(uri: &'a Uri) -> Result<Self> {
        let not_found = || Error::new(&codes::NOT_FOUND);
        let path = uri.path().strip_prefix("/srv").ok_or_else(not_found)?;
        let query = uri.query().unwrap_or_default().as_bytes();
        let address = match path.strip_prefix('/').unwrap_or_default() {
            "" if matches!(path, "" | "/") => {
                let [tenant, action] = PLACE.map(|name| form::find(query, name).and_then(|v| given(name, v)));
                Self { tenant: tenant?, action: action?, subpath: "", query, apart: &PLACE }
            }
            rest => {
                let (tenant, rest) = rest.split_once('/').ok_or_else(not_found)?;
                let (action, subpath) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                Self { tenant: tenant.to_owned(), action: action.to_owned(), subpath, query, apart: &[] }
            }
        };
        // What is no name is nobody's: said so at once, and never looked up or logged.
        if !is_name(&address.tenant) {
            return Err(Error::new(&codes::UNKNOWN_TENANT));
        }
        if !is_name(&address.action) {
            return Err(Error::new(&codes::UNKNOWN_ACTION));
        }
        if climbs(address.subpath) {
            return Err(not_found());
        }
        Ok(address)
    }

    /// The parameters of the query.
    pub fn params(&self) -> Result<Params> {
        let mut params = Params::new();
        form::read(self.query, &mut params, self.apart)?;
        present(&mut params)?;
        Ok(params)
    }

    /// The query as it came, without what said where the request goes.
    pub fn query(&self) -> String {
        form::without(self.query, self.apart)
    }
}

/// Whether a segment, however it is written, is `.` or `..`, or something in the path that servers don't agree on.
fn climbs(subpath: &str) -> bool {
    let decoded: Vec<u8> = percent_decode_str(subpath).collect();
    decoded.iter().any(|b| b.is_ascii_control())
        || decoded.split(|b| matches!(b, b'/' | b'\\')).any(|segment| matches!(segment, b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(uri: &str) -> String {
        RouteTarget::of(&uri.parse().unwrap()).map_or_else(|e| e.code().to_owned(), |a| format!("{a:?}"))
    }

    #[test]
    fn what_follows_the_action_is_kept_as_it_came() {
        let uri = "/srv/shop/orders/2026%2F1/?id=1&id=2&f=x".parse().unwrap();
        let address = RouteTarget::of(&uri).unwrap();
        assert_eq!((address.subpath, &*address.query()), ("/2026%2F1/", "id=1&id=2&f=x"));
        assert!(address.params().is_err());
        let uri = "/srv/?f=shop&id=1&a=orders&id=2".parse().unwrap();
        assert_eq!(RouteTarget::of(&uri).unwrap().query(), "id=1&id=2");
    }

    #[test]
    fn a_path_never_goes_above_its_action() {
        for path in ["/..", "/./x", "/x/%2e%2E/y", "/..%2fx", "/x%5c..%5cy", "/%00", "/a%0d%0ab", "/x/.."] {
            assert_eq!(word(&format!("/srv/shop/orders{path}")), "not_found", "{path}");
        }
        assert_ne!(word("/srv/shop/orders/...%20/..x"), "not_found");
    }
}
