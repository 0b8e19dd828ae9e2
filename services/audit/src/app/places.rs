//! How many streams of the log (watches, exports) are open at once in this process: each reads again and again, from the
//! connections that appends need.

use keywright_domain::caller::Principal;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When to try again: streams end when their clients do.
const SOON: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Places {
    most: Most,
    taken: Arc<Mutex<HashMap<Holder, usize>>>,
}

/// How many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    pub of_a_principal: usize,
    /// Of one tenant's people together; those without a tenant have as many.
    pub of_a_tenant: usize,
    pub of_all: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Holder {
    principal: String,
    tenant: Option<TenantId>,
}

/// One of them, until it is dropped.
pub struct Place {
    of: Places,
    holder: Holder,
}

impl Places {
    pub fn new(most: Most) -> Self {
        Self { most, taken: Arc::default() }
    }

    pub fn take(&self, principal: &Principal) -> Result<Place, Failure> {
        let holder = Holder { principal: principal.id.clone(), tenant: principal.tenant.clone() };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |counts: &dyn Fn(&Holder) -> bool| -> usize {
            taken.iter().filter(|(other, _)| counts(other)).map(|(_, number)| number).sum()
        };
        let full = if of(&|other| other.principal == holder.principal) >= self.most.of_a_principal {
            Some("You have as many of these open as one principal may: end one first.")
        } else if of(&|other| other.tenant == holder.tenant) >= self.most.of_a_tenant {
            Some("Your tenant has as many of these open as one may.")
        } else if of(&|_| true) >= self.most.of_all {
            Some("As many of these are open as there may be.")
        } else {
            None
        };
        if let Some(what) = full {
            return Err(Failure::new(Reason::RateLimited, what).after(SOON));
        }
        let own = taken.entry(holder.clone()).or_default();
        *own = own.saturating_add(1);
        Ok(Place { of: self.clone(), holder })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.holder) {
            Some(own) if *own > 1 => *own = own.saturating_sub(1),
            _ => drop(taken.remove(&self.holder)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::caller::Role;
    use keywright_domain::ids::PrincipalId;

    #[test]
    fn nobody_takes_all_the_places_and_a_place_comes_back() {
        let places = Places::new(Most { of_a_principal: 2, of_a_tenant: 3, of_all: 5 });
        let person = |tenant: Option<&TenantId>| {
            let role = if tenant.is_some() { Role::TenantAdmin } else { Role::Operator };
            Principal::person(&PrincipalId::random().unwrap(), role, tenant.cloned())
        };
        let tenants = [TenantId::random().unwrap(), TenantId::random().unwrap()];
        let [one, other] = [person(Some(&tenants[0])), person(Some(&tenants[0]))];
        let refused = |who: &Principal| places.take(who).err().map(|failure| failure.reason);
        let first = places.take(&one).unwrap();
        let _second = places.take(&one).unwrap();
        assert_eq!(refused(&one), Some(Reason::RateLimited), "of one principal");
        let _third = places.take(&other).unwrap();
        assert_eq!(refused(&other), Some(Reason::RateLimited), "of one tenant");
        let operator = person(None);
        let _fourth = places.take(&operator).unwrap();
        let _fifth = places.take(&person(Some(&tenants[1]))).unwrap();
        assert_eq!(refused(&operator), Some(Reason::RateLimited), "of all");
        drop(first);
        assert_eq!(refused(&operator), None);
    }
}
