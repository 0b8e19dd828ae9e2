//! A log for tests: its entries, its checkpoints, its exports and the key that it is signed with.

use aws_lc_rs::signature::Ed25519KeyPair;
use keywright_log::export::{Entry, FORMAT, Header, Hidden};
use keywright_log::leaf::{Clear, Leaf, Shown, Unsealed};
use keywright_log::note::Signer;
use keywright_log::tree::{self, Frontier, Leaves};
use keywright_log::{Checkpoint, Hash};

pub const ORIGIN: &str = "log.example.com/audit";

pub struct Log {
    signer: [Signer; 1],
}

impl Log {
    pub fn new() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        Self { signer: [Signer::new(ORIGIN, pair.to_pkcs8v1().unwrap().as_ref()).unwrap()] }
    }

    /// The public key, as `--key` takes it.
    pub fn key(&self) -> String {
        self.signer[0].verifier().to_string()
    }

    pub fn checkpoint(&self, size: u64) -> String {
        self.sign(size, root(0..size))
    }

    pub fn sign(&self, size: u64, root: Hash) -> String {
        Checkpoint { origin: ORIGIN.to_owned(), size, root }.sign(&self.signer)
    }
}

fn clear(index: u64) -> Clear {
    Clear { actor: format!("prn_{index}"), target: "srv_1 \"web\"".to_owned(), ..Clear::default() }
}

fn unsealed(index: u64) -> Unsealed {
    let open = [("action", "server.test"), ("eventId", &*format!("evt_{index}"))];
    Unsealed::new("INTENT", &open, &clear(index), &[[7; 16]; 5])
}

pub fn leaf(index: u64) -> Leaf {
    unsealed(index).seal(&format!("at {index}"))
}

pub fn entry(index: u64) -> Entry {
    let Clear { actor, source_ip, user_agent, target, details } = clear(index);
    let leaf = leaf(index);
    Entry {
        index,
        hash: leaf.hash.hex(),
        leaf: leaf.text,
        clear: Shown {
            actor: Some(actor),
            source_ip: Some(source_ip),
            user_agent: Some(user_agent),
            target: Some(target),
            details: Some(details),
        },
        salts: serde_json::from_str(unsealed(index).salts()).unwrap(),
    }
}

/// The root of some leaves, which are complete subtrees.
pub fn root(leaves: Leaves) -> Hash {
    tree::fold(tree::subtrees(&leaves).into_iter().map(|subtree| {
        let mut tree = Frontier::default();
        (subtree.start..subtree.end().unwrap()).for_each(|index| tree.push(0, leaf(index).hash).unwrap());
        tree.root()
    }))
}

pub fn header(from: u64, size: u64) -> String {
    let header = Header {
        format: FORMAT.to_owned(),
        version: 1,
        origin: ORIGIN.to_owned(),
        size,
        from,
        scope: String::new(),
    };
    serde_json::to_string(&header).unwrap()
}

/// An export, with the entries of `hidden` as the roots of subtrees.
pub fn export(from: u64, size: u64, hidden: Leaves) -> String {
    let mut lines = vec![header(from, size)];
    let shown = |leaves: Leaves| leaves.map(|index| serde_json::to_string(&entry(index)).unwrap());
    lines.extend(shown(from..size.min(hidden.start.max(from))));
    for subtree in tree::subtrees(&(hidden.start.max(from)..hidden.end.min(size))) {
        let hash = root(subtree.start..subtree.end().unwrap()).hex();
        let hidden = Hidden { index: subtree.start, height: subtree.height, hash };
        lines.push(serde_json::to_string(&hidden).unwrap());
    }
    lines.extend(shown(hidden.end.max(from)..size));
    lines.join("\n") + "\n"
}

/// An export with every entry shown.
pub fn whole(size: u64) -> String {
    export(0, size, size..size)
}
