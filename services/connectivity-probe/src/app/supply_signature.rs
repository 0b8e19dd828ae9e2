//! Takes the signature that a test waits for, on any replica, from whoever began the test.

use crate::dialogue::{Answer, Refusal};
use crate::store::signature_request::Open;
use crate::store::{self, signature_request};
use keywright_domain::caller::Caller;
use keywright_domain::ids::{SignatureRequestId, shown};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "connectivity_test.sign";
const MISSING: Reason = Reason::SignatureRequestNotFound;

/// Wrong signatures, after which none is taken any more.
const MOST_ATTEMPTS: i64 = 3;

/// More bytes than the signature of the largest key has.
const LONGEST_SIGNATURE: usize = 4096;

pub struct SupplySignature {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

/// As it came.
pub struct Given {
    pub request: String,
    pub signature: Vec<u8>,
    pub refusal: Option<Refusal>,
}

impl SupplySignature {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, given: Given) -> Result<(), Failure> {
        let tenant = caller.principal.tenant.as_ref();
        self.guard.allow(caller, ACTION, tenant, shown(&given.request), MISSING).await?;
        let id = given.request.clone();
        let answer = well_formed(given)?;
        let open = self.open(caller, &id).await?;
        let said = match &answer {
            Answer::Signature(_) => "signature",
            Answer::Refused(refusal) => refusal.as_str(),
        };
        let fingerprint = open.login.public_key().fingerprint();
        let entry = Entry::new(ACTION)
            .tenant(tenant)
            .target(open.id.as_str())
            .detail("fingerprint", fingerprint.as_str())
            .detail("username", open.login.user())
            .detail("answer", said);
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.perform(&intent, &open, &answer).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    /// The request, if it is this caller's. Another's does not exist for him.
    async fn open(&self, caller: &Caller, id: &str) -> Result<Open, Failure> {
        let known = SignatureRequestId::parse(id).map_err(|_| Failure::not_found(MISSING, id))?;
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let open = signature_request::open(&mut reader, &known, now).await?;
        drop(reader);
        let open = open.ok_or_else(|| Failure::not_found(MISSING, id))?;
        if open.principal == caller.principal.id {
            return Ok(open);
        }
        let tenant = caller.principal.tenant.as_ref();
        let entry = Entry::new(ACTION).tenant(tenant).target(id).denied_by("another principal's");
        self.audit.denied(caller, entry, MISSING).await;
        Err(Failure::not_found(MISSING, id))
    }

    async fn perform(&self, intent: &Intent, open: &Open, answer: &Answer) -> Result<(), Failure> {
        match answer {
            Answer::Signature(signature) if open.login.verify(signature).is_err() => {
                self.count(intent, open).await?;
                let what = "is not a signature of this login by its key and algorithm";
                Err(Failure::violation("signature", what))
            }
            answer => self.keep(intent, open, answer).await,
        }
    }

    async fn keep(&self, intent: &Intent, open: &Open, answer: &Answer) -> Result<(), Failure> {
        let kept: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                if !signature_request::answer(&mut tx, &open.id, answer).await? {
                    return Err(Failure::not_found(MISSING, open.id.as_str()).into());
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        Ok(kept?)
    }

    async fn count(&self, intent: &Intent, open: &Open) -> Result<(), Failure> {
        let counted: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                if signature_request::count_attempt(&mut tx, &open.id).await? >= MOST_ATTEMPTS {
                    signature_request::answer(&mut tx, &open.id, &Answer::Refused(Refusal::Wrong)).await?;
                }
                Ok(tx.commit().await?)
            })
            .await;
        Ok(counted?)
    }
}

fn well_formed(given: Given) -> Result<Answer, Failure> {
    match (given.signature.len(), given.refusal) {
        (0, None) => Err(Failure::violation("signature", "is missing, and so is a refusal")),
        (0, Some(refusal)) => Ok(Answer::Refused(refusal)),
        (_, Some(_)) => Err(Failure::violation("refusal", "cannot be given together with a signature")),
        (length, None) if length > LONGEST_SIGNATURE => {
            Err(Failure::violation("signature", format!("must have at most {LONGEST_SIGNATURE} bytes")))
        }
        (_, None) => Ok(Answer::Signature(given.signature)),
    }
}
