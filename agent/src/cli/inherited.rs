//! Descriptors that whoever started Lictor left open in it: no program that Lictor runs is to have them.

use std::fs;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// Those that each program has, and gets anew from us.
const STANDARD: RawFd = 2;

/// Has them end with the next program that is run. What Lictor opens itself is opened so. To be called before anything
/// else runs, so that nothing is closed meanwhile.
pub(super) fn close_on_exec() {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let listed = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    let open: Vec<_> = listed.filter(|number| *number > STANDARD).collect();
    for number in open {
        #[expect(
            unsafe_code,
            reason = "nothing else runs, so that what was open is open still, but for the folder that was read, whose \
                      number is no descriptor now and is refused"
        )]
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        if let Ok(flags) = fcntl_getfd(descriptor) {
            // It fails only where there is none.
            fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC).ok();
        }
    }
}
