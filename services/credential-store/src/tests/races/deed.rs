//! What one of the processes is told to do, and what it was answered.

use crate::tests::world::{World, answer, key_text};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_proto::credential as proto;
use keywright_runtime::failure::Failure;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    Bind { server: String, credential: String },
    Unbind { server: String },
    Rotate { credential: String, private_key: String, acknowledged: bool, key: String },
    Delete { credential: String, key: String },
    Switch { from: String, to: String, test: bool, key: String },
    AddReference { credential: String, owner: String },
    RemoveReference { credential: String, owner: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Done,
    Rotated { version: i32, fingerprint: String },
    Switched { switched: i32 },
    Refused(String),
}

impl Deed {
    pub fn rotate(credential: &str, acknowledged: bool, key: &str) -> Self {
        Self::Rotate {
            credential: credential.to_owned(),
            private_key: key_text(),
            acknowledged,
            key: key.to_owned(),
        }
    }

    pub fn delete(credential: &str, key: &str) -> Self {
        Self::Delete { credential: credential.to_owned(), key: key.to_owned() }
    }

    pub async fn run(self, world: &World, caller: &Caller) -> Answer {
        match self.try_run(world, caller).await {
            Ok(answer) => answer,
            Err(failure) => Answer::Refused(failure.reason.as_str().to_owned()),
        }
    }

    async fn try_run(self, world: &World, caller: &Caller) -> Result<Answer, Failure> {
        let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
        match self {
            Self::Bind { server, credential } => {
                world.bind(caller, &server, &credential).await?;
            }
            Self::Unbind { server } => {
                let request = proto::UnbindCredentialRequest { server_id: server };
                answer(world.servers(caller).unbind_credential(request).await)?;
            }
            Self::Rotate { credential, private_key, acknowledged, key } => {
                let request = proto::RotateSshCredentialRequest {
                    confirmation: confirmation(&credential, acknowledged),
                    credential_id: credential,
                    private_key,
                    idempotency_key: key,
                    ..Default::default()
                };
                let rotated = answer(world.credentials(caller).rotate_ssh_credential(request).await)?;
                let rotated = rotated.credential.unwrap();
                return Ok(Answer::Rotated { version: rotated.version, fingerprint: rotated.fingerprint });
            }
            Self::Delete { credential, key } => {
                let request = proto::DeleteSshCredentialRequest {
                    confirmation: confirmation(&credential, false),
                    credential_id: credential,
                    idempotency_key: key,
                };
                answer(world.credentials(caller).delete_ssh_credential(request).await)?;
            }
            Self::Switch { from, to, test, key } => {
                let request = proto::SwitchSshCredentialRequest {
                    credential_id: from,
                    to_credential_id: to,
                    test,
                    idempotency_key: key,
                    ..Default::default()
                };
                let done = answer(world.credentials(caller).switch_ssh_credential(request).await)?;
                return Ok(Answer::Switched { switched: done.switched });
            }
            Self::AddReference { credential, owner } => {
                let request = proto::AddReferenceRequest {
                    credential_id: credential,
                    owner,
                    purpose: "race".to_owned(),
                    ..Default::default()
                };
                answer(world.directory(&lifecycle).add_reference(request).await)?;
            }
            Self::RemoveReference { credential, owner } => {
                let request = proto::RemoveReferenceRequest {
                    credential_id: credential,
                    owner,
                    purpose: "race".to_owned(),
                    ..Default::default()
                };
                answer(world.directory(&lifecycle).remove_reference(request).await)?;
            }
        }
        Ok(Answer::Done)
    }
}

fn confirmation(credential: &str, acknowledged: bool) -> Option<proto::CredentialConfirmation> {
    Some(proto::CredentialConfirmation {
        credential_id: credential.to_owned(),
        acknowledge_server_usage: acknowledged,
    })
}
