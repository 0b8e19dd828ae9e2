//! All stages from a name to a login, for callers that want a session and not a report.

use std::time::Duration;

use keywright_domain::host::KnownHost;
use tracing::instrument;

use crate::authenticate::LoginError;
use crate::dial::Dialer;
use crate::failure::Stage;
use crate::handshake::Handshaken;
use crate::session::Session;
use crate::signing::Identity;
use crate::target::Target;

/// How long each stage took, in order.
pub type StageTimes = Vec<(Stage, Duration)>;

/// A login and what it took.
pub struct Connected {
    pub session: Session,
    pub times: StageTimes,
}

impl Dialer {
    /// Resolves, dials, verifies that the host is the `known` one, logs in. Always a fresh connection.
    #[instrument(skip_all)]
    pub async fn connect(
        &self,
        target: &Target,
        known: impl Into<KnownHost>,
        identity: &Identity,
    ) -> Result<Connected, LoginError> {
        let (server, mut times) = self.reach(target, &known.into()).await?;
        let session = server.authenticate(identity).await?;
        times.push((Stage::Authentication, session.took));
        Ok(Connected { session: session.value, times })
    }

    /// Up to the verified host key.
    pub(crate) async fn reach(
        &self,
        target: &Target,
        known: &KnownHost,
    ) -> Result<(Handshaken, StageTimes), LoginError> {
        let resolved = self.resolve(target).await?;
        let dialed = self.dial(&resolved.value).await?;
        let greeted = self.handshake(dialed.value, known).await?;
        let handshake_took = greeted.took;
        let server = greeted.value.verify()?;
        let times = vec![
            (Stage::Dns, resolved.took),
            (Stage::Tcp, dialed.took),
            (Stage::Handshake, handshake_took),
            (Stage::HostKey, server.took),
        ];
        Ok((server.value, times))
    }
}
