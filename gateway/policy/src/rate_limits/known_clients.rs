//! The clients that logged in to an account before. Their attempts have a budget of their own, so that wrong passwords of
//! strangers do not lock the owner out.

use menlou_error::Result;
use menlou_store::EphemeralKv;
use std::time::Duration;

/// Maximum number of openids and of addresses per account. Beyond it, the one that logged in longest ago is forgotten.
const MAX_PER_KIND: usize = 8;
/// How long a client stays known after its last login.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// Age from which a login writes a new time. Without it, each login would be a write.
const REFRESH: Duration = Duration::from_secs(86_400);
/// Bytes of one entry in the store: kind, fingerprint, Unix time in seconds.
const ENTRY_LENGTH: usize = 1 + 16 + 8;

/// What a client is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientKind {
    Openid = 1,
    Address = 2,
}

/// A fingerprint of an openid or of an address.
pub(super) type Fingerprint = [u8; 16];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    kind: ClientKind,
    fingerprint: Fingerprint,
    seen: u64,
}

/// The known clients of one account.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KnownClients(Vec<Entry>);

impl KnownClients {
    /// Reads them from the store; none if there is no such key.
    pub async fn read(store: &dyn EphemeralKv, tenant: &str, key: &str) -> Result<Self> {
        let value = store.get(tenant, key).await?;
        Ok(value.map(|bytes| Self::decode(&bytes, now())).unwrap_or_default())
    }

    /// Whether this client logged in before.
    pub fn contains(&self, kind: ClientKind, fingerprint: &Fingerprint) -> bool {
        self.0.iter().any(|entry| entry.kind == kind && entry.fingerprint == *fingerprint)
    }

    /// Adds clients that have logged in now, and writes the list to the store if it has changed. Two concurrent logins
    /// may lose one of their entries; the next login adds it again.
    pub async fn add(
        &mut self,
        store: &dyn EphemeralKv,
        tenant: &str,
        key: &str,
        clients: [(ClientKind, Fingerprint); 2],
    ) -> Result<()> {
        let now = now();
        let mut is_changed = false;
        for (kind, fingerprint) in clients {
            is_changed |= self.insert(kind, fingerprint, now);
        }
        if is_changed {
            store.put(tenant, key, &self.encode(), LIFETIME).await?;
        }
        Ok(())
    }

    /// Returns whether the list has changed.
    fn insert(&mut self, kind: ClientKind, fingerprint: Fingerprint, now: u64) -> bool {
        let is_same = |entry: &Entry| entry.kind == kind && entry.fingerprint == fingerprint;
        if let Some(entry) = self.0.iter_mut().find(|entry| is_same(entry)) {
            let is_old = now.saturating_sub(entry.seen) >= REFRESH.as_secs();
            if is_old {
                entry.seen = now;
            }
            return is_old;
        }
        while self.0.iter().filter(|entry| entry.kind == kind).count() >= MAX_PER_KIND {
            let oldest = self.0.iter().enumerate().filter(|(_, e)| e.kind == kind).min_by_key(|(_, e)| e.seen);
            let Some((at, _)) = oldest else { break };
            self.0.remove(at);
        }
        self.0.push(Entry { kind, fingerprint, seen: now });
        true
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * ENTRY_LENGTH);
        for entry in &self.0 {
            bytes.push(entry.kind as u8);
            bytes.extend_from_slice(&entry.fingerprint);
            bytes.extend_from_slice(&entry.seen.to_be_bytes());
        }
        bytes
    }

    /// Entries that are too old or of an unknown kind are left out.
    fn decode(bytes: &[u8], now: u64) -> Self {
        let (entries, _) = bytes.as_chunks::<ENTRY_LENGTH>();
        let entries = entries.iter().filter_map(|entry| {
            let kind = match entry.first()? {
                1 => ClientKind::Openid,
                2 => ClientKind::Address,
                _ => return None,
            };
            let (fingerprint, seen) = (entry.get(1..17)?.try_into().ok()?, entry.get(17..)?.try_into().ok()?);
            Some(Entry { kind, fingerprint, seen: u64::from_be_bytes(seen) })
        });
        Self(
            entries
                .filter(|entry| now.saturating_sub(entry.seen) < LIFETIME.as_secs())
                .take(2 * MAX_PER_KIND)
                .collect(),
        )
    }
}

fn now() -> u64 {
    menlou_clock::unix_millis() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded_and_the_oldest_is_forgotten() {
        let mut known = KnownClients::default();
        assert!(known.insert(ClientKind::Address, [0; 16], 1));
        for at in 0..=MAX_PER_KIND as u8 {
            assert!(known.insert(ClientKind::Openid, [at; 16], 100 + u64::from(at)));
        }
        assert_eq!(known.0.len(), MAX_PER_KIND + 1);
        assert!(!known.contains(ClientKind::Openid, &[0; 16]));
        assert!(known.contains(ClientKind::Openid, &[1; 16]) && known.contains(ClientKind::Address, &[0; 16]));
        assert!(!known.contains(ClientKind::Address, &[1; 16]));
    }

    #[test]
    fn a_login_is_written_once_a_day() {
        let mut known = KnownClients::default();
        assert!(known.insert(ClientKind::Openid, [1; 16], 1000));
        assert!(!known.insert(ClientKind::Openid, [1; 16], 1000 + 86_399));
        assert!(known.insert(ClientKind::Openid, [1; 16], 1000 + 86_400));
    }

    #[test]
    fn clients_expire_and_anything_decodes() {
        let mut known = KnownClients::default();
        known.insert(ClientKind::Openid, [1; 16], 1000);
        known.insert(ClientKind::Address, [2; 16], 2000);
        let bytes = known.encode();
        assert_eq!(KnownClients::decode(&bytes, 2000), known);
        assert_eq!(KnownClients::decode(&bytes, 1000 + LIFETIME.as_secs()).0.len(), 1);
        assert_eq!(KnownClients::decode(&bytes[..30], 2000).0.len(), 1);
        assert_eq!(KnownClients::decode(&[9; 50], 2000), KnownClients::default());
    }
}
