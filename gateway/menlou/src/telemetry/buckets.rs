//! The buckets of all histograms.

/// Buckets of the histograms, in seconds.
pub(super) const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
