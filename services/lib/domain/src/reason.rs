//! Why something failed: one exhaustive table of reason, gRPC code, HTTP status, retry advice and remedy.
//!
//! Every error of every service ends here; clients branch on the name, never on text.

use std::fmt;

/// The gRPC status codes that reasons map to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    InvalidArgument,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    Aborted,
    Unavailable,
    DeadlineExceeded,
    Unauthenticated,
    PermissionDenied,
    ResourceExhausted,
    Internal,
}

/// Whether the same request can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    No,
    /// After the delay in `RetryInfo`.
    AfterDelay,
    /// After reading the object again.
    AfterReading,
}

macro_rules! reasons {
    ($($name:ident = $text:literal, $code:ident, $http:literal, $retry:ident, $remedy:literal;)*) => {
        /// One reason; `as_str` is `google.rpc.ErrorInfo.reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($name,)* }

        impl Reason {
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            pub const fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $http,)* }
            }

            pub const fn retry(self) -> Retry {
                match self { $(Self::$name => Retry::$retry,)* }
            }

            /// What to do about it, in plain words.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

reasons! {
    TenantNotFound = "TENANT_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    ServerNotFound = "SERVER_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    CredentialNotFound = "CREDENTIAL_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    AccessNotFound = "ACCESS_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    RotationNotFound = "ROTATION_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    RevocationNotFound = "REVOCATION_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    AlertNotFound = "ALERT_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    AlertRuleNotFound = "ALERT_RULE_NOT_FOUND", NotFound, 404, No, "List the rules; one that is back at its default has nothing to delete.";
    SegmentNotFound = "SEGMENT_NOT_FOUND", NotFound, 404, No, "List the segments: only complete ones have a number.";
    TileNotFound = "TILE_NOT_FOUND", NotFound, 404, No, "Only what the newest checkpoint covers is there: read it first.";
    CheckpointNotFound = "CHECKPOINT_NOT_FOUND", NotFound, 404, No, "The log has no checkpoint of that size; a new log signs its first within a minute.";
    TokenNotFound = "TOKEN_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    InvitationNotFound = "INVITATION_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    ClaimNotFound = "CLAIM_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    SegmentNotRetirable = "SEGMENT_NOT_RETIRABLE", FailedPrecondition, 409, No, "Export the segment whole, and wait for the end of the retention.";
    BindingNotFound = "BINDING_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    RouteNotFound = "ROUTE_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    VersionNotFound = "VERSION_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    EventNotFound = "EVENT_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    MemberNotFound = "MEMBER_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    CampaignNotFound = "CAMPAIGN_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    TargetNotFound = "TARGET_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    GroupNotFound = "GROUP_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    KeyNotFound = "KEY_NOT_FOUND", NotFound, 404, No, "Scan the server again (keywright server keys --scan).";
    ChallengeNotFound = "CHALLENGE_NOT_FOUND", NotFound, 404, No, "Ask for a new challenge; each is good once, for 15 minutes.";
    TestNotFound = "TEST_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    FleetTestNotFound = "FLEET_TEST_NOT_FOUND", NotFound, 404, No, "Check the id, or ask its owner.";
    SignatureRequestNotFound = "SIGNATURE_REQUEST_NOT_FOUND", NotFound, 404, No, "Run the test again: a signature is waited for 45 seconds, and from whoever began the test.";
    ValidationFailed = "VALIDATION_FAILED", InvalidArgument, 400, No, "Correct the fields named in the violations.";
    ConfirmationRequired = "CONFIRMATION_REQUIRED", InvalidArgument, 400, No, "Send it in `confirmation`.";
    ConfirmationMismatch = "CONFIRMATION_MISMATCH", InvalidArgument, 400, No, "Copy it exactly; case counts.";
    FormatUnsupportedForKey = "FORMAT_UNSUPPORTED_FOR_KEY", InvalidArgument, 400, No, "Choose the OpenSSH format (the default) or ppk.";
    KeyUnparsable = "KEY_UNPARSABLE", InvalidArgument, 400, No, "Send the whole private key file, from its BEGIN line to its END line.";
    KeyTruncated = "KEY_TRUNCATED", InvalidArgument, 400, No, "Copy the whole file, to the last line.";
    KeyUnsupported = "KEY_UNSUPPORTED", InvalidArgument, 400, No, "Use Ed25519, ECDSA P-256/384/521 or RSA.";
    KeyTooWeak = "KEY_TOO_WEAK", InvalidArgument, 400, No, "Make a new key: ssh-keygen -t ed25519.";
    KeyKdfTooExpensive = "KEY_KDF_TOO_EXPENSIVE", InvalidArgument, 400, No, "Save the key again with fewer rounds: ssh-keygen -p -a 16.";
    PublicKeyGiven = "PUBLIC_KEY_GIVEN", InvalidArgument, 400, No, "Send the private key, the file without .pub.";
    CertificateGiven = "CERTIFICATE_GIVEN", InvalidArgument, 400, No, "Send the key itself, not its certificate.";
    MultipleKeys = "MULTIPLE_KEYS", InvalidArgument, 400, No, "Send one key.";
    PublicKeyMismatch = "PUBLIC_KEY_MISMATCH", InvalidArgument, 400, No, "Leave the public key out: it is derived.";
    PassphraseRequired = "PASSPHRASE_REQUIRED", InvalidArgument, 400, No, "Send the passphrase of the key.";
    PassphraseIncorrect = "PASSPHRASE_INCORRECT", InvalidArgument, 400, No, "Check the passphrase of the key.";
    PossessionUnproven = "POSSESSION_UNPROVEN", InvalidArgument, 400, No, "Sign the nonce with the private half of this key: ssh-keygen -Y sign -n keywright-possession.";
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", InvalidArgument, 413, No, "Send less; a key file has a few kilobytes.";
    CredentialInUse = "CREDENTIAL_IN_USE", FailedPrecondition, 409, No, "Switch or unbind the servers that use it first.";
    UsageAcknowledgementRequired = "USAGE_ACKNOWLEDGEMENT_REQUIRED", FailedPrecondition, 409, No, "Read the usage and acknowledge it (acknowledgeServerUsage).";
    ServerInUse = "SERVER_IN_USE", FailedPrecondition, 409, No, "Ask delete-check what uses it.";
    TenantSuspended = "TENANT_SUSPENDED", FailedPrecondition, 409, No, "Ask your platform team to resume the tenant.";
    TenantInUse = "TENANT_IN_USE", FailedPrecondition, 409, No, "Delete its servers, credentials and accesses first.";
    ResolveNotAllowed = "RESOLVE_NOT_ALLOWED", FailedPrecondition, 409, No, "Have it signed (SignLogin), or let the tenant's owner allow it.";
    KeyAlreadyDownloaded = "KEY_ALREADY_DOWNLOADED", FailedPrecondition, 409, No, "Rotate the key to get a new one.";
    AccessRevoked = "ACCESS_REVOKED", FailedPrecondition, 409, No, "Regenerate the key.";
    AccessNotRevoked = "ACCESS_NOT_REVOKED", FailedPrecondition, 409, No, "Rotate it, or revoke it first.";
    RotationInProgress = "ROTATION_IN_PROGRESS", FailedPrecondition, 409, No, "Wait until it has ended.";
    GraceInProgress = "GRACE_IN_PROGRESS", FailedPrecondition, 409, No, "Wait until graceEndsAt, or send dropGraceKey.";
    ServerInactive = "SERVER_INACTIVE", FailedPrecondition, 409, No, "Register the server anew.";
    ServerNotManaged = "SERVER_NOT_MANAGED", FailedPrecondition, 409, No, "Install a management key first (keywright server manage).";
    HostKeyUnpinned = "HOST_KEY_UNPINNED", FailedPrecondition, 409, No, "Scan and approve the host key first (keywright server host-key).";
    HostKeyMismatch = "HOST_KEY_MISMATCH", FailedPrecondition, 409, No, "Find out why the host key changed; an operator can re-pin it.";
    CredentialIsManaged = "CREDENTIAL_IS_MANAGED", FailedPrecondition, 409, No, "Use the access that owns it.";
    KeyCompromised = "KEY_COMPROMISED", FailedPrecondition, 409, No, "Use a new key.";
    AccountNotFound = "ACCOUNT_NOT_FOUND", FailedPrecondition, 409, No, "Create the account, or ask for it with createAccount.";
    AccountNotAllowed = "ACCOUNT_NOT_ALLOWED", FailedPrecondition, 409, No, "Choose an ordinary account that no other access uses.";
    PolicyForbids = "POLICY_FORBIDS", FailedPrecondition, 409, No, "Ask your platform team.";
    Frozen = "FROZEN", FailedPrecondition, 409, No, "Ask an operator to lift the freeze (keywright admin freeze).";
    LastHost = "LAST_HOST", FailedPrecondition, 409, No, "Deprovision the access instead.";
    CampaignEnded = "CAMPAIGN_ENDED", FailedPrecondition, 409, No, "Start a new campaign.";
    LastPathUnproven = "LAST_PATH_UNPROVEN", FailedPrecondition, 409, No, "Prove another way in first.";
    HostFileSymlink = "HOST_FILE_SYMLINK", FailedPrecondition, 409, No, "Replace the link by a directory or file of the account.";
    HostFileNotRegular = "HOST_FILE_NOT_REGULAR", FailedPrecondition, 409, No, "Replace it by a regular file.";
    HostFileTooLarge = "HOST_FILE_TOO_LARGE", FailedPrecondition, 409, No, "Remove old lines; 1 MiB is the limit.";
    HostFileReadOnly = "HOST_FILE_READ_ONLY", FailedPrecondition, 409, No, "Make the file writable for the account.";
    HostFileDiskFull = "HOST_FILE_DISK_FULL", FailedPrecondition, 409, AfterDelay, "Free space on the server.";
    HostFileChanged = "HOST_FILE_CHANGED", FailedPrecondition, 409, AfterDelay, "Try again.";
    HostFileOwner = "HOST_FILE_OWNER", FailedPrecondition, 409, No, "Let the account own its home and .ssh, and nobody else write there.";
    SudoUnavailable = "SUDO_UNAVAILABLE", FailedPrecondition, 409, No, "Log in as root or install the sudoers rule.";
    HostUnreachable = "HOST_UNREACHABLE", FailedPrecondition, 409, AfterDelay, "Run a connectivity test.";
    HostEditFailed = "HOST_EDIT_FAILED", FailedPrecondition, 409, AfterDelay, "Run a connectivity test and try again.";
    TargetNotAllowed = "TARGET_NOT_ALLOWED", InvalidArgument, 400, No, "Use an address that the operator allows.";
    SignatureNotSupplied = "SIGNATURE_NOT_SUPPLIED", FailedPrecondition, 409, No, "Run the test again, and let your agent sign when it asks (touch, PIN, confirmation).";
    AlreadyExists = "ALREADY_EXISTS", AlreadyExists, 409, No, "Use the one that exists, or another name.";
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", AlreadyExists, 409, No, "Use a new idempotency key.";
    UsageChanged = "USAGE_CHANGED", Aborted, 409, AfterReading, "Read the usage again.";
    RevisionMismatch = "REVISION_MISMATCH", Aborted, 409, AfterReading, "Read it again.";
    UsageUnavailable = "USAGE_UNAVAILABLE", Unavailable, 503, AfterDelay, "Try again.";
    SecretStoreSealed = "SECRET_STORE_SEALED", Unavailable, 503, AfterDelay, "Unseal the secret store, then try again.";
    SecretStoreUnavailable = "SECRET_STORE_UNAVAILABLE", Unavailable, 503, AfterDelay, "Try again; see keywright doctor.";
    AuditUnavailable = "AUDIT_UNAVAILABLE", Unavailable, 503, AfterDelay, "Try again; see keywright doctor.";
    StorageUnavailable = "STORAGE_UNAVAILABLE", Unavailable, 503, AfterDelay, "Try again; see keywright doctor.";
    ServiceUnavailable = "SERVICE_UNAVAILABLE", Unavailable, 503, AfterDelay, "Try again; see keywright doctor.";
    RecoveryMode = "RECOVERY_MODE", Unavailable, 503, AfterDelay, "Probe and complete the recovery first (keywright admin recovery).";
    DeadlineExceeded = "DEADLINE_EXCEEDED", DeadlineExceeded, 504, AfterDelay, "Try again with a longer deadline.";
    RequestInProgress = "REQUEST_IN_PROGRESS", Unavailable, 503, AfterDelay, "Try again in a moment.";
    Unauthenticated = "UNAUTHENTICATED", Unauthenticated, 401, No, "Log in (keywright login) or send a valid token.";
    PermissionDenied = "PERMISSION_DENIED", PermissionDenied, 403, No, "Ask somebody whose role allows it.";
    RateLimited = "RATE_LIMITED", ResourceExhausted, 429, AfterDelay, "Wait, then try again.";
    Internal = "INTERNAL", Internal, 500, No, "Try again; report the request id if it stays.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
