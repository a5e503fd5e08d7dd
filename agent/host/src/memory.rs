//! Memory that is held and nobody uses.
//!
//! Many calls at once take some fifty kilobytes each outside of their guests' memories. glibc keeps them for whoever
//! comes next, which may be tomorrow. And of a program's code that a start needs two thirds are not needed after it.

use std::ops::Range;
use std::{fs, ptr};

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

/// Has the kernel forget which code of this program is in memory, for the end of a start. It maps 64 KiB around each page that
/// is touched, and what is needed again costs a fault for as much, once.
pub fn give_back_code() {
    let here: fn() = give_back_code;
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some(code) = code_at(&maps, here as usize) else { return };
    #[expect(
        unsafe_code,
        reason = "what is mapped from a file, and cannot be written, is read from there again"
    )]
    // SAFETY: the range is one mapping of `code_at`, so no page of it has other content than the file.
    unsafe {
        libc::madvise(ptr::with_exposed_provenance_mut(code.start), code.len(), libc::MADV_DONTNEED);
    }
}

/// The mapping with this address in `/proc/self/maps`, where it is code from a file.
fn code_at(maps: &str, address: usize) -> Option<Range<usize>> {
    maps.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        let (rights, _offset, _device, inode) = (words.next()?, words.next()?, words.next()?, words.next()?);
        (range.contains(&address) && rights == "r-xp" && inode != "0").then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_from_a_file_is_given_back() {
        let maps = "\
            1000-3000 r--p 00000000 fe:00 42                 /usr/bin/lictor\n\
            3000-9000 r-xp 00002000 fe:00 42                 /usr/bin/lictor\n\
            9000-a000 r-xp 00000000 00:00 0 \n\
            a000-b000 rwxp 00008000 fe:00 42                 /usr/bin/lictor\n";
        assert_eq!(code_at(maps, 0x3000), Some(0x3000..0x9000));
        for other in [0, 0x1000, 0x9000, 0xa000, 0xb000] {
            assert_eq!(code_at(maps, other), None, "{other:x}");
        }
    }

    #[test]
    fn a_program_goes_on_when_its_code_was_given_back() {
        let before = memory_of_code();
        give_back_code();
        let after = memory_of_code();
        assert!(after < before, "{before} KiB before, {after} after");
    }

    /// KiB of this program's code that are in memory.
    fn memory_of_code() -> usize {
        let here: fn() = give_back_code;
        let all = fs::read_to_string("/proc/self/smaps").unwrap();
        let start = code_at(&all, here as usize).unwrap().start;
        let (_, own) = all.split_once(&format!("{start:x}-")).unwrap();
        let line = own.lines().find(|line| line.starts_with("Rss:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }
}
