//! A Redis Cluster of three primaries with a replica each.

use crate::{
    process::{PATIENCE, free_port},
    redis::Redis,
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Where each primary's slots begin and end.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

/// Six servers, which replace a primary within about three seconds of its death.
#[derive(Debug)]
pub struct Cluster {
    /// The servers: first the three that are primaries at first, then the replica of each.
    pub servers: Vec<Redis>,
}

impl Cluster {
    /// Starts all and waits until each knows who has which slots.
    ///
    /// # Panics
    /// When they do not come up.
    pub fn start() -> Self {
        let busses: Vec<String> = (0..2 * SLOTS.len()).map(|_| free_port().to_string()).collect();
        let launch = |bus: &String| {
            Redis::with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                bus,
                "--cluster-node-timeout",
                "1000",
                "--cluster-require-full-coverage",
                "no",
            ])
        };
        let this = Self { servers: busses.iter().map(launch).collect() };
        for (server, (first, last)) in this.servers.iter().zip(SLOTS) {
            let answer = server.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            assert!(answer.starts_with("+OK"), "{answer}");
        }
        for (server, bus) in this.servers.iter().zip(&busses).skip(1) {
            let answer = this.servers[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &server.port().to_string(), bus]);
            assert!(answer.starts_with("+OK"), "{answer}");
        }
        let all = |holds: &dyn Fn(&Redis) -> bool| this.servers.iter().all(holds);
        until("each knows all", || all(&|s| s.ask(&["CLUSTER", "INFO"]).contains("cluster_known_nodes:6")));
        for (primary, replica) in this.servers.iter().zip(&this.servers[SLOTS.len()..]) {
            let id = primary.ask(&["CLUSTER", "MYID"]);
            let id = id.lines().nth(1).unwrap_or_default().trim().to_owned();
            until("a replica has its primary", || replica.ask(&["CLUSTER", "REPLICATE", &id]).starts_with("+OK"));
        }
        until("the cluster is whole", || {
            all(&|s| {
                let nodes = s.ask(&["CLUSTER", "NODES"]);
                s.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                    && nodes.matches(" slave ").count() + nodes.matches(",slave ").count() == SLOTS.len()
            }) && this.servers[SLOTS.len()..]
                .iter()
                .all(|s| s.ask(&["INFO", "replication"]).contains("master_link_status:up"))
        });
        this
    }

    /// `redis+cluster://…`, naming two of the primaries.
    pub fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.servers[0].port(), self.servers[1].port())
    }

    /// Which server is the primary of a key, as the server `asked` sees it.
    pub fn primary_of(&self, key: &str, asked: usize) -> Option<usize> {
        let slot = self.servers[asked].ask(&["CLUSTER", "KEYSLOT", key]);
        let slot: u16 = slot.lines().next()?.trim().trim_start_matches(':').parse().ok()?;
        let nodes = self.servers[asked].ask(&["CLUSTER", "NODES"]);
        let has_slot = |line: &&str| {
            line.split(' ').skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let bounds = first.trim().parse().ok().zip(last.trim().parse().ok());
                bounds.is_some_and(|(first, last): (u16, u16)| (first..=last).contains(&slot))
            })
        };
        let line = nodes.lines().filter(|line| line.contains("master") && !line.contains("fail")).find(has_slot)?;
        self.servers.iter().position(|server| line.contains(&format!("127.0.0.1:{}@", server.port())))
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "the cluster: {what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(30));
    }
}
