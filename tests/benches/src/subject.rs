//! The subjects of the measurements: a server, and the requests that it receives.

use crate::{
    Result,
    environment::{Environment, Variant},
    load::{Load, Until},
    nginx,
    server::{Server, Wrapper},
    wire,
};

/// Number of people with a session, whose requests alternate.
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
    /// Each connection repeats its request.
    Repeated(Vec<Vec<u8>>),
    /// Each request has a new login code, of another person than the request before.
    Codes,
}

impl Case {
    /// All cases; the baseline is the first.
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

    /// Whether the other cases are compared with this one.
    pub fn is_baseline(self) -> bool {
        self == Self::Bare
    }

    /// The name in reports.
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

    /// Whether the server is installed.
    pub fn is_available(self) -> bool {
        self != Self::Nginx || nginx::is_installed()
    }

    /// Target: maximum CPU time, as a multiple of bare hyper's.
    pub fn target(self) -> Option<f64> {
        match self {
            Self::Empty => Some(1.5),
            Self::User | Self::UserRedis => Some(2.0),
            _ => None,
        }
    }

    /// Starts the server, run by a tool if given, and prepares its requests.
    pub fn start<'a>(
        self,
        environment: &'a Environment,
        connections: usize,
        wrapper: Wrapper<'_>,
    ) -> Result<Subject<'a>> {
        let folder = match wrapper {
            [] => format!("{self:?}"),
            _ => format!("{self:?}-{}", menlou_harness::process::free_port()),
        };
        let gateway = |variant| environment.gateway(&folder, variant, wrapper);
        let empty = || Requests::Repeated(vec![wire::request("empty", None, None)]);
        let (server, requests) = match self {
            Self::Bare => (environment.bare(wrapper)?, empty()),
            Self::Empty => (gateway(Variant::default())?, empty()),
            Self::EmptyLogged => (gateway(Variant { access_log: true, ..Variant::default() })?, empty()),
            Self::User | Self::UserRedis => {
                let server = gateway(Variant { redis: self == Self::UserRedis, ..Variant::default() })?;
                let log_in = |person| wire::logged_in(&environment.simulator, server.address, "bench", person);
                let requests = (0..PEOPLE).map(log_in);
                let requests = Requests::Repeated(requests.collect::<Result<_>>()?);
                (server, requests)
            }
            Self::Openid => (gateway(Variant::default())?, Requests::Codes),
            Self::Proxy => (gateway(Variant::default())?, Requests::Repeated(vec![wire::request("proxy", None, None)])),
            Self::Nginx => (nginx::start(environment, &folder, wrapper)?, empty()),
        };
        let load = Load::open(server.address, connections)?;
        Ok(Subject { server, environment, load, requests })
    }
}

impl Subject<'_> {
    /// The repeated requests; none where every request differs.
    pub fn repeated(&self) -> &[Vec<u8>] {
        match &self.requests {
            Requests::Repeated(requests) => requests,
            Requests::Codes => &[],
        }
    }

    /// Closes the connections, and ends the server by SIGTERM.
    pub fn end(self) {
        drop(self.load);
        self.server.terminate();
    }

    /// Prepares up to `max` requests, runs `before`, then sends. Returns the result of `before` and the number of responses.
    pub fn drive<T>(&mut self, until: Until, max: u64, before: impl FnOnce(&Server) -> Result<T>) -> Result<(T, u64)> {
        match &self.requests {
            Requests::Repeated(requests) => {
                let at_start = before(&self.server)?;
                let answered = self.load.drive(until, |connection, request| {
                    request.extend_from_slice(&requests[connection % requests.len()]);
                    true
                })?;
                Ok((at_start, answered))
            }
            Requests::Codes => {
                let codes = (0..max).map(|n| self.environment.simulator.code(&format!("person-{}", n % 50_000)));
                let mut ready: Vec<Vec<u8>> =
                    codes.map(|code| wire::request("openid", None, Some(&format!("code={code}")))).collect();
                let at_start = before(&self.server)?;
                let answered = self.load.drive(until, |_, request| match ready.pop() {
                    Some(next) => {
                        *request = next;
                        true
                    }
                    None => false,
                })?;
                Ok((at_start, answered))
            }
        }
    }
}
