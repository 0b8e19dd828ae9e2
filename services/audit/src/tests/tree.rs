//! The log as a tree, on both databases: what is signed, proven, exported and forgotten.

use super::segments::fill;
use super::{Log, intent, logs, outcome};
use crate::app::export_log;
use crate::app::sign_checkpoints::{SignCheckpoints, Signing};
use crate::journal::Journal;
use crate::store::event::Filter;
use crate::store::segment::{self, LEAVES};
use crate::store::{checkpoint, log, tree};
use keywright_domain::ids::EventId;
use keywright_domain::reason::Reason;
use keywright_log::export::{ExportError, Report, Verifier};
use keywright_log::note::VerifierKey;
use keywright_log::tree::{Frontier, consistency, inclusion, verify_consistency, verify_inclusion};
use keywright_log::{Checkpoint, Hash};
use keywright_storage::{Columns, Db};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn signer(log: &Log) -> SignCheckpoints {
    signer_of(&log.db, log._dir.path())
}

/// With keys of its own in the folder.
pub fn signer_of(db: &Db, folder: &Path) -> SignCheckpoints {
    let keys = folder.join("checkpoint.keys");
    if !keys.exists() {
        std::fs::write(&keys, keywright_runtime::keys::new_checkpoint_key().unwrap()).unwrap();
    }
    let (name, interval, burst) = ("test.example/log".to_owned(), Duration::from_secs(60), 1_000);
    let journal = Arc::new(Journal::new(db.clone()));
    SignCheckpoints { db: db.clone(), journal, signing: Signing { name, keys, interval, burst } }
}

/// Every checkpoint is that of the leaves as they are now.
pub async fn every_checkpoint_holds(db: &Db) {
    let rows =
        sqlx::query("SELECT size, root FROM checkpoint ORDER BY size").fetch_all(db.read()).await.unwrap();
    let mut signed: Vec<(u64, String)> = rows
        .iter()
        .map(|row| (tree::unsigned(row.int("size").unwrap()), row.text("root").unwrap()))
        .collect();
    let all = log::leaves(db, 0, signed.last().unwrap().0).await.unwrap();
    let mut growing = Frontier::default();
    signed.reverse();
    for leaf in std::iter::once(None).chain(all.iter().map(Some)) {
        if let Some(leaf) = leaf {
            growing.push(0, Hash::leaf(leaf)).unwrap();
        }
        while signed.last().is_some_and(|(size, _)| *size == growing.size()) {
            assert_eq!(signed.pop().unwrap().1, growing.root().hex(), "{}", growing.size());
        }
    }
    assert!(signed.is_empty());
}

async fn grow(log: &Log, number: usize) {
    let mut waiting = Vec::new();
    for _ in 0..number {
        let (sent, appender) = (intent("ten_a", "srv_1"), log.log.clone());
        waiting.push(tokio::spawn(async move {
            crate::app::record_intent::RecordIntent { log: appender }.run(sent).await.unwrap()
        }));
        if waiting.len() == 512 {
            for waiting in waiting.drain(..) {
                waiting.await.unwrap();
            }
        }
    }
    for waiting in waiting {
        waiting.await.unwrap();
    }
}

/// What the newest checkpoint says, after its signature was verified with the keys that the log names.
async fn newest(log: &Log) -> Checkpoint {
    let signed = checkpoint::newest(&log.db).await.unwrap().unwrap();
    let opened = Checkpoint::open(&signed.note, &known(log).await).unwrap();
    assert_eq!((opened.size, opened.root), (signed.size, signed.root));
    opened
}

async fn known(log: &Log) -> Vec<VerifierKey> {
    let keys = checkpoint::keys(&log.db).await.unwrap();
    keys.iter().map(|key| VerifierKey::parse(&key.verifier).unwrap()).collect()
}

async fn hashes(log: &Log, size: u64) -> Vec<Hash> {
    log::leaves(&log.db, 0, size).await.unwrap().iter().map(|leaf| Hash::leaf(leaf)).collect()
}

fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::default();
    leaves.iter().for_each(|leaf| tree.push(0, *leaf).unwrap());
    tree.root()
}

#[tokio::test]
async fn what_is_signed_is_the_tree_of_what_was_appended() {
    for log in logs().await {
        let sign = signer(&log);
        assert!(sign.once().await.unwrap());
        assert_eq!(newest(&log).await.root, Hash::of_nothing(), "an empty log has a checkpoint too");
        let mut sizes = vec![0u64];
        for more in [1, 1, 5, 248, 1, 1, 260, 90] {
            grow(&log, more).await;
            assert!(sign.once().await.unwrap());
            assert!(!sign.once().await.unwrap(), "nothing new, nothing signed");
            sizes.push(newest(&log).await.size);
        }
        let size = *sizes.last().unwrap();
        assert_eq!(size, 607);
        let all = hashes(&log, size).await;
        for at in sizes {
            let signed = checkpoint::of_size(&log.db, at).await.unwrap().unwrap();
            let of_then = root(&all[..at as usize]);
            assert_eq!(signed.root, of_then, "{at}");
            let proof = tree::roots(&log.db, &consistency(at, size).unwrap()).await.unwrap();
            assert!(verify_consistency(at, of_then, size, root(&all), &proof));
        }
        for index in (0..size).step_by(7).chain([255, 256, 511, 512, 606]) {
            let proof = tree::roots(&log.db, &inclusion(index, size).unwrap()).await.unwrap();
            assert!(verify_inclusion(index, size, all[index as usize], &proof, root(&all)), "{index}");
        }
        assert_eq!(tree::row(&log.db, 0, 0, size).await.unwrap(), all);
        assert_eq!(tree::row(&log.db, 1, 0, 2).await.unwrap(), [root(&all[..256]), root(&all[256..512])]);
    }
}

#[tokio::test]
async fn many_who_sign_at_once_make_one_line_of_checkpoints() {
    for log in logs().await {
        let sign = signer(&log);
        for _ in 0..6 {
            grow(&log, 37).await;
            let at_once: Vec<_> = (0..4)
                .map(|_| {
                    let sign = sign.clone();
                    tokio::spawn(async move { sign.once().await.unwrap() })
                })
                .collect();
            let mut signed = 0;
            for one in at_once {
                signed += usize::from(one.await.unwrap());
            }
            assert_eq!(signed, 1);
        }
        every_checkpoint_holds(&log.db).await;
    }
}

#[tokio::test]
async fn nothing_is_signed_that_is_no_continuation() {
    for change in [
        "DELETE FROM leaf WHERE seq >= 290",
        "UPDATE leaf SET hash = (SELECT hash FROM leaf WHERE seq = 2) WHERE seq = 280",
        "DELETE FROM leaf WHERE seq = 270",
        "UPDATE head SET size = 200",
        "UPDATE node SET hash = (SELECT hash FROM leaf WHERE seq = 2)",
        "UPDATE checkpoint SET root = (SELECT hash FROM leaf WHERE seq = 2)",
    ] {
        for log in logs().await {
            let sign = signer(&log);
            grow(&log, 300).await;
            assert!(sign.once().await.unwrap());
            let mut tx = log.db.begin_internal("tampering").await.unwrap();
            sqlx::query(change).execute(tx.conn()).await.unwrap();
            tx.commit().await.unwrap();
            let refused = sign.once().await.unwrap_err();
            assert_eq!(refused.reason, Reason::Internal, "{change}: {}", refused.message);
            let rows = sqlx::query("SELECT size FROM checkpoint").fetch_all(log.db.read()).await.unwrap();
            assert_eq!(rows.len(), 1, "{change}");
        }
    }
}

/// Older than the last checkpoint, and covered by a node already.
#[tokio::test]
async fn an_old_entry_that_was_changed_stops_the_signing() {
    for change in [
        "UPDATE leaf SET hash = (SELECT hash FROM leaf WHERE seq = 2) WHERE seq = 5",
        "UPDATE leaf SET bytes = (SELECT bytes FROM leaf WHERE seq = 2) WHERE seq = 5",
        "UPDATE leaf SET bytes = (SELECT o.bytes FROM leaf o WHERE o.seq = 2),
                         hash = (SELECT o.hash FROM leaf o WHERE o.seq = 2) WHERE seq = 5",
    ] {
        for log in logs().await {
            let sign = signer(&log);
            grow(&log, 300).await;
            assert!(sign.once().await.unwrap());
            let mut tx = log.db.begin_internal("tampering").await.unwrap();
            sqlx::query(change).execute(tx.conn()).await.unwrap();
            tx.commit().await.unwrap();
            grow(&log, 1).await;
            assert_eq!(sign.once().await.unwrap_err().reason, Reason::Internal, "{change}");
        }
    }
}

#[tokio::test]
async fn a_machine_with_keys_of_its_own_does_not_sign() {
    for log in logs().await {
        let sign = signer(&log);
        grow(&log, 1).await;
        sign.once().await.unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let other = signer_of(&log.db, elsewhere.path());
        grow(&log, 1).await;
        assert_eq!(other.once().await.unwrap_err().reason, Reason::StorageUnavailable);
        let file = |sign: &SignCheckpoints| std::fs::read_to_string(&sign.signing.keys).unwrap();
        // The rotation reaches one machine first: the other waits for the new file, and the ended key stays ended.
        let (first, second) = (file(&sign), file(&other));
        std::fs::write(&sign.signing.keys, format!("{second}{first}")).unwrap();
        assert!(sign.once().await.unwrap());
        std::fs::write(&other.signing.keys, &first).unwrap();
        grow(&log, 1).await;
        assert_eq!(other.once().await.unwrap_err().reason, Reason::StorageUnavailable);
        std::fs::write(&sign.signing.keys, &second).unwrap();
        assert!(sign.once().await.unwrap());
        std::fs::write(&other.signing.keys, format!("{second}{first}")).unwrap();
        grow(&log, 1).await;
        assert!(other.once().await.unwrap());
        let keys = checkpoint::keys(&log.db).await.unwrap();
        assert_eq!(keys.iter().map(|key| key.active).collect::<Vec<_>>(), [true, false]);
    }
}

#[tokio::test]
async fn a_key_is_followed_by_the_next_and_the_log_says_so() {
    for log in logs().await {
        let sign = signer(&log);
        grow(&log, 3).await;
        sign.once().await.unwrap();
        let old = known(&log).await;
        let file = &sign.signing.keys;
        let first = std::fs::read_to_string(file).unwrap();
        std::fs::write(file, format!("{}{first}", keywright_runtime::keys::new_checkpoint_key().unwrap()))
            .unwrap();
        grow(&log, 1).await;
        sign.once().await.unwrap();
        let both = checkpoint::newest(&log.db).await.unwrap().unwrap().note;
        assert!(Checkpoint::open(&both, &old).is_ok(), "who knows the old key alone can follow");
        let new: Vec<VerifierKey> = known(&log).await.into_iter().filter(|key| !old.contains(key)).collect();
        assert_eq!((new.len(), Checkpoint::open(&both, &new).is_ok()), (1, true));
        let newest_line = std::fs::read_to_string(file).unwrap().lines().next().unwrap().to_owned();
        std::fs::write(file, newest_line).unwrap();
        grow(&log, 1).await;
        sign.once().await.unwrap();
        let last = checkpoint::newest(&log.db).await.unwrap().unwrap().note;
        assert!(Checkpoint::open(&last, &old).is_err());
        assert!(Checkpoint::open(&last, &new).is_ok());
        let told = log.list(Filter { action: "log.checkpoint_key".into(), ..Filter::default() }).await;
        let changes: Vec<_> = told
            .iter()
            .map(|event| (event.details["change"].clone(), event.details["verifierKey"].clone()))
            .collect();
        let expected = [("ended".to_owned(), old[0].to_string()), ("signs".to_owned(), new[0].to_string())];
        assert_eq!(changes, expected);
        for broken in ["", "x\n"] {
            std::fs::write(file, broken).unwrap();
            grow(&log, 1).await;
            assert_eq!(sign.once().await.unwrap_err().reason, Reason::StorageUnavailable);
        }
    }
}

#[tokio::test]
async fn a_restored_log_goes_on_under_another_name() {
    for log in logs().await {
        let sign = signer(&log);
        grow(&log, 10).await;
        sign.once().await.unwrap();
        let before = newest(&log).await;
        let former = Journal::new(log.db.clone()).rename("test.example/log").await.unwrap();
        assert_eq!(former.as_deref(), Some(before.origin.as_str()));
        assert!(sign.once().await.unwrap(), "the same entries, under the new name");
        let after = newest(&log).await;
        assert_ne!(after.origin, before.origin);
        assert_eq!((after.size, after.root), (before.size, before.root));
    }
}

fn verify(file: &[u8], newest: Checkpoint, older: Vec<Checkpoint>) -> Result<Report, ExportError> {
    let mut verifier = Verifier::new(newest, older)?;
    std::str::from_utf8(file).unwrap().lines().try_for_each(|line| verifier.line(line))?;
    verifier.finish()
}

#[tokio::test]
async fn an_export_verifies_for_the_platform_and_for_each_tenant() {
    for log in logs().await {
        let sign = signer(&log);
        let mut sent = Vec::new();
        for number in 0..60 {
            let one = intent(if number % 7 == 0 { "ten_a" } else { "ten_b" }, &format!("srv_{number}"));
            log.record(&one).await;
            sent.push(one);
            if number == 20 {
                sign.once().await.unwrap();
            }
        }
        let older = newest(&log).await;
        let ends: Vec<_> = sent.iter().rev().take(50).map(|sent| outcome(&sent.event, "succeeded")).collect();
        log.end(&ends).await;
        grow(&log, 300).await;
        sign.once().await.unwrap();
        let now = newest(&log).await;
        let (size, cut) = (now.size, older.size);
        let whole = export_log::written(&log.db, "", 0..size, &[], &now.origin).await;
        let report = verify(&whole, now.clone(), vec![older.clone()]).unwrap();
        assert_eq!((report.entries, report.hidden), (size, 0));
        let own = export_log::written(&log.db, "ten_b", 0..size, &[cut], &now.origin).await;
        let report = verify(&own, now.clone(), vec![older.clone()]).unwrap();
        assert_eq!(report.entries, 51 + 43, "its intents and their outcomes");
        let text = String::from_utf8(own.clone()).unwrap();
        assert!(text.contains("srv_1\"") && !text.contains("srv_7\""), "nothing of another tenant is in it");
        assert!(own.len() < whole.len() / 3);
        let none = export_log::written(&log.db, "ten_none", 0..size, &[cut], &now.origin).await;
        assert_eq!(verify(&none, now.clone(), vec![older]).unwrap().hidden, size);
        // What broke off goes on.
        let first = export_log::written(&log.db, "", 0..100, &[], &now.origin).await;
        let rest = export_log::written(&log.db, "", 100..size, &[], &now.origin).await;
        let body =
            |file: &[u8]| String::from_utf8(file.to_vec()).unwrap().split_once('\n').unwrap().1.to_owned();
        let header = String::from_utf8(whole.clone()).unwrap().split_once('\n').unwrap().0.to_owned();
        assert_eq!(format!("{header}\n{}{}", body(&first), body(&rest)).into_bytes(), whole);
    }
}

/// Each change of what is stored, and what the verification of the next export says.
#[tokio::test]
async fn tampering_with_the_tables_is_found() {
    // With everything that belongs to them: each entry by itself is as it should be.
    let swap = "UPDATE leaf SET seq = -1 WHERE seq = 5;
                UPDATE leaf SET seq = 5 WHERE seq = 6;
                UPDATE leaf SET seq = 6 WHERE seq = -1;
                UPDATE clear_value SET seq = -1 WHERE seq = 5;
                UPDATE clear_value SET seq = 5 WHERE seq = 6;
                UPDATE clear_value SET seq = 6 WHERE seq = -1";
    for (change, found) in [
        ("UPDATE clear_value SET actor = 'prn_other' WHERE seq = 5", "entry 5 is wrong: its actor"),
        ("UPDATE clear_value SET details = '{\"a\":\"b\"}' WHERE seq = 5", "entry 5 is wrong: its details"),
        ("UPDATE clear_value SET salts = '{\"actor\":\"00\"}' WHERE seq = 5", "entry 5 is wrong: its actor"),
        (
            "UPDATE leaf SET hash = (SELECT hash FROM leaf WHERE seq = 6) WHERE seq = 5",
            "entry 5 is wrong: its leaf",
        ),
        ("UPDATE leaf SET bytes = (SELECT bytes FROM leaf WHERE seq = 6) WHERE seq = 5", "entry 5 is wrong"),
        (swap, "do not give the root"),
    ] {
        for log in logs().await {
            let sign = signer(&log);
            grow(&log, 20).await;
            sign.once().await.unwrap();
            let signed = newest(&log).await;
            let mut tx = log.db.begin_internal("tampering").await.unwrap();
            for statement in change.split(';') {
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(tx.conn()).await.unwrap();
            }
            tx.commit().await.unwrap();
            let file = export_log::written(&log.db, "", 0..20, &[], &signed.origin).await;
            let error = verify(&file, signed, vec![]).unwrap_err().to_string();
            assert!(error.contains(found), "{change}: {error}");
        }
    }
}

#[tokio::test]
async fn a_segment_is_exported_forgotten_and_still_proven() {
    let log = logs().await.remove(0);
    let sign = signer(&log);
    let first = intent("ten_a", "srv_first");
    log.record(&first).await;
    fill(&log.db, LEAVES + 40).await;
    log.end(&[outcome(&first.event, "succeeded")]).await;
    sign.once().await.unwrap();
    let signed = newest(&log).await;
    let [segment] = &segment::list(&log.db, i64::MAX, 10).await.unwrap()[..] else { panic!() };
    assert_eq!((segment.number, segment.exported_at, segment.retired_at), (0, None, None));
    let all = hashes(&log, signed.size).await;
    assert_eq!(segment.root, root(&all[..65_536]));
    let write = async |part: u64| {
        let mut tx = log.db.begin_internal("test").await.unwrap();
        segment::exported(&mut tx, 1 - part.min(1), part).await.unwrap();
        tx.commit().await.unwrap();
        segment::get(&log.db, 0).await.unwrap().unwrap().exported_at
    };
    assert_eq!(write(65_535).await, None, "a part of it is not all of it");
    assert!(write(65_536).await.is_some());
    for from in (0..LEAVES).step_by(4_096) {
        let mut tx = log.db.begin_internal("test").await.unwrap();
        segment::forget(&mut tx, from, from + 4_096).await.unwrap();
        segment::retired(&mut tx, 0).await.unwrap();
        tx.commit().await.unwrap();
    }
    let file = export_log::written(&log.db, "", 0..signed.size, &[], &signed.origin).await;
    let report = verify(&file, signed.clone(), vec![]).unwrap();
    assert_eq!((report.hidden, report.entries), (65_536, 42));
    assert_eq!(file.iter().filter(|byte| **byte == b'\n').count(), 44, "one line for all that was forgotten");
    let proof = tree::roots(&log.db, &inclusion(7, signed.size).unwrap()).await.unwrap();
    assert!(verify_inclusion(7, signed.size, all[7], &proof, signed.root));
    assert!(log.list(Filter { target: "srv_first".into(), ..Filter::default() }).await.is_empty());
    sign.once().await.unwrap();
    grow(&log, 1).await;
    assert!(sign.once().await.unwrap(), "the log goes on");
    let late = EventId::random().unwrap();
    log.end(&[outcome(&late, "succeeded")]).await;
}

/// The independent verifier, which was written from the texts of the RFCs and C2SP alone.
mod independent {
    use super::*;
    use keywright_log::tree::Leaves;
    use std::fmt::Write as _;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn python(arguments: &[&str]) -> Command {
        let mut command = Command::new("python3");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/verifier/verify.py");
        command.arg(folder).args(arguments);
        command
    }

    fn says(command: &mut Command) -> (bool, String) {
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Roots of complete subtrees of `entry <i>`, by height.
    struct Trees(Vec<Vec<Hash>>);

    impl Trees {
        fn new(size: u64) -> Self {
            let mut rows =
                vec![(0..size).map(|i| Hash::leaf(format!("entry {i}").as_bytes())).collect::<Vec<_>>()];
            while rows.last().unwrap().len() > 1 {
                let pairs = rows.last().unwrap().chunks_exact(2);
                let above = pairs.map(|pair| Hash::node(pair[0], pair[1])).collect();
                rows.push(above);
            }
            Self(rows)
        }

        fn root(&self, leaves: &Leaves) -> Hash {
            let pieces = keywright_log::tree::subtrees(leaves);
            keywright_log::tree::fold(
                pieces
                    .iter()
                    .map(|piece| self.0[usize::from(piece.height)][(piece.start >> piece.height) as usize])
                    .collect::<Vec<_>>(),
            )
        }

        fn proof(&self, path: &[Leaves]) -> Vec<Hash> {
            path.iter().map(|leaves| self.root(leaves)).collect()
        }
    }

    fn digest(proofs: impl Iterator<Item = Vec<Hash>>) -> String {
        use aws_lc_rs::digest::{Context, SHA256};
        let mut context = Context::new(&SHA256);
        for proof in proofs {
            context.update(&[u8::try_from(proof.len()).unwrap()]);
            proof.iter().for_each(|hash| context.update(hash.bytes()));
        }
        data_encoding::HEXLOWER.encode(context.finish().as_ref())
    }

    #[test]
    fn agrees_on_every_tree_up_to_a_thousand_and_on_larger_ones() {
        let trees = Trees::new(100_000);
        let mut lines = String::new();
        for size in 0..=1_000u64 {
            let inclusions = digest((0..size).map(|i| trees.proof(&inclusion(i, size).unwrap())));
            let consistencies = digest((0..=size).map(|m| trees.proof(&consistency(m, size).unwrap())));
            let root = trees.root(&(0..size)).hex();
            writeln!(
                lines,
                r#"{{"size":{size},"root":"{root}","inclusion":"{inclusions}","consistency":"{consistencies}"}}"#
            )
            .unwrap();
        }
        let hex = |proof: Vec<Hash>| {
            serde_json::to_string(&proof.iter().map(Hash::hex).collect::<Vec<_>>()).unwrap()
        };
        for round in 0..300u64 {
            let mut bytes = [0u8; 16];
            keywright_domain::clock::fill_random(&mut bytes).unwrap();
            let random = u128::from_le_bytes(bytes);
            let size = 1 + u64::try_from(random % 100_000).unwrap();
            let index = u64::try_from((random >> 64) % u128::from(size)).unwrap();
            let root = trees.root(&(0..size)).hex();
            let (name, proof) = match round % 2 {
                0 => ("index", trees.proof(&inclusion(index, size).unwrap())),
                _ => ("from", trees.proof(&consistency(index, size).unwrap())),
            };
            writeln!(lines, r#"{{"{name}":{index},"size":{size},"proof":{},"root":"{root}"}}"#, hex(proof))
                .unwrap();
        }
        let mut child = python(&["agree"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.starts_with("agreed: "), "{said}");
    }

    #[test]
    fn finds_its_own_faults() {
        let (good, said) = says(&mut python(&["self-test"]));
        assert!(good, "{said}");
    }

    #[tokio::test]
    async fn verifies_what_the_log_exports_and_no_more() {
        for log in logs().await {
            let sign = signer(&log);
            grow(&log, 40).await;
            sign.once().await.unwrap();
            let old = checkpoint::newest(&log.db).await.unwrap().unwrap().note;
            grow(&log, 500).await;
            sign.once().await.unwrap();
            let signed = checkpoint::newest(&log.db).await.unwrap().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
            let origin = newest(&log).await.origin;
            let file = export_log::written(&log.db, "", 0..signed.size, &[], &origin).await;
            std::fs::write(path("export"), &file).unwrap();
            std::fs::write(path("checkpoint"), &signed.note).unwrap();
            std::fs::write(path("old"), old).unwrap();
            let key = known(&log).await.remove(0).to_string();
            let run = |export: &str| {
                let arguments = [
                    "export",
                    "--export",
                    &path(export),
                    "--checkpoint",
                    &path("checkpoint"),
                    "--key",
                    &key,
                    "--since",
                    &path("old"),
                ];
                says(&mut python(&arguments))
            };
            let (good, said) = run("export");
            assert!(good && said.starts_with("verified: "), "{said}");
            let text = String::from_utf8(file).unwrap();
            std::fs::write(path("changed"), text.replacen("srv_1", "srv_2", 1)).unwrap();
            let (good, said) = run("changed");
            assert!(!good && said.starts_with("refused: "), "{said}");
        }
    }
}
