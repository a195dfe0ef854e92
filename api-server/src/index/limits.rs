//! The named limits of a namespace, for callers that bring their own identifiers.

use std::collections::HashMap;

use keyplane_core::limit::{Algorithm, Limit};
use keyplane_core::overrides::Overrides;

/// The named limits of one namespace. Rebuilt whole when one of them changes: they are few, and change rarely.
#[derive(Debug, Default)]
pub struct NamedLimits {
    limits: Vec<NamedLimit>,
    /// By name and by id.
    places: HashMap<Box<str>, usize>,
}

/// A limit that `ratelimit.limit` can name.
#[derive(Debug)]
pub struct NamedLimit {
    /// `rlns_…`.
    pub id: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// How it counts; how much is the caller's to say.
    pub algorithm: Algorithm,
    /// Exceptions by identifier.
    pub overrides: Overrides<Exception>,
}

/// What counts for an identifier instead of what the caller says.
#[derive(Clone, Debug)]
pub struct Exception {
    /// `rlor_…`.
    pub id: Box<str>,
    /// How much, per how long.
    pub limit: Limit,
}

impl NamedLimits {
    /// The limits of a namespace; of two with one name the first stands.
    pub fn new(limits: Vec<NamedLimit>) -> Self {
        let mut places = HashMap::new();
        for (place, limit) in limits.iter().enumerate() {
            places.entry(limit.name.clone()).or_insert(place);
            places.entry(limit.id.clone()).or_insert(place);
        }
        Self { limits, places }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &NamedLimit> {
        self.limits.iter()
    }

    /// The limit of this name or this id.
    pub fn get(&self, name_or_id: &str) -> Option<&NamedLimit> {
        self.places.get(name_or_id).and_then(|place| self.limits.get(*place))
    }
}
