//! The Merkle tree of RFC 6962: roots, and the proofs of inclusion and consistency, made and verified.
//!
//! A proof is a list of ranges of leaves whose roots it holds; who makes one looks those roots up wherever he keeps
//! them. Every range is one or more complete, aligned subtrees, from the largest to the smallest.

use crate::hash::Hash;
use std::ops::Range;

/// A complete subtree of 2^`height` leaves, the first of which is at `start`, a multiple of 2^`height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subtree {
    pub start: u64,
    pub height: u8,
}

impl Subtree {
    /// How many leaves it has.
    pub const fn leaves(self) -> u64 {
        1u64 << self.height
    }

    /// None where that would be more leaves than there can be.
    pub const fn end(self) -> Option<u64> {
        self.start.checked_add(self.leaves())
    }
}

/// Some of the leaves of a tree whose root is a node of the tree.
pub type Leaves = Range<u64>;

/// The complete subtrees that make up `leaves`, from left to right: each as large as its place allows.
pub fn subtrees(leaves: &Leaves) -> Vec<Subtree> {
    let mut subtrees = Vec::new();
    let mut start = leaves.start;
    while start < leaves.end {
        let left = leaves.end.saturating_sub(start);
        let fits = left.ilog2();
        let aligned = if start == 0 { fits } else { start.trailing_zeros().min(fits) };
        let subtree = Subtree { start, height: u8::try_from(aligned).unwrap_or(0) };
        subtrees.push(subtree);
        start = start.saturating_add(subtree.leaves());
    }
    subtrees
}

/// The root of what the roots of its subtrees, from left to right, make up.
pub fn fold(roots: impl IntoIterator<Item = Hash, IntoIter: DoubleEndedIterator>) -> Hash {
    let folded = roots.into_iter().rev().reduce(|right, left| Hash::node(left, right));
    folded.unwrap_or_else(Hash::of_nothing)
}

/// The largest power of two that is smaller than `size`, which is larger than 1.
fn split(size: u64) -> u64 {
    1u64 << size.saturating_sub(1).max(1).ilog2()
}

/// Of which leaves the proof holds the roots that the leaf at `index` is in a tree of `size`; from the leaf upwards.
/// None where it is not.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Leaves>> {
    if index >= size {
        return None;
    }
    let (mut start, mut end, mut path) = (0u64, size, Vec::new());
    while end.saturating_sub(start) > 1 {
        let middle = start.saturating_add(split(end.saturating_sub(start)));
        if index < middle {
            path.push(middle..end);
            end = middle;
        } else {
            path.push(start..middle);
            start = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// Of which leaves the proof holds the roots that the tree of `from` leaves is the beginning of that of `size`. None where
/// it is larger.
pub fn consistency(from: u64, size: u64) -> Option<Vec<Leaves>> {
    if from > size {
        return None;
    }
    if from == 0 || from == size {
        return Some(Vec::new());
    }
    let (mut start, mut end, mut path) = (0u64, size, Vec::new());
    // Until the smaller tree ends where the node does; the root of that node is the last, unless it is the whole of it.
    while end != from {
        let middle = start.saturating_add(split(end.saturating_sub(start)));
        if from <= middle {
            path.push(middle..end);
            end = middle;
        } else {
            path.push(start..middle);
            start = middle;
        }
    }
    if start != 0 {
        path.push(start..end);
    }
    path.reverse();
    Some(path)
}

/// Whether `proof` shows that `leaf` is at `index` in the tree of `size` with `root`: RFC 9162, section 2.1.3.2.
pub fn verify_inclusion(index: u64, size: u64, leaf: Hash, proof: &[Hash], root: Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size.saturating_sub(1), leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = Hash::node(*sibling, hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(hash, *sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

/// Whether `proof` shows that the tree of `from` with `from_root` is the beginning of the tree of `size` with `root`:
/// RFC 9162, section 2.1.4.2. The empty tree is the beginning of every tree.
pub fn verify_consistency(from: u64, from_root: Hash, size: u64, root: Hash, proof: &[Hash]) -> bool {
    if from > size {
        return false;
    }
    if from == 0 {
        return proof.is_empty() && from_root == Hash::of_nothing();
    }
    if from == size {
        return proof.is_empty() && from_root == root;
    }
    let mut path = proof.iter().copied();
    // The smaller tree is itself a node: its root begins the path.
    let first = if from.is_power_of_two() { Some(from_root) } else { path.next() };
    let Some(first) = first else { return false };
    let (mut node, mut last) = (from.saturating_sub(1), size.saturating_sub(1));
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut smaller, mut larger) = (first, first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            smaller = Hash::node(sibling, smaller);
            larger = Hash::node(sibling, larger);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            larger = Hash::node(larger, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && smaller == from_root && larger == root
}

/// A tree that grows at its end: it holds the roots of its complete subtrees only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<(Subtree, Hash)>,
}

/// The subtree does not belong at the end of the tree: it is not aligned there, or the tree is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a subtree of that height cannot stand there")]
pub struct Misplaced;

impl Frontier {
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends the complete subtree of 2^`height` leaves that has this root; a leaf is one of height 0.
    pub fn push(&mut self, height: u8, root: Hash) -> Result<(), Misplaced> {
        if height > 62 || self.size & ((1u64 << height) - 1) != 0 {
            return Err(Misplaced);
        }
        let mut subtree = Subtree { start: self.size, height };
        let mut hash = root;
        self.size = subtree.end().ok_or(Misplaced)?;
        while let Some((left, left_hash)) = self.roots.pop_if(|(left, _)| left.height == subtree.height) {
            hash = Hash::node(left_hash, hash);
            subtree = Subtree { start: left.start, height: subtree.height.saturating_add(1) };
        }
        self.roots.push((subtree, hash));
        Ok(())
    }

    pub fn root(&self) -> Hash {
        fold(self.roots.iter().map(|(_, root)| *root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the definition of RFC 6962, section 2.1.
    fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of_nothing(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(usize::try_from(split(leaves.len() as u64)).unwrap());
                Hash::node(root(left), root(right))
            }
        }
    }

    fn leaves(number: u64) -> Vec<Hash> {
        (0..number).map(|index| Hash::leaf(format!("entry {index}").as_bytes())).collect()
    }

    fn look_up(all: &[Hash], ranges: Vec<Leaves>) -> Vec<Hash> {
        ranges.into_iter().map(|range| root(&all[range.start as usize..range.end as usize])).collect()
    }

    #[test]
    fn every_proof_of_small_trees_holds_and_no_other_does() {
        let all = leaves(70);
        for size in 0..=70u64 {
            let tree = &all[..size as usize];
            let of_all = root(tree);
            assert_eq!(inclusion(size, size), None);
            for index in 0..size {
                let proof = look_up(tree, inclusion(index, size).unwrap());
                let leaf = tree[index as usize];
                assert!(verify_inclusion(index, size, leaf, &proof, of_all), "{index} in {size}");
                for other in 0..=size {
                    let held = verify_inclusion(other, size, leaf, &proof, of_all);
                    assert_eq!(held, other == index, "{index} as {other} in {size}");
                }
                assert!(!verify_inclusion(index, size, Hash::leaf(b"x"), &proof, of_all));
                assert!(!verify_inclusion(index, size, leaf, &[&proof[..], &[leaf]].concat(), of_all));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify_inclusion(index, size, leaf, shorter, of_all));
                }
            }
            for from in 0..=size {
                let proof = look_up(tree, consistency(from, size).unwrap());
                let before = root(&all[..from as usize]);
                assert!(verify_consistency(from, before, size, of_all, &proof), "{from} in {size}");
                assert!(!verify_consistency(from, Hash::leaf(b"x"), size, of_all, &proof));
                assert!(!verify_consistency(from, before, size, of_all, &[&proof[..], &[before]].concat()));
                if from > 0 {
                    assert!(!verify_consistency(from, before, size, Hash::leaf(b"x"), &proof));
                }
                for other in 0..=size {
                    if root(&all[..other as usize]) != before {
                        let fork = root(&all[..other as usize]);
                        assert!(!verify_consistency(other, before, size, of_all, &proof) || fork == before);
                    }
                }
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify_consistency(from, before, size, of_all, shorter));
                }
            }
            assert_eq!(consistency(size + 1, size), None);
        }
    }

    #[test]
    fn a_tree_that_grows_has_the_root_of_its_leaves() {
        let all = leaves(600);
        let mut tree = Frontier::default();
        assert_eq!(tree.root(), Hash::of_nothing());
        for (index, leaf) in all.iter().enumerate() {
            tree.push(0, *leaf).unwrap();
            assert_eq!(tree.root(), root(&all[..=index]));
        }
    }

    #[test]
    fn subtrees_stand_where_they_are_aligned() {
        let mut tree = Frontier::default();
        tree.push(8, Hash::leaf(b"")).unwrap();
        assert_eq!(tree.push(9, Hash::leaf(b"")), Err(Misplaced));
        tree.push(0, Hash::leaf(b"")).unwrap();
        assert_eq!(tree.push(1, Hash::leaf(b"")), Err(Misplaced));
        assert_eq!(tree.push(63, Hash::leaf(b"")), Err(Misplaced));
        assert_eq!(tree.size(), 257);
    }

    proptest! {
        #[test]
        fn complete_subtrees_give_the_same_root_as_their_leaves(size in 0u64..2_000, cut in 0u64..2_000) {
            let all = leaves(size);
            let cut = cut.min(size);
            let mut tree = Frontier::default();
            for range in [0..cut, cut..size] {
                for subtree in subtrees(&range) {
                    let (start, end) = (subtree.start as usize, subtree.end().unwrap() as usize);
                    tree.push(subtree.height, root(&all[start..end])).unwrap();
                }
            }
            prop_assert_eq!(tree.size(), size);
            prop_assert_eq!(tree.root(), root(&all));
        }

        #[test]
        fn no_numbers_make_a_verification_panic(index: u64, from: u64, size: u64, length in 0usize..70) {
            let proof = vec![Hash::leaf(b""); length];
            prop_assert!(!verify_inclusion(index, size, Hash::leaf(b"a"), &proof, Hash::leaf(b"b")));
            prop_assert!(!verify_consistency(from, Hash::leaf(b"a"), size, Hash::leaf(b"b"), &proof));
            let _ranges = (inclusion(index, size), consistency(from, size));
        }
    }
}
