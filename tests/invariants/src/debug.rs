//! No generated message prints a secret: a message that carries one has no `Debug`, or one that does not show it.
//!
//! The list below is held against the pool, so a new message with a secret fails here until it is in both lists (here
//! and `skip_debug` of proto/build.rs, together with every message that holds it).

use crate::contract::secrets::{is_body, is_redacted};
use keywright_proto::{audit, credential, google, identity, lifecycle, pool, probe};
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::marker::PhantomData;

const CANARY: &str = "canary-4d1f";

/// Whether a message has, at any depth, a field that must not be printed.
fn carries(message: &MessageDescriptor, within: &mut BTreeSet<String>) -> bool {
    if message.full_name() == "google.api.HttpBody" {
        return true;
    }
    within.insert(message.full_name().to_owned())
        && message.fields().any(|field| {
            is_redacted(&field) || field.kind().as_message().is_some_and(|inner| carries(inner, within))
        })
}

/// A message whose every secret is the canary.
fn filled(message: &MessageDescriptor) -> DynamicMessage {
    let mut value = DynamicMessage::new(message.clone());
    let is_bytes = message.full_name() == "google.api.HttpBody";
    for field in message.fields() {
        let one = match field.kind() {
            Kind::String if is_redacted(&field) => Value::String(CANARY.to_owned()),
            Kind::Bytes if is_redacted(&field) || is_bytes => Value::Bytes(CANARY.as_bytes().to_vec().into()),
            kind @ Kind::Message(_)
                if is_body(&kind) || carries(kind.as_message().unwrap(), &mut BTreeSet::new()) =>
            {
                Value::Message(filled(kind.as_message().unwrap()))
            }
            _ => continue,
        };
        value.set_field(&field, if field.is_list() { Value::List(vec![one]) } else { one });
    }
    value
}

fn shows(text: &str) -> bool {
    let numbers: Vec<String> = CANARY.bytes().map(|byte| byte.to_string()).collect();
    let flat: String = text.chars().filter(|symbol| !symbol.is_whitespace()).collect();
    flat.contains(CANARY) || flat.contains(&numbers.join(","))
}

/// What `Debug` prints of a value, if its type has it at all.
struct Printed<'v, T>(&'v T, PhantomData<T>);

trait Without {
    fn printed(&self) -> Option<String>;
}

impl<T> Without for &Printed<'_, T> {
    fn printed(&self) -> Option<String> {
        None
    }
}

impl<T: Debug> Printed<'_, T> {
    fn printed(&self) -> Option<String> {
        Some(format!("{:?} {:#?}", self.0, self.0))
    }
}

macro_rules! leaks {
    ($($kind:ty: $name:literal,)*) => {{
        let mut listed = BTreeSet::new();
        let mut leaks = Vec::new();
        $({
            let descriptor = pool().get_message_by_name($name).unwrap_or_else(|| panic!("{} is gone", $name));
            let bytes = filled(&descriptor).encode_to_vec();
            assert!(bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "{} holds no canary", $name);
            let value = <$kind>::decode(bytes.as_slice()).unwrap();
            if (&Printed(&value, PhantomData)).printed().is_some_and(|text| shows(&text)) {
                leaks.push(concat!("\".", $name, "\","));
            }
            listed.insert($name.to_owned());
        })*
        (listed, leaks)
    }};
}

fn secrets() -> BTreeSet<String> {
    let all = pool().all_messages().filter(|message| carries(message, &mut BTreeSet::new()));
    all.map(|message| message.full_name().to_owned()).collect()
}

#[test]
fn no_message_prints_a_secret() {
    let (listed, leaks) = leaks! {
        google::api::HttpBody: "google.api.HttpBody",
        credential::CreateSshCredentialRequest: "keywright.credential.v1.CreateSshCredentialRequest",
        credential::ReleaseVersionRequest: "keywright.credential.v1.ReleaseVersionRequest",
        credential::ReleaseVersionResponse: "keywright.credential.v1.ReleaseVersionResponse",
        credential::ResolveResponse: "keywright.credential.v1.ResolveResponse",
        credential::RotateKeyEncryptionKeyRequest: "keywright.credential.v1.RotateKeyEncryptionKeyRequest",
        credential::RotateSshCredentialRequest: "keywright.credential.v1.RotateSshCredentialRequest",
        credential::UnsealCustodyRequest: "keywright.credential.v1.UnsealCustodyRequest",
        credential::ValidateSshCredentialRequest: "keywright.credential.v1.ValidateSshCredentialRequest",
        identity::CreateConsoleCodeResponse: "keywright.identity.v1.CreateConsoleCodeResponse",
        identity::CreateInvitationResponse: "keywright.identity.v1.CreateInvitationResponse",
        identity::CreateTokenResponse: "keywright.identity.v1.CreateTokenResponse",
        identity::ExchangeRequest: "keywright.identity.v1.ExchangeRequest",
        identity::ExchangeResponse: "keywright.identity.v1.ExchangeResponse",
        identity::LoginWithOidcRequest: "keywright.identity.v1.LoginWithOidcRequest",
        identity::LoginWithOidcResponse: "keywright.identity.v1.LoginWithOidcResponse",
        identity::OpenConsoleSessionRequest: "keywright.identity.v1.OpenConsoleSessionRequest",
        identity::OpenConsoleSessionResponse: "keywright.identity.v1.OpenConsoleSessionResponse",
        identity::RedeemInvitationRequest: "keywright.identity.v1.RedeemInvitationRequest",
        identity::RedeemInvitationResponse: "keywright.identity.v1.RedeemInvitationResponse",
        lifecycle::BootstrapCredential: "keywright.lifecycle.v1.BootstrapCredential",
        lifecycle::CreateNotificationTargetResponse: "keywright.lifecycle.v1.CreateNotificationTargetResponse",
        lifecycle::RotateNotificationSecretResponse: "keywright.lifecycle.v1.RotateNotificationSecretResponse",
        lifecycle::DownloadSshKeyRequest: "keywright.lifecycle.v1.DownloadSshKeyRequest",
        lifecycle::DownloadSshKeyResponse: "keywright.lifecycle.v1.DownloadSshKeyResponse",
        audit::ExportAuditLogResponse: "keywright.audit.v1.ExportAuditLogResponse",
        audit::GetCheckpointResponse: "keywright.audit.v1.GetCheckpointResponse",
        audit::GetTileResponse: "keywright.audit.v1.GetTileResponse",
        lifecycle::GetKrlResponse: "keywright.lifecycle.v1.GetKrlResponse",
        lifecycle::GetKrlTextResponse: "keywright.lifecycle.v1.GetKrlTextResponse",
        lifecycle::GetOffboardingExportResponse: "keywright.lifecycle.v1.GetOffboardingExportResponse",
        lifecycle::ManageServerRequest: "keywright.lifecycle.v1.ManageServerRequest",
        probe::CreateConnectivityTestRequest: "keywright.probe.v1.CreateConnectivityTestRequest",
        probe::CreateDraftConnectivityTestRequest: "keywright.probe.v1.CreateDraftConnectivityTestRequest",
        probe::OneTimeCredential: "keywright.probe.v1.OneTimeCredential",
    };
    assert_eq!(
        listed,
        secrets(),
        "left: the list of this test, right: the messages of the contract with a secret"
    );
    assert!(
        leaks.is_empty(),
        "proto/build.rs: `.skip_debug([…])` has to name these messages, whose generated Debug prints a secret:\n{}",
        leaks.join("\n")
    );
}

#[test]
fn a_message_that_prints_is_told_from_one_that_does_not() {
    struct Silent;
    #[derive(Debug)]
    struct Loud(#[allow(dead_code)] String, #[allow(dead_code)] Vec<u8>);
    assert_eq!((&Printed(&Silent, PhantomData)).printed(), None);
    let loud =
        |text: &str, bytes: &[u8]| Printed(&Loud(text.into(), bytes.into()), PhantomData).printed().unwrap();
    assert!(shows(&loud(CANARY, b"")));
    assert!(shows(&loud("", CANARY.as_bytes())));
    assert!(!shows(&loud("", b"")));
}
