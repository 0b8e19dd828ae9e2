//! Looking all the time, whatever happens: nobody is locked out, and no access has two keys in use.

use std::time::Duration;

use keywright_e2e::gates::Gates;
use keywright_kit::{TestHost, ssh};

use super::case::Case;

/// Between two looks, so that looking does not take the whole machine.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is looked at, and where his key must open.
pub struct Watched<'a> {
    cases: Vec<(&'a Case, Vec<&'a TestHost>)>,
    gates: &'a Gates,
}

impl<'a> Watched<'a> {
    pub fn of([home, far]: [&'a TestHost; 2], gates: &'a Gates, cases: &'a [Case]) -> Self {
        let on = |case: &Case| if case.is_needed_on_both() { vec![home, far] } else { vec![home] };
        Self { cases: cases.iter().map(|case| (case, on(case))).collect(), gates }
    }

    /// Looks at one after the other for as long as it takes.
    pub async fn during<T>(&self, doing: impl Future<Output = T>) -> T {
        let looking = async {
            loop {
                for (case, hosts) in &self.cases {
                    look(self.gates, case, hosts).await;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        tokio::select! {
            () = looking => unreachable!("nobody stops looking"),
            done = doing => done,
        }
    }

    pub async fn once(&self) {
        for (case, hosts) in &self.cases {
            look(self.gates, case, hosts).await;
        }
    }
}

/// A host that nobody can reach says nothing about keys.
async fn look(gates: &Gates, case: &Case, hosts: &[&TestHost]) {
    let in_use = gates.versions(&case.account, "state = 'ACTIVE'").await;
    assert!(in_use <= 1, "{in_use} keys of {} are in use: {:?}", case.account, case.moment);
    let Some(key) = case.needed() else { return };
    for host in hosts {
        let output = ssh(host, &case.account, &key.path(), "true").await;
        let file = host.read_authorized_keys(&case.account).unwrap_or_default();
        let locked_out = output.stderr.contains("Permission denied");
        assert!(!locked_out, "locked out: {:?}\n{}", case.moment, String::from_utf8_lossy(&file));
    }
    assert_eq!(in_use, 1, "no key of {} is in use: {:?}", case.account, case.moment);
}
