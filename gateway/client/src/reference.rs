//! References: what a service needs is not deleted under it.

use keywright_proto::credential::directory_service_client::DirectoryServiceClient;
use keywright_proto::credential::{AddReferenceRequest, RemoveReferenceRequest};

use crate::connect::{Client, answer};
use crate::error::Error;

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// `srv_…`
    Server(&'a str),
    /// `sshcred_…`
    Credential(&'a str),
}

impl Subject<'_> {
    /// The ids of server and credential; one of them is empty.
    fn ids(self) -> (String, String) {
        match self {
            Self::Server(id) => (id.to_owned(), String::new()),
            Self::Credential(id) => (String::new(), id.to_owned()),
        }
    }
}

impl Client {
    /// Holds the subject until [`Client::remove_reference`] is called with the same words. `owner` is a name of the
    /// service's choice for who needs it, 1 to 100 characters; it may not look like an id of Keywright. Repeating it
    /// changes nothing.
    ///
    /// A reference belongs to the service by its name (the name of its token), not to the token: tomorrow's token of
    /// the same name can drop it.
    ///
    /// # Errors
    /// `ServerNotFound`, `CredentialNotFound`, `ValidationFailed` (also where another service holds under these words).
    pub async fn add_reference(&self, subject: Subject<'_>, owner: &str, purpose: &str) -> Result<(), Error> {
        let (server_id, credential_id) = subject.ids();
        let (owner, purpose) = (owner.to_owned(), purpose.to_owned());
        let request = AddReferenceRequest { server_id, credential_id, owner, purpose };
        let mut service = DirectoryServiceClient::new(self.channel.clone());
        answer(service.add_reference(self.request(request)).await).map(drop)
    }

    /// Drops a reference of the service's own. Repeating it changes nothing.
    ///
    /// # Errors
    /// `ValidationFailed` where another service holds it.
    pub async fn remove_reference(
        &self,
        subject: Subject<'_>,
        owner: &str,
        purpose: &str,
    ) -> Result<(), Error> {
        let (server_id, credential_id) = subject.ids();
        let (owner, purpose) = (owner.to_owned(), purpose.to_owned());
        let request = RemoveReferenceRequest { server_id, credential_id, owner, purpose };
        let mut service = DirectoryServiceClient::new(self.channel.clone());
        answer(service.remove_reference(self.request(request)).await).map(drop)
    }
}
