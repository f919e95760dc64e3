//! Which core the servers run on and which one the load, so that neither takes the other's time.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Two cores; the same one where the machine gives us no second.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    server: usize,
    load: usize,
    /// How many we may use.
    pub count: usize,
}

impl Cores {
    /// Picks the last and the first of those that we may use, and goes to the load's.
    pub fn split() -> std::io::Result<Self> {
        let ours = sched_getaffinity(None)?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| ours.is_set(*core)).collect();
        let (load, server) = (allowed.first().copied().unwrap_or(0), allowed.last().copied().unwrap_or(0));
        go_to(load)?;
        Ok(Self { server, load, count: allowed.len() })
    }

    /// Runs `start` on the servers' core: a process that it starts stays there, and takes it for the whole machine.
    pub fn on_server<T>(self, start: impl FnOnce() -> T) -> std::io::Result<T> {
        go_to(self.server)?;
        let started = start();
        go_to(self.load)?;
        Ok(started)
    }
}

fn go_to(core: usize) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}
