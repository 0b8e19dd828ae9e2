//! SQL stands in `store/` and lib/storage as literals, stays in the tables of its own service, and is understood by
//! SQLite and PostgreSQL alike.

mod extract;
mod prepare;
mod services;
mod tables;
