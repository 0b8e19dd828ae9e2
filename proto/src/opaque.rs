//! Messages that hold a secret print their name and nothing else. The list is the one of the build script.

use std::fmt;

macro_rules! opaque {
    ($($message:path,)*) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($message))
            }
        }
    )*};
}

opaque! {
    crate::google::api::HttpBody,
    crate::credential::CreateSshCredentialRequest,
    crate::credential::ReleaseVersionRequest,
    crate::credential::ReleaseVersionResponse,
    crate::credential::ResolveResponse,
    crate::credential::RotateKeyEncryptionKeyRequest,
    crate::credential::RotateSshCredentialRequest,
    crate::credential::UnsealCustodyRequest,
    crate::credential::ValidateSshCredentialRequest,
    crate::identity::CreateConsoleCodeResponse,
    crate::identity::CreateInvitationResponse,
    crate::identity::CreateTokenResponse,
    crate::identity::ExchangeRequest,
    crate::identity::ExchangeResponse,
    crate::identity::LoginWithOidcRequest,
    crate::identity::LoginWithOidcResponse,
    crate::identity::OpenConsoleSessionRequest,
    crate::identity::OpenConsoleSessionResponse,
    crate::identity::RedeemInvitationRequest,
    crate::identity::RedeemInvitationResponse,
    crate::lifecycle::BootstrapCredential,
    crate::lifecycle::CreateNotificationTargetResponse,
    crate::lifecycle::RotateNotificationSecretResponse,
    crate::lifecycle::DownloadSshKeyRequest,
    crate::lifecycle::DownloadSshKeyResponse,
    crate::lifecycle::ManageServerRequest,
    crate::probe::CreateConnectivityTestRequest,
    crate::probe::CreateDraftConnectivityTestRequest,
    crate::probe::OneTimeCredential,
}
