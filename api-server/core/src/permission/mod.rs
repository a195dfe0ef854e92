//! Permissions, of two sorts that never mix: what a *key* carries, asked about with a [`Query`]; and what a *caller* of the API may
//! do, its [`Grants`].

mod grant;
mod query;

pub use grant::{Action, Grants};
pub use query::{Query, QueryError};
