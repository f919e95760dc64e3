//! How many connections each client address has open.

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
