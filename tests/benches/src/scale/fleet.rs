//! A gateway's folder with many tenants, as they would be written by people and by programs.

use crate::{
    Result,
    environment::{Environment, Home, Variant},
    post,
    server::{SECRET_VARIABLE, Server, Under},
};
use menlou_simulator::{DEMO_APPID, DEMO_SECRET};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// How many people have a session, each in a tenant of their own where there are enough.
pub const PEOPLE: usize = 256;
/// How long a change may take until it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with tenants.
pub struct Fleet {
    pub home: Home,
    /// How many tenants it has.
    pub tenants: usize,
    platform: String,
    name: String,
}

impl Fleet {
    /// Writes the files of so many tenants.
    pub fn new(environment: &Environment, tenants: usize) -> Result<Self> {
        let name = format!("scale-{tenants}");
        let home = environment.home(&name, Variant::default())?;
        let fleet = Self { home, tenants, platform: environment.simulator.base_url().to_owned(), name };
        fs::write(fleet.home.folder.join("wechat-secret"), DEMO_SECRET)?;
        for number in 0..tenants {
            fs::write(fleet.home.tenant(&name_of(number)), fleet.file(number, ""))?;
        }
        Ok(fleet)
    }

    /// Starts the gateway, and waits until it serves; gives how long that took.
    pub fn start(&self, under: Under<'_>) -> Result<(Server, Duration)> {
        let start = Instant::now();
        let server = self.home.start(under)?;
        Ok((server, start.elapsed()))
    }

    /// A tenant's file. The secret stands in it, in the environment or in a file of its own; one in four has limits.
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

    /// Writes a tenant's file as editors do, beside it and then renamed, or takes it away; gives how long it took until a
    /// call to the action was answered by this word, or with success where there is none.
    pub fn change(&self, number: usize, file: Option<&str>, action: &str, until: Option<&str>) -> Result<Duration> {
        let path = self.home.tenant(&name_of(number));
        let start = Instant::now();
        match file {
            Some(file) => {
                let draft = path.with_extension("new");
                fs::write(&draft, file)?;
                fs::rename(draft, path)?;
            }
            None => fs::remove_file(path)?,
        }
        let request = post::request_to(&name_of(number), action, None, None);
        loop {
            let envelope = post::envelope(self.home.address, &request)?;
            if envelope["error"].as_str() == until {
                return Ok(start.elapsed());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("a change is not taken up: {envelope}").into());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The empty action, of every tenant in turn or of the first one only.
    pub fn empty(&self, all: bool) -> Vec<Vec<u8>> {
        let tenants = if all { self.tenants } else { 1 };
        (0..tenants).map(|number| post::request_to(&name_of(number), "empty", None, None)).collect()
    }

    /// Logs people in, in different tenants as far as there are enough or all in the first one, and gives how each asks for
    /// their account.
    pub fn user(&self, environment: &Environment, all: bool) -> Result<Vec<Vec<u8>>> {
        let tenants = if all { self.tenants } else { 1 };
        // Neighbours in the list are far from each other in memory.
        let of = |person: usize| name_of(person * tenants / PEOPLE);
        let who = |person| if all { PEOPLE + person } else { person };
        let one = |person| post::logged_in(&environment.simulator, self.home.address, &of(person), who(person));
        (0..PEOPLE).map(one).collect()
    }
}

/// The name of a tenant; the first has the one that the benches' other gateways have.
pub fn name_of(number: usize) -> String {
    match number {
        0 => "bench".to_owned(),
        _ => format!("tenant-{number:06}"),
    }
}
