//! Which directory may name which crate. A driver has one room; use cases and the domain have none; services do not
//! know one another.

use crate::finding::Finding;
use crate::syntax::Named;

/// A driver, by the prefix of its crates' names, and the room where it may be named.
struct Driver {
    name: &'static str,
    rule: &'static str,
    open: fn(&str, &Named) -> bool,
}

const DRIVERS: &[Driver] = &[
    Driver {
        name: "russh",
        rule: "russh is named in services/lib/ssh only",
        open: |path, _| path.starts_with("services/lib/ssh/"),
    },
    Driver {
        name: "vaultrs",
        rule: "vaultrs is named in credential-store/src/adapters only",
        open: |path, _| path.starts_with("services/credential-store/src/adapters/"),
    },
    Driver {
        name: "sqlx",
        rule: "sqlx is named in services/lib/storage and store/ only",
        open: |path, name| {
            path.starts_with("services/lib/storage/")
                || service(path)
                    .is_some_and(|(_, room)| room == "store" || room == "lib.rs" && is_migrator(name))
        },
    },
    Driver {
        name: "axum",
        rule: "axum is named in gateway/api only",
        open: |path, _| path.starts_with("gateway/api/"),
    },
    Driver {
        name: "cedar_policy",
        rule: "cedar_policy is named in services/lib/policy only",
        open: |path, _| path.starts_with("services/lib/policy/"),
    },
    Driver {
        name: "opentelemetry",
        rule: "opentelemetry is named in services/lib/runtime, and where the log is sent as OTLP logs",
        open: |path, _| {
            path.starts_with("services/lib/runtime/") || path == "services/audit/src/adapters/otlp.rs"
        },
    },
    Driver {
        name: "tracing_opentelemetry",
        rule: "opentelemetry is named in services/lib/runtime only",
        open: |path, _| path.starts_with("services/lib/runtime/"),
    },
];

/// What neither a use case nor the domain may name.
const OUTSIDE: &[&str] = &["tonic", "prost", "russh", "vaultrs", "sqlx", "axum", "reqwest", "hyper"];
const SERVICES: &[&str] = &[
    "keywright_credential_store",
    "keywright_key_lifecycle",
    "keywright_connectivity_probe",
    "keywright_audit",
    "keywright_gateway",
    "keywright_server",
];
/// What the command-line client may know of Keywright besides itself: the words, not the machinery.
const KNOWN_TO_CLI: &[&str] = &["keywright_cli", "keywright_domain", "keywright_log", "keywright_proto"];

/// `sqlx::migrate!()` and the type of what it makes.
fn is_migrator(name: &Named) -> bool {
    name.path.get(1).is_some_and(|second| second == "migrate")
}

/// The service and the room (a directory or file of its `src`) that a path lies in.
fn service(path: &str) -> Option<(&str, &str)> {
    let (service, rest) = path.strip_prefix("services/")?.split_once('/')?;
    let (room, _) = rest.strip_prefix("src/")?.split_once('/').unwrap_or((rest.strip_prefix("src/")?, ""));
    Some((service, if room == "lib.rs" { room } else { room.trim_end_matches(".rs") }))
}

fn is(root: &str, driver: &str) -> bool {
    root.strip_prefix(driver).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// The crate that a path belongs to, as it is named in code.
fn own(path: &str) -> Option<&'static str> {
    let directory = |name: &str| match name {
        "keywright_gateway" => "gateway/api/".to_owned(),
        name => format!("services/{}/", name.trim_start_matches("keywright_").replace('_', "-")),
    };
    SERVICES.iter().copied().find(|name| path.starts_with(&directory(name)))
}

pub fn check(path: &str, names: &[Named]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in names {
        let root = name.root();
        let mut broken = |rule: String| findings.push(Finding::new(path, name.line, rule));
        if SERVICES.contains(&root) && own(path) != Some(root) && !path.starts_with("services/server/") {
            broken(format!("{root} is named in services/server only: call it by gRPC or HTTP"));
        }
        if name.test {
            continue;
        }
        for driver in DRIVERS.iter().filter(|driver| is(root, driver.name) && !(driver.open)(path, name)) {
            broken(driver.rule.to_owned());
        }
        let is_outside = OUTSIDE.iter().any(|driver| is(root, driver));
        if is_outside && service(path).is_some_and(|(_, room)| room == "app") {
            broken(format!("app/ names no transport and no driver: {root}"));
        }
        if (is_outside || is(root, "tokio")) && path.starts_with("services/lib/domain/") {
            broken(format!("lib/domain names no transport and no driver: {root}"));
        }
        if name.reexport && DRIVERS.iter().any(|driver| is(root, driver.name)) {
            broken(format!("a driver is not handed on by `pub use`: {root}"));
        }
        if path.starts_with("gateway/cli/") && root.starts_with("keywright_") && !KNOWN_TO_CLI.contains(&root)
        {
            broken(format!("gateway/cli calls the API and names no crate of the services: {root}"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::assert_none;
    use crate::{sources, syntax};

    #[test]
    fn every_driver_stays_in_its_room() {
        let (files, mut findings) = sources::rust(&["services", "gateway", "proto"]);
        findings
            .extend(files.iter().flat_map(|rust| check(&rust.path, &syntax::names(&rust.file, rust.test))));
        assert_none(findings);
    }

    fn rules(path: &str, text: &str) -> Vec<(usize, String)> {
        let names = syntax::names(&syn::parse_file(text).unwrap(), false);
        check(path, &names).into_iter().map(|finding| (finding.line, finding.rule)).collect()
    }

    #[test]
    fn each_driver_is_found_outside_its_room_and_not_in_it() {
        for (name, home) in [
            ("russh::client::Handle", "services/lib/ssh/src/dial.rs"),
            ("vaultrs::kv2::read", "services/credential-store/src/adapters/custody/vault.rs"),
            ("sqlx::query", "services/audit/src/store/event.rs"),
            ("sqlx::query", "services/lib/storage/src/db.rs"),
            ("axum::Router", "gateway/api/src/rest.rs"),
            ("cedar_policy::Policy", "services/lib/policy/src/lib.rs"),
            ("opentelemetry_sdk::Resource", "services/lib/runtime/src/telemetry.rs"),
            ("opentelemetry_proto::tonic", "services/audit/src/adapters/otlp.rs"),
            ("tracing_opentelemetry::layer", "services/lib/runtime/src/telemetry.rs"),
        ] {
            let text = format!("// a comment\nfn f() {{ ::{name}(); }}");
            assert_eq!(rules(home, &text), []);
            let found = rules("services/key-lifecycle/src/rotation/drive.rs", &text);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert_eq!(found[0].0, 2);
        }
    }

    #[test]
    fn a_services_lib_names_its_migrations_and_nothing_else_of_sqlx() {
        let path = "services/audit/src/lib.rs";
        assert_eq!(rules(path, "pub static M: sqlx::migrate::Migrator = sqlx::migrate!();"), []);
        assert_eq!(
            rules(path, "fn f(pool: sqlx::AnyPool) {}")[0].1,
            "sqlx is named in services/lib/storage and store/ only"
        );
    }

    #[test]
    fn a_use_case_names_no_transport() {
        for name in
            ["tonic::Status", "prost_types::Timestamp", "reqwest::Client", "axum::Router", "sqlx::query"]
        {
            let text = format!("fn f() {{ say!({name}); }}");
            for path in [
                "services/audit/src/app/list.rs",
                "services/audit/src/app.rs",
                "services/lib/domain/src/ids.rs",
            ] {
                assert!(
                    rules(path, &text).iter().any(|(_, rule)| rule.contains("no transport")),
                    "{name} in {path}"
                );
            }
            assert_eq!(
                rules("services/audit/src/app/list.rs", &format!("#[cfg(test)] mod tests {{ {text} }}")),
                []
            );
        }
    }

    #[test]
    fn a_driver_is_not_handed_on() {
        let rule = "a driver is not handed on by `pub use`: sqlx";
        assert_eq!(
            rules("services/lib/storage/src/lib.rs", "pub use sqlx::AnyPool;"),
            [(1, rule.to_owned())]
        );
        assert_eq!(
            rules("services/audit/src/store/mod.rs", "pub(crate) use sqlx as db;"),
            [(1, rule.to_owned())]
        );
        assert_eq!(rules("services/audit/src/store/mod.rs", "use sqlx::Row;"), []);
    }

    #[test]
    fn services_do_not_know_one_another() {
        let text = "use keywright_audit::build;";
        assert_eq!(rules("services/server/src/roles.rs", text), []);
        assert_eq!(rules("services/audit/tests/it/main.rs", text), []);
        for path in [
            "services/key-lifecycle/src/lib.rs",
            "services/lib/runtime/src/audit.rs",
            "gateway/api/src/rest.rs",
        ] {
            assert_eq!(rules(path, text).len(), 1, "{path}");
            assert_eq!(
                rules(path, &format!("#[cfg(test)] mod tests {{ {text} }}")).len(),
                1,
                "{path}, in tests"
            );
        }
    }

    #[test]
    fn the_cli_knows_no_service() {
        assert_eq!(rules("gateway/cli/src/main.rs", "use keywright_runtime::keys;").len(), 1);
        assert_eq!(rules("gateway/cli/src/main.rs", "use keywright_domain::reason::Reason;"), []);
    }
}
