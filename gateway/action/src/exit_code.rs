//! The end of the process after a fault of a plugin that only a restart resolves.

/// The exit code: `EX_SOFTWARE` of `sysexits.h`.
pub(super) const EXIT_CODE: i32 = 70;

/// Ends the process without running exit functions, which may wait for locks of other threads.
pub(super) fn end() -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(EXIT_CODE) }
}
