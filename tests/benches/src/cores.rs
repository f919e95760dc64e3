//! Separate cores for the servers and for the load, so that neither takes CPU time from the other.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Two cores; both are the same where this process may use only one.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    server: usize,
    load: usize,
    /// Number of cores that this process may use.
    pub count: usize,
}

impl Cores {
    /// Picks the first usable core for the load and the last for the servers. Moves this thread to the load's core.
    pub fn split() -> std::io::Result<Self> {
        let affinity = sched_getaffinity(None)?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| affinity.is_set(*core)).collect();
        let (load, server) = (allowed.first().copied().unwrap_or(0), allowed.last().copied().unwrap_or(0));
        move_to(load)?;
        Ok(Self { server, load, count: allowed.len() })
    }

    /// Runs `start` on the servers' core. A process that `start` spawns inherits the affinity, and sees one core.
    pub fn on_server<T>(self, start: impl FnOnce() -> T) -> std::io::Result<T> {
        move_to(self.server)?;
        let started = start();
        move_to(self.load)?;
        Ok(started)
    }
}

fn move_to(core: usize) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}
