//! The words for states, as they stand in the database and, some of them, in the contract.

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($variant,)* }

        impl $name {
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ();
            fn try_from(text: String) -> Result<Self, ()> {
                match text.as_str() { $($text => Ok(Self::$variant),)* _ => Err(()) }
            }
        }
    )*};
}

words! {
    /// About the key.
    VersionState {
        Staged = "STAGED",
        Active = "ACTIVE",
        Grace = "GRACE",
        Retired = "RETIRED",
        Revoked = "REVOKED",
        Failed = "FAILED",
    }
    /// About a key's line on one host.
    LineState {
        Absent = "ABSENT",
        Installed = "INSTALLED",
        Expiring = "EXPIRING",
        RemovalPending = "REMOVAL_PENDING",
        RemovedProven = "REMOVED_PROVEN",
    }
    /// Who ends a key at the end of its grace.
    Enforcer {
        Sshd = "SSHD",
        Keywright = "KEYWRIGHT",
    }
    RotationKind {
        Provision = "PROVISION",
        Rotate = "ROTATE",
        Regenerate = "REGENERATE",
        AddHost = "ADD_HOST",
        RemoveHost = "REMOVE_HOST",
    }
    RotationState {
        Running = "RUNNING",
        Converging = "CONVERGING",
        Succeeded = "SUCCEEDED",
        Failed = "FAILED",
        Superseded = "SUPERSEDED",
        Stuck = "STUCK",
    }
    /// In the order in which a rotation takes them.
    StepName {
        Generate = "generate",
        Hold = "hold",
        Account = "account",
        Install = "install",
        Prove = "prove",
        Promote = "promote",
        DestroyOld = "destroy_old",
        ExpireOld = "expire_old",
        RetireOld = "retire_old",
        RemoveOld = "remove_old",
        ProveRefused = "prove_refused",
        LetGo = "let_go",
    }
    StepState {
        Pending = "PENDING",
        Started = "STARTED",
        Done = "DONE",
        Failed = "FAILED",
        Undone = "UNDONE",
    }
    RevocationState {
        Running = "RUNNING",
        Succeeded = "SUCCEEDED",
    }
    OffboardingState {
        Running = "RUNNING",
        Succeeded = "SUCCEEDED",
    }
    ReleaseState {
        Running = "RUNNING",
        Succeeded = "SUCCEEDED",
    }
    /// Which open sessions a revocation ends.
    SessionsToEnd {
        RevokedKeys = "REVOKED_KEYS",
        All = "ALL",
        None = "NONE",
    }
    /// What a backup makes one expect of a key on a host; EITHER where it was coming or going.
    Expected {
        Present = "PRESENT",
        Absent = "ABSENT",
        Either = "EITHER",
    }
    /// What a host said to a key after a restore.
    Answer {
        Unprobed = "UNPROBED",
        Accepted = "ACCEPTED",
        Refused = "REFUSED",
        Unreachable = "UNREACHABLE",
    }
    /// How somebody is told.
    NotificationKind {
        Webhook = "WEBHOOK",
        Email = "EMAIL",
    }
    DeliveryState {
        Pending = "PENDING",
        Delivered = "DELIVERED",
        Failed = "FAILED",
    }
    /// What a host's log says of the use of a key.
    Evidence {
        Used = "USED",
        NotSeen = "NOT_SEEN",
        Unreadable = "UNREADABLE",
    }
    CampaignState {
        Preparing = "PREPARING",
        Running = "RUNNING",
        Paused = "PAUSED",
        Succeeded = "SUCCEEDED",
        Cancelled = "CANCELLED",
    }
    PauseReason {
        Operator = "OPERATOR",
        FailureBudget = "FAILURE_BUDGET",
        Canary = "CANARY",
        Unreachable = "UNREACHABLE",
        Frozen = "FROZEN",
    }
    TargetState {
        Pending = "PENDING",
        Running = "RUNNING",
        Succeeded = "SUCCEEDED",
        Failed = "FAILED",
        CatchUp = "CATCH_UP",
        Skipped = "SKIPPED",
        Cancelled = "CANCELLED",
    }
    ManagementState {
        Running = "RUNNING",
        Succeeded = "SUCCEEDED",
        Failed = "FAILED",
    }
    /// By a first login with a bootstrap credential, or through the key that it replaces.
    ManagementKind {
        Bootstrap = "BOOTSTRAP",
        Rotate = "ROTATE",
    }
    /// In this order. From the beginning of the last there is no way back.
    ManagementStep {
        Generate = "GENERATE",
        Install = "INSTALL",
        Prove = "PROVE",
        Promote = "PROMOTE",
    }
}

impl VersionState {
    /// The key may open something, now or after its promotion.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Staged | Self::Active | Self::Grace)
    }
}

impl RotationKind {
    pub const fn brings_a_key(self) -> bool {
        matches!(self, Self::Provision | Self::Rotate | Self::Regenerate)
    }
}

impl RotationState {
    /// Nothing follows but the end of a grace.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Running | Self::Converging)
    }
}
