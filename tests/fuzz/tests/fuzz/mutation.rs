//! How a sample is changed: what copying and storage do to files, and what attackers do to lengths and costs.

use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Set(Index, u8),
    FlipBit(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    Cut(Index),
    /// A part of itself once more.
    Repeat(Index, Index),
    /// Four bytes that are a length or a cost somewhere.
    Number(Index, u32),
    /// A part of another sample in the place of what stands there.
    Splice(Index, Index, Index),
    /// A digit of a number in text.
    Digits(Index, u64),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, value)| Change::Set(at, value)),
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Change::FlipBit(at, bit)),
        2 => (at(), proptest::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (at(), at()).prop_map(|(from, to)| Change::Remove(from, to)),
        1 => at().prop_map(Change::Cut),
        1 => (at(), at()).prop_map(|(from, to)| Change::Repeat(from, to)),
        3 => (at(), number()).prop_map(|(at, value)| Change::Number(at, value)),
        2 => (at(), at(), at()).prop_map(|(other, from, to)| Change::Splice(other, from, to)),
        1 => (at(), any::<u64>()).prop_map(|(at, value)| Change::Digits(at, value)),
    ]
}

/// Mostly near the borders of something.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u32::MAX),
        Just(i32::MAX as u32),
        Just(1 << 31),
        0..512u32,
        any::<u32>()
    ]
}

pub(crate) fn apply(bytes: &mut Vec<u8>, change: &Change, others: &[&[u8]]) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    let range = |from: &Index, to: &Index| {
        let (one, other) = (from.index(length), to.index(length));
        one.min(other)..one.max(other)
    };
    match change {
        Change::Set(at, value) => bytes[at.index(length)] = *value,
        Change::FlipBit(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        Change::Insert(at, inserted) => {
            let at = at.index(length);
            bytes.splice(at..at, inserted.iter().copied());
        }
        Change::Remove(from, to) => {
            bytes.drain(range(from, to));
        }
        Change::Cut(at) => bytes.truncate(at.index(length)),
        Change::Repeat(from, to) => {
            let range = range(from, to);
            let (end, part) = (range.end, bytes[range].to_vec());
            bytes.splice(end..end, part);
        }
        Change::Number(at, value) => {
            let at = at.index(length);
            let end = (at + 4).min(length);
            bytes.splice(at..end, value.to_be_bytes());
        }
        Change::Splice(other, from, to) => {
            let other = others[other.index(others.len())];
            let range = range(from, to);
            let part = other.get(range.start..range.end.min(other.len())).unwrap_or_default().to_vec();
            bytes.splice(range, part);
        }
        Change::Digits(at, value) => {
            let digits: Vec<usize> = (0..length).filter(|at| bytes[*at].is_ascii_digit()).collect();
            if let Some(at) = digits.get(at.index(digits.len().max(1))) {
                bytes.splice(*at..=*at, value.to_string().into_bytes());
            }
        }
    }
}
