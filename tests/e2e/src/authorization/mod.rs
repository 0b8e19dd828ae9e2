//! Who may do what, as it is seen from outside: every RPC is called by every role, on its own tenant's objects and on
//! another's, and the verdicts are a table.
//!
//! | module | is about |
//! |---|---|
//! | [`cast`] | somebody of every role, in two tenants |
//! | [`stage`] | one object of every kind, and the messages that name them |
//! | [`verdict`] | what an answer says about authorization |
//! | [`table`] | the verdicts as a page shows them |

pub mod cast;
pub mod stage;
pub mod table;
pub mod verdict;
