//! Paths of C2SP tlog-tiles: `0/x001/067`, `1/000.p/8`, `entries/x001/067.p/3`, below `tile/`.

use std::fmt;

/// Hashes or entries of one tile: 2^8.
pub const WIDTH: u64 = 256;

/// Levels from 0 to 63 are written, of which a tree of 2^62 leaves has 8.
const MOST_LEVELS: u8 = 63;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The entries themselves, each with its length before it in two bytes, the higher first.
    Entries,
    /// Roots of subtrees of 256^level leaves.
    Hashes(u8),
}

/// Which tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    pub level: Level,
    pub index: u64,
    /// How many it holds: 1 to 256. A full one has no width in its path.
    pub width: u64,
}

impl Tile {
    /// None for anything but the one way in which a tile is written.
    pub fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.split_once('/')?;
        let level = match level {
            "entries" => Level::Entries,
            number => Level::Hashes(u8::try_from(plain(number)?).ok().filter(|it| *it <= MOST_LEVELS)?),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, plain(width).filter(|it| (1..WIDTH).contains(it))?),
            None => (rest, WIDTH),
        };
        let mut number = 0u64;
        let mut groups = index.split('/').peekable();
        while let Some(group) = groups.next() {
            let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
            if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            number = number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        let tile = Self { level, index: number, width };
        (tile.to_string() == path).then_some(tile)
    }

    /// The first leaf of its first hash, and how many leaves each of them covers; none beyond all numbers.
    pub fn reach(&self) -> Option<(u64, u64)> {
        let each = match self.level {
            Level::Entries => 1,
            Level::Hashes(level) => WIDTH.checked_pow(u32::from(level))?,
        };
        Some((self.index.checked_mul(WIDTH)?.checked_mul(each)?, each))
    }
}

/// A number without leading zeros.
fn plain(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Entries => f.write_str("entries")?,
            Level::Hashes(level) => write!(f, "{level}")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut left = self.index / 1000;
        while left > 0 {
            groups.push(left % 1000);
            left /= 1000;
        }
        while let Some(group) = groups.pop() {
            f.write_str(if groups.is_empty() { "/" } else { "/x" })?;
            write!(f, "{group:03}")?;
        }
        if self.width == WIDTH { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_text() {
        let tile = |level, index, width| Tile { level, index, width };
        for (path, expected) in [
            ("0/x001/x234/067", tile(Level::Hashes(0), 1_234_067, 256)),
            ("1/000.p/8", tile(Level::Hashes(1), 0, 8)),
            ("63/999", tile(Level::Hashes(63), 999, 256)),
            ("entries/x001/067.p/255", tile(Level::Entries, 1_067, 255)),
        ] {
            assert_eq!(Tile::parse(path), Some(expected));
            assert_eq!(expected.to_string(), path);
        }
        assert_eq!(tile(Level::Hashes(1), 2, 256).reach(), Some((131_072, 256)));
        assert_eq!(tile(Level::Hashes(63), 1, 256).reach(), None);
    }

    #[test]
    fn other_ways_of_writing_one_are_refused() {
        for path in [
            "",
            "0",
            "0/",
            "0/1",
            "0/0001",
            "00/001",
            "+1/001",
            "64/001",
            "0/x000/001",
            "0/001/001",
            "0/x001",
            "0/001.p/0",
            "0/001.p/256",
            "0/001.p/01",
            "0/001.p/",
            "0/001.p/1/2",
            "entry/001",
            "0/00a",
            "0/001/",
            "-1/001",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
    }
}
