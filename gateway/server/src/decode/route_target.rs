//! Tenant and action of a request: `/srv/?f=<tenant>&a=<action>&…`, or `/srv/<tenant>/<action>?…`.

use super::{
    form,
    params::{remove_empty, required},
};
use http::Uri;
use menlou_call::{Params, has_dot_segment};
use menlou_config::tenant::is_name;
use menlou_error::{Error, Result, codes};
use percent_encoding::percent_decode_str;

/// Parameters of the query that name tenant and action.
const ROUTE_PARAMS: [&str; 2] = ["f", "a"];

/// Tenant, action and the rest of a URL.
#[derive(Debug)]
pub struct RouteTarget<'a> {
    /// Name of the tenant (`f`).
    pub tenant: String,
    /// Name of the action (`a`).
    pub action: String,
    /// Raw rest of the path after the action, from its `/` on; without `.` and `..` segments.
    pub subpath: &'a str,
    query: &'a [u8],
    /// Parameters of the query that were used as the route.
    used: &'static [&'static str],
}

impl<'a> RouteTarget<'a> {
    /// Reads the URL.
    ///
    /// # Errors
    /// Another path than `/srv`, a missing name, a name that no tenant or action can have, a path that climbs.
    pub fn parse(uri: &'a Uri) -> Result<Self> {
        let not_found = || Error::new(&codes::NOT_FOUND);
        let path = uri.path().strip_prefix("/srv").ok_or_else(not_found)?;
        let query = uri.query().unwrap_or_default().as_bytes();
        let target = match path.strip_prefix('/').unwrap_or_default() {
            "" if matches!(path, "" | "/") => {
                let [tenant, action] = ROUTE_PARAMS.map(|name| form::find(query, name).and_then(|v| required(name, v)));
                Self { tenant: tenant?, action: action?, subpath: "", query, used: &ROUTE_PARAMS }
            }
            rest => {
                let (tenant, rest) = rest.split_once('/').ok_or_else(not_found)?;
                let (action, subpath) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                Self { tenant: tenant.to_owned(), action: action.to_owned(), subpath, query, used: &[] }
            }
        };
        // A text that is not a valid name is neither looked up nor logged.
        if !is_name(&target.tenant) {
            return Err(Error::new(&codes::UNKNOWN_TENANT));
        }
        if !is_name(&target.action) {
            return Err(Error::new(&codes::UNKNOWN_ACTION));
        }
        if climbs(target.subpath) {
            return Err(not_found());
        }
        Ok(target)
    }

    /// The parameters of the query, without those that were used as the route.
    ///
    /// # Errors
    /// A query that is malformed.
    pub fn params(&self) -> Result<Params> {
        let mut params = Params::new();
        form::read(self.query, &mut params, self.used)?;
        remove_empty(&mut params)?;
        Ok(params)
    }

    /// The raw query, without the parameters that were used as the route.
    pub fn query(&self) -> String {
        form::without(self.query, self.used)
    }
}

/// Whether some server takes a segment for `.` or `..`, or the path contains control characters, on which servers disagree.
fn climbs(subpath: &str) -> bool {
    percent_decode_str(subpath).any(|b| b.is_ascii_control()) || has_dot_segment(subpath)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(uri: &str) -> String {
        RouteTarget::parse(&uri.parse().unwrap()).map_or_else(|e| e.code().to_owned(), |a| format!("{a:?}"))
    }

    #[test]
    fn rest_of_path_and_query_are_kept_unchanged() {
        let uri = "/srv/shop/orders/2026%2F1/?id=1&id=2&f=x".parse().unwrap();
        let target = RouteTarget::parse(&uri).unwrap();
        assert_eq!((target.subpath, &*target.query()), ("/2026%2F1/", "id=1&id=2&f=x"));
        assert!(target.params().is_err());
        let uri = "/srv/?f=shop&id=1&a=orders&id=2".parse().unwrap();
        assert_eq!(RouteTarget::parse(&uri).unwrap().query(), "id=1&id=2");
    }

    #[test]
    fn path_that_climbs_above_its_action_is_refused() {
        for path in [
            "/..",
            "/./x",
            "/x/%2e%2E/y",
            "/..%2fx",
            "/x%5c..%5cy",
            "/%00",
            "/a%0d%0ab",
            "/x/..",
            "/..;/x",
            "/.;x/..;/y",
            "/..%3b/y",
            "/%252e%252e/x",
            "/%u002e%u002e/x",
            "/%c0%ae%c0%ae/x",
            "/..%c0%af",
            "/..%5Cx",
        ] {
            assert_eq!(code(&format!("/srv/shop/orders{path}")), "not_found", "{path}");
        }
        assert_ne!(code("/srv/shop/orders/...%20/..x"), "not_found");
    }
}
