//! What the lifecycle remembers: accesses with their key versions and host lines, rotations with their steps,
//! revocations. Plain values; rows become these in `store/`, messages are made of these in `api/`.

mod access;
mod campaign;
mod challenge;
mod freeze;
mod known_key;
mod krl;
mod line_options;
mod management;
mod notice;
mod notification;
mod offboarding;
mod overview;
mod policy;
mod recovery;
mod release;
mod revocation;
mod rotation;
mod server_key;
mod words;

pub use access::{Access, Claim, Host, Line, Receipt, Version};
pub use campaign::{Campaign, CampaignPlan, CampaignTarget, Selector, Tally, Which};
pub use challenge::Challenge;
pub use freeze::Freeze;
pub use known_key::{Here, Known, KnownKey, KnownManagement};
pub use krl::{Group, ListFile, ListState, Scope};
pub use line_options::LineOptions;
pub use management::Management;
pub use notice::Notice;
pub use notification::{Delivery, PreviousSecret, Recipient, Target, Untold};
pub use offboarding::Offboarding;
pub use overview::{DUE_SOON, Exposed, ExposureKind, Facts};
pub use policy::{DriftAction, Effective, Level, OwnSettings, Policy, Settings, WEEKDAYS, Window};
pub use recovery::{Finding, Recovery, RecoveryLine};
pub use release::{Release, Staying};
pub use revocation::{Revocation, RevocationHost};
pub use rotation::{Origin, Rotation, Step};
pub use server_key::{
    Adoption, KeyClass, KeyFlag, KeyUse, LogLines, OwnLogin, Seen, SeenAccount, SeenFile, ServerAccount,
    ServerKey, ServerScan,
};
pub use words::{
    Answer, CampaignState, DeliveryState, Enforcer, Evidence, Expected, LineState, ManagementKind,
    ManagementState, ManagementStep, NotificationKind, OffboardingState, PauseReason, ReleaseState,
    RevocationState, RotationKind, RotationState, SessionsToEnd, StepName, StepState, TargetState,
    VersionState,
};
