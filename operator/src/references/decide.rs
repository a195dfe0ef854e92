//! What an object's status shall say: pure, from the objects of its namespace.

use keyplane_api::DEFAULT_KEYSPACE;
use keyplane_api::condition::{ConditionStatus, NewCondition, READY, REFERENCES_RESOLVED, find_condition, reason};
use keyplane_api::limit_record::rate_limit_id;
use keyplane_api::record::{identity_id, keyspace_id};
use keyplane_core::id;

use super::exceptions::{Before, Standing};
use super::namespace::{Entry, Namespace};
use super::object::{KeySays, Kind, LimitSays, OverrideSays, Place, Says};
use super::status::{Counts, Verdict};

/// A message names so many objects and then says how many more there are.
const NAMED: usize = 5;

/// A condition without what all conditions of an object have in common.
struct Said {
    holds: bool,
    reason: &'static str,
    message: String,
}

/// The status of an object. `None` when it is gone.
pub(super) fn verdict(namespace: &str, objects: &Namespace, place: &Place) -> Option<Verdict> {
    let entry = objects.get(place.kind, &place.name)?;
    let own_id = |kind| {
        let from_name = entry.object.made_by_api.then(|| id::from_object_name(kind, &place.name)).flatten();
        from_name.unwrap_or_else(|| id::from_uid(kind, &entry.object.uid))
    };
    let keys = |name: &str| owns(objects, place, name).then(|| objects.names().count(place.kind, name, Kind::ApiKey));
    let counted = |count: Option<i64>| Counts { keys: Some(count.unwrap_or(0)), ..Counts::default() };
    let (id, counts, ready, references) = match &entry.object.says {
        Says::Key(key) => (None, Counts::default(), None, Some(of_key(objects, key))),
        Says::Limit(limit) => {
            let id = rate_limit_id(namespace, &limit.name);
            let references = Some(of_keyspaces(objects, limit.keyspaces()));
            (Some(id), limit_counts(objects, place, limit), Some(limit_ready(objects, place, limit)), references)
        }
        Says::Override(given) => {
            let id = id::from_name(id::Kind::Override, &rate_limit_id(namespace, &given.limit), &given.identifier);
            (Some(id), Counts::default(), Some(override_ready(objects, place, given)), None)
        }
        Says::Keyspace => {
            let id = keyspace_id(namespace, &place.name);
            (Some(id), counted(keys(&place.name)), Some(name_ready(objects, place, &place.name)), None)
        }
        Says::Identity(name) => {
            let id = identity_id(namespace, name);
            (Some(id), counted(keys(name)), Some(name_ready(objects, place, name)), None)
        }
        Says::Role(name) => {
            (Some(own_id(id::Kind::Role)), Counts::default(), Some(name_ready(objects, place, name)), None)
        }
        Says::Permission(name) => {
            (Some(own_id(id::Kind::Permission)), Counts::default(), Some(name_ready(objects, place, name)), None)
        }
    };
    let ready = ready.map(|said| condition(READY, said, entry));
    let references = references.map(|said| condition(REFERENCES_RESOLVED, said, entry));
    // Most keys never name what is not there; for them it would be a write more for each and say nothing.
    let shown = find_condition(&entry.object.shown.conditions, REFERENCES_RESOLVED).is_some();
    let references = references.filter(|condition| shown || condition.status != ConditionStatus::True);
    Some(Verdict { id, counts, conditions: ready.into_iter().chain(references).collect() })
}

fn condition(type_: &'static str, said: Said, entry: &Entry) -> NewCondition {
    let Said { holds, reason, message } = said;
    let observed_generation = entry.object.generation;
    NewCondition { type_, status: ConditionStatus::from(holds), reason, message, observed_generation }
}

/// Whether this object is the one that its name leads to.
fn owns(objects: &Namespace, place: &Place, name: &str) -> bool {
    objects.names().owner(place.kind, name) == Some(&place.name)
}

/// For kinds that can be used if their name is theirs.
fn name_ready(objects: &Namespace, place: &Place, name: &str) -> Said {
    let kind = place.kind.as_str();
    let what = match place.kind {
        Kind::Identity => "externalId",
        Kind::KeyPermission => "slug",
        _ => "name",
    };
    let mut claimants = objects.names().claimants(place.kind, name);
    let owner = claimants.next().map(|owner| &**owner).unwrap_or_default();
    if owner != &*place.name {
        let message = format!(
            "{kind} `{owner}` is older and has the {what} `{name}` too, so that one is used and this one is not; delete one or give it another {what}"
        );
        return Said { holds: false, reason: reason::DUPLICATE_NAME, message };
    }
    let younger: Vec<&str> = claimants.map(|name| &**name).collect();
    if younger.is_empty() {
        return Said {
            holds: true,
            reason: reason::IN_USE,
            message: format!("the {what} `{name}` leads to this object"),
        };
    }
    let message = format!(
        "this object is used because it is the oldest with the {what} `{name}`; not used: {kind} {}",
        list(younger.into_iter())
    );
    Said { holds: true, reason: reason::NAME_SHARED, message }
}

fn limit_ready(objects: &Namespace, place: &Place, limit: &LimitSays) -> Said {
    let mut said = name_ready(objects, place, &limit.name);
    if let Some(error) = &limit.invalid {
        let message = format!("the limit is not used: {error}");
        return Said { holds: false, reason: reason::INVALID_SPEC, message };
    }
    if !said.holds {
        return said;
    }
    let mut unused: Vec<String> = limit.unusable.iter().map(|given| format!("`{given}` (no rule)")).collect();
    for identifier in &limit.identifiers {
        if let Standing::Shadowed(before, pattern) =
            objects.exceptions().of_limit(&limit.name, identifier, &limit.identifiers)
        {
            unused.push(format!("`{identifier}` (behind `{pattern}`{})", of(&before)));
        }
    }
    if !unused.is_empty() {
        let message = format!(
            "the limit is used, but not these of spec.overrides: {}; remove or change them",
            enumerated(unused.into_iter())
        );
        return Said { holds: false, reason: reason::OVERRIDES_NOT_IN_USE, message };
    }
    let objects_not_used = objects.exceptions().not_in_use(&limit.name);
    if objects_not_used.len() > 0 {
        said.message.push_str("; RateLimitOverrides of it that are not used: ");
        said.message.push_str(&list(objects_not_used));
    }
    said
}

fn limit_counts(objects: &Namespace, place: &Place, limit: &LimitSays) -> Counts {
    let inside = i64::try_from(limit.identifiers.len()).unwrap_or(i64::MAX);
    if !owns(objects, place, &limit.name) {
        return Counts { keys: Some(0), sample: Vec::new(), overrides: Some(inside) };
    }
    let matched = objects.matched(&place.name);
    Counts {
        keys: Some(matched.map_or(0, super::matched::Matched::count)),
        sample: matched.map(super::matched::Matched::sample).unwrap_or_default(),
        overrides: Some(objects.names().count(Kind::RateLimit, &limit.name, Kind::RateLimitOverride) + inside),
    }
}

fn override_ready(objects: &Namespace, place: &Place, given: &OverrideSays) -> Said {
    let refuse = |reason, message| Said { holds: false, reason, message };
    let OverrideSays { limit, identifier, invalid } = given;
    if let Some(error) = invalid {
        return refuse(reason::INVALID_SPEC, format!("the override is not used: {error}"));
    }
    if objects.names().owner(Kind::RateLimit, limit).is_none() {
        let message = format!(
            "there is no RateLimit with the name `{limit}` in this namespace; the override is used once there is"
        );
        return refuse(reason::RATE_LIMIT_NOT_FOUND, message);
    }
    match objects.standing(&place.name) {
        Some(Standing::Duplicate(Before::InLimit)) => refuse(
            reason::DUPLICATE_IDENTIFIER,
            format!("the RateLimit has an override for `{identifier}` in its spec, which comes first; remove one"),
        ),
        Some(Standing::Duplicate(Before::Object(older))) => refuse(
            reason::DUPLICATE_IDENTIFIER,
            format!(
                "RateLimitOverride `{older}` is older and for `{identifier}` too, so that one is used and this one is not; remove one"
            ),
        ),
        Some(Standing::Shadowed(before, pattern)) => refuse(
            reason::SHADOWED,
            format!("`{pattern}`{} matches all that `{identifier}` matches and comes first; remove one", of(&before)),
        ),
        Some(Standing::InUse) | None => {
            let message = format!("the override is used for `{identifier}`");
            Said { holds: true, reason: reason::IN_USE, message }
        }
    }
}

fn of_key(objects: &Namespace, key: &KeySays) -> Said {
    let keyspaces = of_keyspaces(objects, std::slice::from_ref(&key.keyspace));
    let missing = key.roles.iter().filter(|role| objects.names().owner(Kind::KeyRole, role).is_none());
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    if missing.is_empty() {
        return keyspaces;
    }
    let roles = format!(
        "there is no KeyRole {} in this namespace: it adds no permission until there is",
        list(missing.into_iter())
    );
    if keyspaces.holds {
        return Said { holds: false, reason: reason::ROLE_NOT_FOUND, message: roles };
    }
    Said { message: format!("{}; {roles}", keyspaces.message), ..keyspaces }
}

fn of_keyspaces(objects: &Namespace, names: &[String]) -> Said {
    let exists = |name: &str| name == DEFAULT_KEYSPACE || objects.names().owner(Kind::Keyspace, name).is_some();
    let missing: Vec<&str> = names.iter().map(String::as_str).filter(|name| !exists(name)).collect();
    if missing.is_empty() {
        let message = "everything that this object names exists".to_owned();
        return Said { holds: true, reason: reason::RESOLVED, message };
    }
    let message = format!(
        "there is no Keyspace {} in this namespace: its settings apply once there is, all else works",
        list(missing.into_iter())
    );
    Said { holds: false, reason: reason::KEYSPACE_NOT_FOUND, message }
}

fn of(before: &Before) -> String {
    match before {
        Before::InLimit => " in the RateLimit's spec".to_owned(),
        Before::Object(object) => format!(" of RateLimitOverride `{object}`"),
    }
}

/// `a`, `b` and 3 more.
fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    enumerated(names.map(|name| format!("`{name}`")))
}

fn enumerated(texts: impl ExactSizeIterator<Item = String>) -> String {
    let more = texts.len().saturating_sub(NAMED);
    let named: Vec<String> = texts.take(NAMED).collect();
    if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
pub(super) mod tests;
