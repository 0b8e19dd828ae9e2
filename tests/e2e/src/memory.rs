//! The memory of a running process, as root reads it.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Everything that the process could have written to: heap, stacks, its own data.
pub fn image(pid: u32) -> Vec<Vec<u8>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root reads the memory of a process");
    let writable = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|it| it.starts_with("rw")));
    let regions = writable.filter_map(|line| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let from = u64::from_str_radix(from, 16).ok()?;
        let mut bytes = vec![0; usize::try_from(u64::from_str_radix(to, 16).ok()? - from).ok()?];
        // A region may go while we look.
        memory.read_exact_at(&mut bytes, from).ok().map(|()| bytes)
    });
    regions.collect()
}

/// How often the text stands there.
pub fn count(image: &[Vec<u8>], needle: &[u8]) -> usize {
    image.iter().map(|region| memchr::memmem::find_iter(region, needle).count()).sum()
}
