//! Counts the versions of plugins that this process has loaded, and says when there can be no more.
//!
//! A version stays in memory for ever (some 0.3 MB), and one that asks for the current thread takes one of the 1,024 keys
//! for thread-locals that a process has (rust-lang/rust#91979); without keys the next such call ends the process.

use super::plugin_load_error::PluginLoadError;
use std::{
    mem::MaybeUninit,
    sync::atomic::{AtomicU64, Ordering},
};

/// No process loads more versions.
const MOST: u64 = 2000;
/// So many keys must be left for what was loaded already and for the gateway's own libraries.
const SPARE_KEYS: usize = 64;

static LOADED: AtomicU64 = AtomicU64::new(0);

/// The number of the version that is about to be loaded, counted from 1.
pub fn next() -> Result<u64, PluginLoadError> {
    let loaded = LOADED.load(Ordering::Relaxed);
    if loaded >= MOST || !keys_are_left() {
        return Err(PluginLoadError::TooManyGenerations(loaded));
    }
    let generation = LOADED.fetch_add(1, Ordering::Relaxed) + 1;
    metrics::gauge!("menlou_plugin_generations").set(generation as f64);
    Ok(generation)
}

/// How many versions have been loaded.
pub fn loaded() -> u64 {
    LOADED.load(Ordering::Relaxed)
}

/// Asks by trying: nothing else tells.
fn keys_are_left() -> bool {
    let mut keys = Vec::with_capacity(SPARE_KEYS);
    for _ in 0..SPARE_KEYS {
        let mut key = MaybeUninit::<libc::pthread_key_t>::uninit();
        // SAFETY: `key` has room for a key, which is written where 0 is returned.
        match unsafe { libc::pthread_key_create(key.as_mut_ptr(), None) } {
            // SAFETY: just written.
            0 => keys.push(unsafe { key.assume_init() }),
            _ => break,
        }
    }
    let left = keys.len() == SPARE_KEYS;
    for key in keys {
        // SAFETY: created above, and never given a value.
        unsafe { libc::pthread_key_delete(key) };
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_counted_and_refused_once_the_keys_run_out() {
        let first = next().unwrap();
        assert!(next().unwrap() > first);
        let mut taken = Vec::new();
        let mut key = 0;
        // SAFETY: `key` is written where 0 is returned.
        while unsafe { libc::pthread_key_create(&mut key, None) } == 0 {
            taken.push(key);
        }
        let refused = next();
        for key in taken {
            // SAFETY: created above, and never given a value.
            unsafe { libc::pthread_key_delete(key) };
        }
        assert!(matches!(refused, Err(PluginLoadError::TooManyGenerations(_))));
        assert!(next().is_ok());
    }
}
