//! The log handed on to real receivers, on both databases: everything, in order, whatever fails in between.

#[path = "receivers.rs"]
mod receivers;

use crate::adapters::destination::Destination;
use crate::adapters::syslog_message::{Cut, Host, message};
use crate::app::append::Appender;
use crate::app::contradicts::{Contradiction, contradicts};
use crate::app::hand_on::HandOn;
use crate::app::record_intent::{Intent, RecordIntent};
use crate::app::record_outcomes::{Outcome, RecordOutcomes};
use crate::forwarding::{Forwarding, ForwardingError, ForwardingSettings};
use crate::store::event::Open;
use crate::store::record::{self, Record};
use keywright_domain::clock::Clock;
use keywright_domain::ids::EventId;
use keywright_domain::secret::Secret;
use keywright_egress::Lines;
use keywright_log::leaf::Clear;
use keywright_log::note::Signer;
use keywright_log::{Checkpoint, Hash};
use keywright_storage::{Columns, Db, Source};
use receivers::{Got, Manner, SECRET, otlp, rfc5424, syslog_tcp, syslog_tls, syslog_udp, webhook};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct World {
    db: Db,
    source: Source,
    log: Appender,
    time: Arc<AtomicI64>,
    dir: tempfile::TempDir,
}

async fn world(postgres: bool) -> World {
    let dir = tempfile::tempdir().unwrap();
    let source = match postgres {
        false => Source::Directory(dir.path().to_owned()),
        true => Source::Postgres(keywright_kit::postgres_database().await.unwrap()),
    };
    let time = Arc::new(AtomicI64::new(1_700_000_000_000_000));
    let db = open(&source, &time).await;
    World { log: Appender::new(db.clone()), db, source, time, dir }
}

async fn open(source: &Source, time: &Arc<AtomicI64>) -> Db {
    Db::open(source, "audit", &crate::MIGRATIONS, Clock::Manual(time.clone())).await.unwrap()
}

async fn worlds() -> Vec<World> {
    vec![world(false).await, world(true).await]
}

#[derive(Default)]
struct Places<'a> {
    urls: Vec<&'a str>,
    file: Option<PathBuf>,
    hook: Option<&'a str>,
    ca: Option<PathBuf>,
}

fn forwarding(places: &Places<'_>, secret: Option<&str>) -> Result<Forwarding, ForwardingError> {
    let lines = Lines::anywhere_but(Vec::new(), Vec::new());
    Forwarding::new(ForwardingSettings {
        urls: places.urls.iter().map(|url| (*url).to_owned()).collect(),
        secret: secret.map(|secret| Secret::from_text(secret.to_owned())),
        checkpoint_file: places.file.clone(),
        checkpoint_webhook: places.hook.map(str::to_owned),
        lines: match &places.ca {
            Some(ca) => lines.trusting(ca).unwrap(),
            None => lines,
        },
    })
}

/// A running replica; dropped, it is killed where it stands.
fn replica(db: &Db, places: &Places<'_>) -> (JoinSet<()>, CancellationToken) {
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for feed in forwarding(places, Some(SECRET)).unwrap().feeds {
        tasks.spawn(HandOn::new(db.clone(), feed).without_pauses().run(stop.clone()));
    }
    (tasks, stop)
}

async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), waiting).await.is_ok(), "{what}");
}

impl World {
    async fn intent(&self, comment: &str, agent: &str) -> EventId {
        let event = EventId::random().unwrap();
        let intent = Intent {
            event: event.clone(),
            open: Open {
                actor_kind: "user".into(),
                tenant: "ten_a".into(),
                action: "server.register".into(),
                comment: comment.into(),
                ..Open::default()
            },
            clear: Clear {
                actor: "prn_a".into(),
                target: "srv_1".into(),
                source_ip: "192.0.2.7".into(),
                user_agent: agent.into(),
                details: BTreeMap::from([("port".to_owned(), "22".to_owned())]),
            },
            spooled_at: None,
        };
        RecordIntent { log: self.log.clone() }.run(intent).await.unwrap();
        event
    }

    async fn end(&self, event: &EventId, outcome: &'static str, reason: &str) {
        let outcome =
            Outcome { event: event.to_string(), outcome, reason: reason.into(), details: BTreeMap::new() };
        RecordOutcomes { log: self.log.clone() }.run(vec![outcome]).await.unwrap();
    }

    async fn intents(&self, count: usize) {
        for _ in 0..count {
            self.intent("", "").await;
        }
    }

    /// Until the cursors of all that is forwarded stand here: what is recorded after it is sent.
    async fn begun(&self, readers: i64, at: i64) {
        eventually("the readers begin", async || {
            let query = "SELECT COUNT(*) AS number FROM reader WHERE next_seq = $1 AND name <> 'alerts'";
            let row = sqlx::query(query).bind(at).fetch_one(self.db.read()).await.unwrap();
            row.int::<i64>("number").unwrap() == readers
        })
        .await;
    }

    async fn execute(&self, text: &'static str) {
        let mut tx = self.db.begin_append().await.unwrap();
        sqlx::query(text).execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn checkpoint(&self, signer: &Signer, number: i64, size: u64) -> String {
        let origin = signer.verifier().name().to_owned();
        let root = Hash::leaf(format!("{number} {size}").as_bytes());
        let note = Checkpoint { origin, size, root }.sign(std::slice::from_ref(signer));
        let mut tx = self.db.begin_append().await.unwrap();
        let query = "INSERT INTO origin (number, origin, from_size, started_at) VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING";
        sqlx::query(query).bind(number).bind(signer.verifier().name()).execute(tx.conn()).await.unwrap();
        let query =
            "INSERT INTO checkpoint (origin_number, size, root, note, signed_at) VALUES ($1, $2, $3, $4, $5)";
        let query = sqlx::query(query).bind(number).bind(i64::try_from(size).unwrap()).bind(root.hex());
        query.bind(&note).bind(1_700_000_000_000_000i64).execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
        note
    }
}

fn signer(name: &str) -> Signer {
    use aws_lc_rs::signature::Ed25519KeyPair;
    Signer::new(name, Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref()).unwrap()
}

/// Everything is there, nothing goes back but to the beginning of what was sent again.
fn is_whole(sequences: &[i64], from: i64, until: i64, portion: i64) {
    let mut next = from;
    for &sequence in sequences {
        assert!(
            sequence <= next && sequence >= next - portion,
            "{sequence} after {}: {sequences:?}",
            next - 1
        );
        next = sequence + 1;
    }
    assert_eq!(next, until, "{sequences:?}");
    let seen: std::collections::BTreeSet<i64> = sequences.iter().copied().collect();
    assert_eq!(seen, (from..until).collect());
}

#[tokio::test]
async fn every_kind_of_destination_gets_what_comes_after_its_start_once_and_in_order() {
    for world in worlds().await {
        let gots: [Got; 5] = Default::default();
        let [tcp, tls, udp, grpc, http] = &gots;
        let urls = [
            syslog_tcp(tcp).await,
            syslog_tls(tls, world.dir.path()).await,
            syslog_udp(udp).await,
            otlp(grpc).await,
            webhook(http).await,
        ];
        world.intents(3).await;
        let ca = Some(world.dir.path().join("ca.pem"));
        let places = Places { urls: urls.iter().map(String::as_str).collect(), ca, ..Places::default() };
        let _running = replica(&world.db, &places);
        world.begun(5, 3).await;
        let event = world.intent("why", "curl/8").await;
        world.end(&event, "interrupted", "").await;
        world.end(&event, "failed", "KEY_REFUSED").await;
        for got in &gots {
            eventually("all three arrive", async || got.sequences().len() >= 3).await;
            assert_eq!(got.sequences(), [3, 4, 5]);
            let records = got.records();
            let column =
                |name: &str| records.iter().map(|it| it[name].as_str()).collect::<Vec<_>>().join(" ");
            assert_eq!(column("kind"), "INTENT OUTCOME OUTCOME");
            assert_eq!(column("outcome"), "PENDING INTERRUPTED FAILED");
            assert_eq!(column("eventId"), [event.as_str(); 3].join(" "));
            assert_eq!(column("action"), ["server.register"; 3].join(" "));
            for (name, value) in [
                ("actor", "prn_a"),
                ("actorKind", "user"),
                ("tenantId", "ten_a"),
                ("target", "srv_1"),
                ("sourceIp", "192.0.2.7"),
                ("userAgent", "curl/8"),
                ("comment", "why"),
            ] {
                assert_eq!(column(name), [value; 3].join(" "));
            }
            assert_eq!(records[2]["reason"], "KEY_REFUSED");
            assert!(
                records[0]["details"].contains("22") && records.iter().all(|it| it["leafHash"].len() == 64)
            );
        }
    }
}

#[tokio::test]
async fn no_value_splits_a_record_or_ends_an_element() {
    let world = world(false).await;
    let gots: [Got; 4] = Default::default();
    let [tcp, udp, grpc, http] = &gots;
    let urls = [syslog_tcp(tcp).await, syslog_udp(udp).await, otlp(grpc).await, webhook(http).await];
    let places = Places { urls: urls.iter().map(String::as_str).collect(), ..Places::default() };
    let _running = replica(&world.db, &places);
    world.begun(4, 0).await;
    let injected = "\"] x\n<110>1 - - - - - [a b=\"c\\\"]\r\n\0\u{85}\u{2028}\u{feff}\u{1b}[2J\\";
    let clean: String = injected
        .chars()
        .map(|c| if "\n\r\0\u{85}\u{2028}\u{feff}\u{1b}".contains(c) { '\u{fffd}' } else { c })
        .collect();
    let long = format!("{injected}{}é\"", "]".repeat(60_000));
    world.intent(&long, injected).await;
    world.intent("after it", injected).await;
    for got in &gots {
        eventually("both arrive", async || got.sequences().len() >= 2).await;
        assert_eq!(got.sequences(), [0, 1]);
    }
    let agent = |got: &Got| got.records()[0]["userAgent"].clone();
    assert_eq!([agent(tcp), agent(udp)], [clean.clone(), clean.clone()]);
    assert_eq!([agent(grpc), agent(http)], [injected, injected]);
    assert_eq!(tcp.records()[0]["comment"], long.replace(injected, &clean));
    assert_eq!([&grpc.records()[0]["comment"], &http.records()[0]["comment"]], [&long, &long]);
    assert!(udp.records()[0]["comment"].starts_with(&clean) && udp.records()[0]["comment"].len() < 400);
}

#[tokio::test]
async fn what_fails_hangs_or_is_killed_in_the_middle_costs_nothing_but_repetitions() {
    for world in worlds().await {
        let gots: [Got; 3] = Default::default();
        let [tcp, grpc, http] = &gots;
        let urls = [syslog_tcp(tcp).await, otlp(grpc).await, webhook(http).await];
        let places = Places { urls: urls.iter().map(String::as_str).collect(), ..Places::default() };
        let (tasks, stop) = replica(&world.db, &places);
        world.begun(3, 0).await;
        for got in &gots {
            // The last hangs until this replica is killed.
            got.then(&[Manner::Dies, Manner::Takes, Manner::Dies, Manner::Fails, Manner::Hangs]);
        }
        tcp.then(&[Manner::Dies, Manner::Takes, Manner::Dies, Manner::Fails]);
        world.intents(40).await;
        for (got, connections) in [(tcp, 4), (grpc, 5), (http, 5)] {
            eventually("it comes to hang", async || {
                world.intent("", "").await;
                got.connections() >= connections
            })
            .await;
        }
        drop((tasks, stop));
        world.intents(300).await;
        // The leases of the one that was killed end by themselves.
        world.time.fetch_add(31_000_000, Ordering::SeqCst);
        let _running = replica(&world.db, &places);
        let (size, _) = crate::store::log::head(&world.db).await.unwrap();
        for got in &gots {
            eventually("the rest arrives", async || got.sequences().last() == Some(&(size - 1))).await;
            is_whole(&got.sequences(), 0, size, 200);
        }
    }
}

#[tokio::test]
async fn a_receiver_that_takes_only_small_portions_gets_small_ones() {
    let world = world(false).await;
    let got = Got::default();
    got.most.store(3, Ordering::SeqCst);
    let url = webhook(&got).await;
    let places = Places { urls: vec![&url], ..Places::default() };
    let _running = replica(&world.db, &places);
    world.begun(1, 0).await;
    world.intents(60).await;
    eventually("all of it arrives", async || got.sequences().last() == Some(&59)).await;
    assert_eq!(got.sequences(), (0..60).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_receiver_that_never_reads_holds_up_nobody() {
    for world in worlds().await {
        let (hung, well) = (Got::default(), Got::default());
        hung.then(&[Manner::Hangs; 100]);
        let urls = [syslog_tcp(&hung).await, webhook(&well).await];
        let places = Places { urls: urls.iter().map(String::as_str).collect(), ..Places::default() };
        let _running = replica(&world.db, &places);
        world.begun(2, 0).await;
        let big = "x".repeat(50_000);
        world.intent(&big, "").await;
        eventually("it hangs", async || hung.connections() > 0).await;
        let started = std::time::Instant::now();
        for _ in 0..100 {
            world.intent(&big, "").await;
        }
        eventually("the other has all", async || well.sequences().len() == 101).await;
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
        assert!(hung.sequences().is_empty());
        is_whole(&well.sequences(), 0, 101, 0);
    }
}

#[tokio::test]
async fn two_replicas_at_once_keep_the_order() {
    let world = world(true).await;
    let gots: [Got; 3] = Default::default();
    let [tcp, grpc, http] = &gots;
    let urls = [syslog_tcp(tcp).await, otlp(grpc).await, webhook(http).await];
    let places = Places { urls: urls.iter().map(String::as_str).collect(), ..Places::default() };
    let other = open(&world.source, &world.time).await;
    let _running = [replica(&world.db, &places), replica(&other, &places)];
    world.begun(3, 0).await;
    let appenders = [world.log.clone(), Appender::new(other.clone())];
    for round in 0..20 {
        http.then(&[Manner::Dies, Manner::Takes]);
        let appends = (0..20).map(|number| {
            let intent = Intent {
                event: EventId::random().unwrap(),
                open: Open { action: format!("round.{round}"), ..Open::default() },
                clear: Clear::default(),
                spooled_at: None,
            };
            let log = appenders[number % 2].clone();
            tokio::spawn(async move { RecordIntent { log }.run(intent).await.unwrap() })
        });
        for append in appends.collect::<Vec<_>>() {
            append.await.unwrap();
        }
    }
    for got in &gots {
        eventually("all arrive", async || got.sequences().last() == Some(&399)).await;
        // No process died: nothing comes twice.
        is_whole(&got.sequences(), 0, 400, 0);
    }
}

#[tokio::test]
async fn checkpoints_are_published_in_order_under_each_origin() {
    for world in worlds().await {
        let (first, second) = (signer("log.example/1"), signer("log.example/2"));
        world.intents(9).await;
        world.checkpoint(&first, 1, 3).await;
        let mut notes = vec![world.checkpoint(&first, 1, 5).await];
        let (got, file) = (Got::default(), world.dir.path().join("checkpoint"));
        let url = webhook(&got).await;
        let places = Places { file: Some(file.clone()), hook: Some(&url), ..Places::default() };
        let (tasks, _stop) = replica(&world.db, &places);
        let is_published = async |note: &String| {
            eventually("it is published", async || {
                std::fs::read_to_string(&file).is_ok_and(|text| text == *note)
                    && got.records().last().is_some_and(|last| last["note"] == *note)
            })
            .await;
        };
        is_published(&notes[0]).await;
        got.then(&[Manner::Dies, Manner::Takes]);
        notes.push(world.checkpoint(&first, 1, 7).await);
        is_published(&notes[1]).await;
        drop(tasks);
        world.time.fetch_add(31_000_000, Ordering::SeqCst);
        // Under a new origin, with a size that the old one has.
        notes.push(world.checkpoint(&second, 2, 7).await);
        notes.push(world.checkpoint(&second, 2, 9).await);
        let _running = replica(&world.db, &places);
        is_published(&notes[3]).await;
        // What was on its way when the replica was killed may come again.
        let mut posted: Vec<String> = got.records().iter().map(|record| record["note"].clone()).collect();
        posted.dedup();
        assert_eq!(posted, notes);
        let history = std::fs::read_to_string(world.dir.path().join("checkpoint.history")).unwrap();
        let mut lines: Vec<serde_json::Value> =
            history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.dedup();
        assert_eq!(lines.iter().map(|line| line["note"].as_str().unwrap()).collect::<Vec<_>>(), notes);
        let newest = serde_json::json!({
            "signedAt": "2023-11-14T22:13:20.000000Z",
            "origin": "log.example/2",
            "size": 9,
            "root": Hash::leaf(b"2 9").base64(),
            "note": notes[3],
        });
        assert_eq!(lines[3], newest);
        assert!(!world.dir.path().join("checkpoint.new").exists());
    }
}

#[tokio::test]
async fn a_published_checkpoint_that_is_not_one_of_the_log_stays() {
    for world in worlds().await {
        let log = signer("log.example/1");
        world.intents(9).await;
        let five = world.checkpoint(&log, 1, 5).await;
        let seven = world.checkpoint(&log, 1, 7).await;
        assert_eq!(contradicts(&world.db, &five).await.unwrap(), None);
        let signed = |size, root: &[u8]| {
            let origin = "log.example/1".to_owned();
            Checkpoint { origin, size, root: Hash::leaf(root) }.sign(std::slice::from_ref(&log))
        };
        let (longer, other) = (signed(10, b"1 10"), signed(7, b"other"));
        let unsigned = signed(6, b"1 6");
        for (note, why) in [
            (longer.as_str(), Contradiction::Larger { published: 10, size: 9 }),
            (other.as_str(), Contradiction::Unknown { published: 7 }),
            (unsigned.as_str(), Contradiction::Unknown { published: 6 }),
            ("root:x:0:0:root:/root:/bin/sh\n", Contradiction::NotACheckpoint),
            ("a\n-1\nb\n", Contradiction::NotACheckpoint),
        ] {
            assert_eq!(contradicts(&world.db, note).await.unwrap(), Some(why), "{note}");
        }
        let file = world.dir.path().join("checkpoint");
        std::fs::write(&file, &longer).unwrap();
        let (got, places) = (Got::default(), Places { file: Some(file.clone()), ..Places::default() });
        let url = webhook(&got).await;
        let _running = replica(&world.db, &Places { hook: Some(&url), ..places });
        eventually("the webhook gets it", async || got.records().len() == 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), longer);
        assert!(!world.dir.path().join("checkpoint.history").exists());
        // Moved away, it goes on.
        std::fs::remove_file(&file).unwrap();
        eventually("it is written", async || std::fs::read_to_string(&file).is_ok_and(|text| text == seven))
            .await;
        // The table of checkpoints alone does not make a log of that length.
        world.execute("UPDATE head SET size = 6 WHERE id = 'log'").await;
        let cut = contradicts(&world.db, &seven).await.unwrap();
        assert_eq!(cut, Some(Contradiction::Larger { published: 7, size: 6 }));
    }
}

#[tokio::test]
async fn the_head_and_the_line_of_a_syslog_message_say_what_happened() {
    let world = world(false).await;
    let event = world.intent("", "").await;
    world.end(&event, "denied", "NOT_ALLOWED").await;
    let records = record::from(&world.db, 0, 10).await.unwrap();
    let parsed = |record: &Record| rfc5424(&message(record, &Host::own(), Cut::Nothing));
    let [begun, denied] = [parsed(&records[0]), parsed(&records[1])];
    assert_eq!((begun.priority, begun.msgid.as_str()), (13 * 8 + 5, "server.register"));
    assert_eq!(begun.text, "server.register pending by prn_a on srv_1 from 192.0.2.7");
    assert_eq!((denied.priority, denied.fields["reason"].as_str()), (13 * 8 + 4, "NOT_ALLOWED"));
    assert!(denied.text.starts_with("server.register denied NOT_ALLOWED by prn_a"), "{}", denied.text);
    let odd = Record {
        action: format!("two words é\n{}", "x".repeat(40)),
        outcome: "SUCCEEDED".into(),
        ..records[0].clone()
    };
    let odd = parsed(&odd);
    assert_eq!((odd.priority, odd.msgid), (13 * 8 + 6, format!("twowords{}", "x".repeat(24))));
    let nothing = parsed(&Record { action: String::new(), ..records[0].clone() });
    assert_eq!(nothing.msgid, "-");
}

#[tokio::test]
async fn what_may_not_be_dialled_or_is_not_trusted_gets_nothing() {
    let world = world(false).await;
    world.intent("", "").await;
    let records = record::from(&world.db, 0, 10).await.unwrap();
    let got = Got::default();
    let untrusted = syslog_tls(&got, world.dir.path()).await;
    let lines = Lines::anywhere_but(vec!["192.0.2.0/24".parse().unwrap()], Vec::new());
    let secret = Arc::new(Secret::new(vec![1; 32]));
    for (url, why) in [
        ("syslog+tcp://169.254.169.254:80", "its address may not be dialled from here"),
        ("syslog+udp://[fe80::1]:514", "its address may not be dialled from here"),
        ("syslog+udp://224.0.0.1:514", "its address may not be dialled from here"),
        ("otlp://169.254.169.254:4317", "its address may not be dialled from here"),
        ("https://[::ffff:169.254.169.254]/", "its address may not be dialled from here"),
        ("otlps://192.0.2.1:4317", "its address may not be dialled from here"),
        ("http://198.51.100.1/", "must be an https:// URL: plain http is for this machine alone"),
        (untrusted.as_str(), "its TLS certificate is not trusted, or TLS failed"),
    ] {
        let destination = Destination::parse(url, &lines, Some(&secret)).unwrap();
        let refused = destination.send(&records, world.db.now().await.unwrap()).await.unwrap_err();
        assert_eq!(refused, why, "{url}");
    }
    assert!(got.sequences().is_empty());
}

#[test]
fn what_cannot_be_forwarded_to_is_refused_in_words_without_secrets() {
    let refused = |urls: &[&str], hook, secret| {
        let places = Places { urls: urls.to_vec(), hook, ..Places::default() };
        forwarding(&places, secret).err().unwrap().to_string()
    };
    let twice = ["otlp://a.example:4317", "otlp://a.example:4317/"];
    assert_eq!(refused(&twice, None, None), "--audit-forward names otlp://a.example:4317 twice");
    let hidden = refused(&["syslog+tcp://user:hush@a.example:601"], None, None);
    assert!(
        hidden.starts_with("--audit-forward syslog+tcp://a.example:601 must be") && !hidden.contains("hush")
    );
    let unsigned = refused(&["https://a.example/in?token=hush"], None, None);
    assert!(
        unsigned.contains("needs --audit-forward-secret-file") && !unsigned.contains("hush"),
        "{unsigned}"
    );
    assert!(refused(&[], None, Some("hush")).starts_with("--audit-forward-secret-file: its first line"));
    let hook = refused(&[], Some("otlp://a.example:4317"), Some(SECRET));
    assert!(hook.starts_with("--audit-checkpoint-webhook otlp://a.example:4317 is not usable"), "{hook}");
}
