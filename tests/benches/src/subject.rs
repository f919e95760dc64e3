//! What is measured: a server, and the requests that it is asked.

use crate::{
    Result,
    environment::{Environment, Variant},
    load::{Load, Until},
    nginx, post,
    server::{Server, Under},
};

/// How many people have a session, and take turns.
const PEOPLE: usize = 64;

/// One row of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    Bare,
    Empty,
    EmptyLogged,
    User,
    UserRedis,
    Openid,
    Proxy,
    Nginx,
}

/// A server with its load.
pub struct Subject<'a> {
    /// The server.
    pub server: Server,
    environment: &'a Environment,
    load: Load,
    requests: Requests,
}

enum Requests {
    /// Each connection asks its own over and over.
    Same(Vec<Vec<u8>>),
    /// Each asks for a person with a fresh code; counted, so that no person comes twice in a row.
    Codes,
}

impl Case {
    /// All, bare hyper first.
    pub const ALL: [Self; 8] = [
        Self::Bare,
        Self::Empty,
        Self::EmptyLogged,
        Self::User,
        Self::UserRedis,
        Self::Openid,
        Self::Proxy,
        Self::Nginx,
    ];

    /// Whether the others are held against it.
    pub fn is_base(self) -> bool {
        self == Self::Bare
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare hyper",
            Self::Empty => "empty action",
            Self::EmptyLogged => "empty action, access log to a file",
            Self::User => "a=user, embedded store",
            Self::UserRedis => "a=user, sessions in Redis",
            Self::Openid => "a=openid, embedded store",
            Self::Proxy => "proxy action, signed",
            Self::Nginx => "nginx proxy_pass",
        }
    }

    /// Whether its server can be had here.
    pub fn is_there(self) -> bool {
        self != Self::Nginx || nginx::is_there()
    }

    /// The most that it may take of bare hyper's processor time.
    pub fn bar(self) -> Option<f64> {
        match self {
            Self::Empty => Some(1.5),
            Self::User | Self::UserRedis => Some(2.0),
            _ => None,
        }
    }

    /// Starts its server, under a tool where given, and makes ready what it is asked.
    pub fn start<'a>(self, environment: &'a Environment, connections: usize, under: Under<'_>) -> Result<Subject<'a>> {
        let folder = match under {
            [] => format!("{self:?}"),
            _ => format!("{self:?}-{}", menlou_harness::process::free_port()),
        };
        let gateway = |variant| environment.gateway(&folder, variant, under);
        let plain = || Requests::Same(vec![post::request("empty", None, None)]);
        let (server, requests) = match self {
            Self::Bare => (environment.bare(under)?, plain()),
            Self::Empty => (gateway(Variant::default())?, plain()),
            Self::EmptyLogged => (gateway(Variant { access_log: true, ..Variant::default() })?, plain()),
            Self::User | Self::UserRedis => {
                let server = gateway(Variant { redis: self == Self::UserRedis, ..Variant::default() })?;
                let one = |person| post::logged_in(&environment.simulator, server.address, "bench", person);
                let requests = (0..PEOPLE).map(one);
                let requests = Requests::Same(requests.collect::<Result<_>>()?);
                (server, requests)
            }
            Self::Openid => (gateway(Variant::default())?, Requests::Codes),
            Self::Proxy => (gateway(Variant::default())?, Requests::Same(vec![post::request("proxy", None, None)])),
            Self::Nginx => (nginx::start(environment, &folder, under)?, plain()),
        };
        let load = Load::open(server.address, connections)?;
        Ok(Subject { server, environment, load, requests })
    }
}

impl Subject<'_> {
    /// The requests that are asked over and over; none where each is another.
    pub fn same(&self) -> &[Vec<u8>] {
        match &self.requests {
            Requests::Same(requests) => requests,
            Requests::Codes => &[],
        }
    }

    /// Hangs up and lets the server end by itself.
    pub fn end(self) {
        drop(self.load);
        self.server.terminate();
    }

    /// Makes `most` requests ready, gives what `before` says, then asks. Gives also how many answers came.
    pub fn drive<T>(&mut self, until: Until, most: u64, before: impl FnOnce(&Server) -> Result<T>) -> Result<(T, u64)> {
        match &self.requests {
            Requests::Same(requests) => {
                let was = before(&self.server)?;
                let answered = self.load.drive(until, |connection, request| {
                    request.extend_from_slice(&requests[connection % requests.len()]);
                    true
                })?;
                Ok((was, answered))
            }
            Requests::Codes => {
                let codes = (0..most).map(|n| self.environment.simulator.code(&format!("person-{}", n % 50_000)));
                let mut ready: Vec<Vec<u8>> =
                    codes.map(|code| post::request("openid", None, Some(&format!("code={code}")))).collect();
                let was = before(&self.server)?;
                let answered = self.load.drive(until, |_, request| match ready.pop() {
                    Some(next) => {
                        *request = next;
                        true
                    }
                    None => false,
                })?;
                Ok((was, answered))
            }
        }
    }
}
