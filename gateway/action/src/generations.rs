//! Counts the plugin versions that this process has loaded, and refuses to load too many.
//!
//! A loaded version stays in memory until the process ends (about 0.3 MB). In addition, a version that asks for the current
//! thread takes one of the 1,024 thread-local keys of a process (rust-lang/rust#91979). When no key is left, the next
//! library that needs one aborts the process.

use super::plugin_load_error::PluginLoadError;
use std::{
    mem::MaybeUninit,
    sync::atomic::{AtomicU64, Ordering},
};

/// Maximum number of versions that a process loads.
const MAX_GENERATIONS: u64 = 2000;
/// Number of thread-local keys that must be free before a version is loaded: libraries that are loaded already may still
/// need some.
const SPARE_KEYS: usize = 64;

static LOADED: AtomicU64 = AtomicU64::new(0);

/// The generation of the version that is loaded next, counted from 1.
///
/// # Errors
/// [`PluginLoadError::TooManyGenerations`]
pub fn next() -> Result<u64, PluginLoadError> {
    let loaded = LOADED.load(Ordering::Relaxed);
    if loaded >= MAX_GENERATIONS || !has_spare_keys() {
        return Err(PluginLoadError::TooManyGenerations(loaded));
    }
    let generation = LOADED.fetch_add(1, Ordering::Relaxed) + 1;
    metrics::gauge!("menlou_plugin_generations").set(generation as f64);
    Ok(generation)
}

/// Number of plugin versions that this process has loaded.
pub fn loaded() -> u64 {
    LOADED.load(Ordering::Relaxed)
}

/// Creates and deletes keys, because the system does not report how many are left.
fn has_spare_keys() -> bool {
    let mut keys = Vec::with_capacity(SPARE_KEYS);
    for _ in 0..SPARE_KEYS {
        let mut key = MaybeUninit::<libc::pthread_key_t>::uninit();
        // SAFETY: `key` is valid for writing one key.
        match unsafe { libc::pthread_key_create(key.as_mut_ptr(), None) } {
            // SAFETY: `pthread_key_create` returned 0, so it has written the key.
            0 => keys.push(unsafe { key.assume_init() }),
            _ => break,
        }
    }
    let has_spare = keys.len() == SPARE_KEYS;
    for key in keys {
        // SAFETY: the key was created above, and no value was stored under it.
        unsafe { libc::pthread_key_delete(key) };
    }
    has_spare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_counted_and_refused_when_no_keys_are_left() {
        let first = next().unwrap();
        assert!(next().unwrap() > first);
        let mut taken = Vec::new();
        let mut key = 0;
        // SAFETY: `key` is valid for writing one key.
        while unsafe { libc::pthread_key_create(&mut key, None) } == 0 {
            taken.push(key);
        }
        let without_keys = next();
        for key in taken {
            // SAFETY: the key was created above, and no value was stored under it.
            unsafe { libc::pthread_key_delete(key) };
        }
        assert!(matches!(without_keys, Err(PluginLoadError::TooManyGenerations(_))));
        assert!(next().is_ok());
    }
}
