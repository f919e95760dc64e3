//! A Redis Cluster of three primaries with a replica each.

use crate::{
    process::{START_TIMEOUT, free_port},
    redis::Redis,
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// First and last slot of each primary.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

/// Six servers. A killed primary is replaced within about three seconds.
#[derive(Debug)]
pub struct Cluster {
    /// The servers: three initial primaries, then the replica of each.
    pub servers: Vec<Redis>,
}

impl Cluster {
    /// Starts the servers, and waits until each knows the owner of each slot.
    ///
    /// # Panics
    /// Where the cluster does not form.
    pub fn start() -> Self {
        let bus_ports: Vec<String> = (0..2 * SLOTS.len()).map(|_| free_port().to_string()).collect();
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
        let this = Self { servers: bus_ports.iter().map(launch).collect() };
        for (server, (first, last)) in this.servers.iter().zip(SLOTS) {
            let response = server.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            assert!(response.starts_with("+OK"), "{response}");
        }
        for (server, bus) in this.servers.iter().zip(&bus_ports).skip(1) {
            let response = this.servers[0].command(&["CLUSTER", "MEET", "127.0.0.1", &server.port().to_string(), bus]);
            assert!(response.starts_with("+OK"), "{response}");
        }
        let all = |condition: &dyn Fn(&Redis) -> bool| this.servers.iter().all(condition);
        wait_for("each server knows all others", || {
            all(&|s| s.command(&["CLUSTER", "INFO"]).contains("cluster_known_nodes:6"))
        });
        for (primary, replica) in this.servers.iter().zip(&this.servers[SLOTS.len()..]) {
            let id = primary.command(&["CLUSTER", "MYID"]);
            let id = id.lines().nth(1).unwrap_or_default().trim().to_owned();
            wait_for("a replica has its primary", || {
                replica.command(&["CLUSTER", "REPLICATE", &id]).starts_with("+OK")
            });
        }
        wait_for("the cluster covers all slots", || {
            all(&|s| {
                let nodes = s.command(&["CLUSTER", "NODES"]);
                s.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                    && nodes.matches(" slave ").count() + nodes.matches(",slave ").count() == SLOTS.len()
            }) && this.servers[SLOTS.len()..]
                .iter()
                .all(|s| s.command(&["INFO", "replication"]).contains("master_link_status:up"))
        });
        this
    }

    /// `redis+cluster://…`, naming two of the primaries.
    pub fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.servers[0].port(), self.servers[1].port())
    }

    /// Index of the primary of a key, as the server `asked` sees it.
    pub fn primary_of(&self, key: &str, asked: usize) -> Option<usize> {
        let slot = self.servers[asked].command(&["CLUSTER", "KEYSLOT", key]);
        let slot: u16 = slot.lines().next()?.trim().trim_start_matches(':').parse().ok()?;
        let nodes = self.servers[asked].command(&["CLUSTER", "NODES"]);
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

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < START_TIMEOUT, "the cluster: {what}: not within {START_TIMEOUT:?}");
        // The interval of the polls.
        thread::sleep(Duration::from_millis(30));
    }
}
