//! Open connections per client address. For IPv6 they are counted per network, since one customer has many addresses.

use menlou_policy::client_network;
use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts the open connections of each address, up to a maximum.
#[derive(Clone)]
pub struct ConnectionsPerAddress {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

/// Counts one connection of an address until it is dropped.
pub struct AddressPermit {
    counts: ConnectionsPerAddress,
    address: IpAddr,
}

impl ConnectionsPerAddress {
    /// No address may have more than `max` connections.
    pub fn new(max: usize) -> Self {
        Self { open: Arc::default(), max }
    }

    /// Counts one more connection of this address. `None` if the address has the maximum number already.
    pub fn try_acquire(&self, address: IpAddr) -> Option<AddressPermit> {
        let address = client_network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(AddressPermit { counts: self.clone(), address })
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut open = self.counts.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_holds_for_each_ipv4_address_and_each_ipv6_network() {
        let addresses = ConnectionsPerAddress::new(2);
        let take = |text: &str| addresses.try_acquire(text.parse().unwrap());
        let (first, second) = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(first.is_some() && second.is_some() && take("2001:db8::3").is_none());
        let others = ["2001:db8:0:1::1", "192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1"].map(take);
        assert!(others.iter().all(Option::is_some) && take("192.0.2.1").is_none());
        drop((first, second));
        assert!(take("2001:db8::3").is_some());
        drop(others);
        assert!(addresses.open.lock().unwrap().is_empty(), "addresses without connections are not kept");
    }
}
