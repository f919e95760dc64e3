//! A gateway's folder with many tenants, whose files resemble those of real ones.

use crate::{
    Result,
    environment::{Environment, Home, Variant},
    server::{SECRET_VARIABLE, Server, Wrapper},
    wire,
};
use menlou_simulator::{DEMO_APPID, DEMO_SECRET};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// Number of people with a session.
pub const PEOPLE: usize = 256;
/// Maximum time until a change is served.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// A folder with tenants.
pub struct Fleet {
    pub home: Home,
    /// Number of tenants.
    pub tenants: usize,
    platform: String,
    name: String,
}

impl Fleet {
    /// Writes the files of this number of tenants.
    pub fn new(environment: &Environment, tenants: usize) -> Result<Self> {
        let name = format!("scale-{tenants}");
        let home = environment.home(&name, Variant::default())?;
        let fleet = Self { home, tenants, platform: environment.simulator.base_url().to_owned(), name };
        fs::write(fleet.home.folder.join("wechat-secret"), DEMO_SECRET)?;
        for number in 0..tenants {
            fs::write(fleet.home.tenant(&tenant_name(number)), fleet.file(number, ""))?;
        }
        Ok(fleet)
    }

    /// Starts the gateway and waits for its first success. Returns the time that this took.
    pub fn start(&self, wrapper: Wrapper<'_>) -> Result<(Server, Duration)> {
        let start = Instant::now();
        let server = self.home.start(wrapper)?;
        Ok((server, start.elapsed()))
    }

    /// The file of a tenant, with `more` at its end. The secret is in the file, in the environment or in a separate file; one
    /// tenant in four has limits.
    pub fn file(&self, number: usize, more: &str) -> String {
        let secret = match number % 3 {
            0 => DEMO_SECRET.to_owned(),
            1 => format!("env:{SECRET_VARIABLE}"),
            _ => "file:../wechat-secret".to_owned(),
        };
        let limits = match number % 4 {
            3 => "\n[limits]\nmax_concurrent = 500\n\n[actions.login.limits]\nper_address = \"1000/s burst 5000\"\n",
            _ => "",
        };
        format!(
            "# Tenant {number} of {}.\nname = \"Tenant {number}\"\n\n[wechat]\nappid = \"{DEMO_APPID}\"\nsecret = \"{secret}\"\n\
             base_url = \"{}\"\n\n[session]\nttl = \"7d\"\n\n[actions.empty]\n\n[actions.openid]\n\n[actions.login]\n\
             methods = [\"profile\", \"password\"]\n\n[actions.user]\n{limits}{more}",
            self.name, self.platform
        )
    }

    /// Writes a tenant's file as editors do, to a temporary file that is then renamed, or removes it. Returns the time until a
    /// request to the action is answered with this error code, or with success for `None`.
    pub fn change(&self, number: usize, file: Option<&str>, action: &str, expected: Option<&str>) -> Result<Duration> {
        let path = self.home.tenant(&tenant_name(number));
        let start = Instant::now();
        match file {
            Some(file) => {
                let draft = path.with_extension("new");
                fs::write(&draft, file)?;
                fs::rename(draft, path)?;
            }
            None => fs::remove_file(path)?,
        }
        let request = wire::request_to(&tenant_name(number), action, None, None);
        loop {
            let envelope = wire::envelope(self.home.address, &request)?;
            if envelope["error"].as_str() == expected {
                return Ok(start.elapsed());
            }
            if start.elapsed() > CHANGE_TIMEOUT {
                return Err(format!("a change is not served in time: {envelope}").into());
            }
            // The interval of the polls.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Requests to the empty action, of every tenant or of the first one only.
    pub fn empty_requests(&self, all: bool) -> Vec<Vec<u8>> {
        let tenants = if all { self.tenants } else { 1 };
        (0..tenants).map(|number| wire::request_to(&tenant_name(number), "empty", None, None)).collect()
    }

    /// Logs people in, spread over all tenants or all in the first one. Returns the request of each to `a=user`.
    pub fn user_requests(&self, environment: &Environment, all: bool) -> Result<Vec<Vec<u8>>> {
        let tenants = if all { self.tenants } else { 1 };
        // Spread over the list, so that the tenants are far from each other in memory.
        let tenant = |person: usize| tenant_name(person * tenants / PEOPLE);
        // Other people than those of the first tenant.
        let number = |person| if all { PEOPLE + person } else { person };
        let log_in =
            |person| wire::logged_in(&environment.simulator, self.home.address, &tenant(person), number(person));
        (0..PEOPLE).map(log_in).collect()
    }
}

/// The name of a tenant; the first is `bench`, as in the other gateways of the benchmarks.
pub fn tenant_name(number: usize) -> String {
    match number {
        0 => "bench".to_owned(),
        _ => format!("tenant-{number:06}"),
    }
}
