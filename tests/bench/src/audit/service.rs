//! The audit service as a process of its own, with the product's own client: each call carries a proof of who sends it.

use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Clock;
use keywright_e2e::apart::Apart;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::clients::Outbound;
use keywright_runtime::keys;
use keywright_runtime::peer::{Peers, remote};
use keywright_runtime::token::Signer;

pub struct Service {
    client: Audit,
    _processes: Apart,
}

impl Service {
    /// On files, or on this database.
    pub async fn start(database: Option<&str>) -> Self {
        let on = database.map(|url| vec!["--database-url".to_owned(), url.to_owned()]);
        let processes = Apart::start_with(on.unwrap_or_default());
        let own = ServiceName::KeyLifecycle;
        let key = keys::signing_key(&processes.data(), own.as_str()).unwrap();
        let peers = Peers::new();
        peers.set(ServiceName::Audit, remote(&processes.url("audit"), None).unwrap());
        let client = Audit::new(Outbound::new(own, peers, Signer::new(key, Clock::System)));
        let service = Self { client, _processes: processes };
        while service.try_append(0).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        service
    }

    pub async fn append(&self, number: usize) {
        self.try_append(number).await.unwrap();
    }

    async fn try_append(&self, number: usize) -> Result<(), keywright_runtime::failure::Failure> {
        let caller = Caller::background(ServiceName::KeyLifecycle, "bench");
        let entry = Entry::new("server.register").detail("name", format!("web-{number}"));
        self.client.intend(&caller, entry).await.map(drop)
    }
}
