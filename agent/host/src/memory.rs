//! Memory that the allocator holds and nobody uses.
//!
//! Many calls at once take some fifty kilobytes each outside of their guests' memories. glibc keeps them for whoever
//! comes next, which may be tomorrow.

/// Gives it back to the system. What is used again afterwards costs page faults, so this is for the end of a busy time.
#[cfg(target_env = "gnu")]
pub(crate) fn give_back() {
    #[expect(unsafe_code, reason = "it may be called at any time, from any thread")]
    // SAFETY: it touches what is free alone, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators do so by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back() {}
