//! How many connections each client address has open; of IPv6, each network, as one customer has many addresses there.

use menlou_policy::client_network;
use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts, within a bound for each.
#[derive(Clone)]
pub struct Addresses {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
}

/// A connection's place among those of its address.
pub struct AddressPlace {
    of: Addresses,
    address: IpAddr,
}

impl Addresses {
    /// None yet; `most` for each.
    pub fn new(most: usize) -> Self {
        Self { open: Arc::default(), most }
    }

    /// One more connection of this address; `None` where it has as many as it may.
    pub fn take(&self, address: IpAddr) -> Option<AddressPlace> {
        let address = client_network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(AddressPlace { of: self.clone(), address })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.of.open.lock().unwrap_or_else(PoisonError::into_inner);
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
    fn one_customer_has_so_many_connections_and_another_its_own() {
        let addresses = Addresses::new(2);
        let take = |text: &str| addresses.take(text.parse().unwrap());
        let (first, second) = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(first.is_some() && second.is_some() && take("2001:db8::3").is_none());
        let others = ["2001:db8:0:1::1", "192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1"].map(take);
        assert!(others.iter().all(Option::is_some) && take("192.0.2.1").is_none());
        drop((first, second));
        assert!(take("2001:db8::3").is_some());
        drop(others);
        assert!(addresses.open.lock().unwrap().is_empty(), "nothing is kept of who has none");
    }
}
