//! Lists a server's tests, newest first.

use crate::adapters::directory::Directory;
use crate::report::ConnectivityTest;
use crate::store::connectivity_test;
use keywright_domain::caller::Caller;
use keywright_domain::ids::TestId;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;
use keywright_storage::Db;
use tracing::instrument;

const ACTION: &str = "connectivity_test.list";

pub struct ListTests {
    pub db: Db,
    pub guard: Guard,
    pub directory: Directory,
}

impl ListTests {
    #[instrument(skip_all)]
    pub async fn run(
        &self,
        caller: &Caller,
        server: &str,
        size: i32,
        token: &str,
    ) -> Result<(Vec<ConnectivityTest>, String), Failure> {
        let server = super::server(&self.directory, &self.guard, caller, ACTION, server).await?;
        let page = Page::parse(size, token, server.id.as_str())?;
        let tests = connectivity_test::list(&self.db, &server.id, &page).await?;
        Ok(page.cut(tests, |test| {
            (test.checked_at, test.id.as_ref().map(TestId::as_str).unwrap_or_default().to_owned())
        }))
    }
}
