//! Which key a generated one is: pure, from its status, its Secret and what its object says of rotation.
//!
//! The Secret is written first and the status second, so the Secret is at most one key ahead. It says whose successor it holds
//! ([`keyplane_api::REPLACES_ANNOTATION`]): if that is the status's current key, the operator died between the two writes and the second one is made
//! now. So no rotation is made twice and none is lost.
//!
//! | Secret | key with `rotation`, or a request waits | key without |
//! |---|---|---|
//! | gone | new Secret with a new key; the lost one is valid for the overlap | `SecretMissing`; the lost key stays valid |
//! | `key` edited | overwritten by a new key, as above | `SecretMalformed`; the issued key stays valid |
//! | not ours | `SecretMalformed`, never touched | the same |
//! | `previousKey`, `keyId` edited | set right | set right |
//!
//! The reason for the difference: whoever uses a key that rotates must follow its Secret anyway. A key that does not may have been handed
//! over and its Secret removed on purpose; ending it within a day for that would be an outage that nobody asked for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use keyplane_api::CurrentKey;
use keyplane_api::condition::reason;
use keyplane_core::hash::KeyHash;
use keyplane_core::key::PlainKey;

use super::decide::{Found, Held, Known, Material, known, trouble};
use super::kind::StatusView;
use super::rotation::{self, Cause, Turn, Wish};

/// A key to be made into a Secret.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Issue {
    /// Name of the Secret.
    pub secret_name: String,
    /// Why.
    pub cause: Cause,
    /// The hash of the current key, which the new one replaces.
    pub replaces: Option<String>,
    /// The Secret that is there.
    pub over: Option<Over>,
}

/// A Secret that gets another key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Over {
    /// Its version: one that was changed meanwhile is not overwritten.
    pub resource_version: Option<String>,
    /// The current key, if the Secret holds it.
    pub previous: Option<PlainKey>,
}

/// Decides for a generated key. `found` is the Secret `name`, `kind` the word for messages.
pub(super) fn generated(
    kind: &str,
    name: &str,
    status: StatusView<'_>,
    wish: Wish<'_>,
    found: Found,
    now: Timestamp,
) -> Material {
    match status.current {
        None => first(kind, name, wish, found, now),
        Some(current) => issued(kind, name, current, status, wish, found, now),
    }
}

fn first(kind: &str, name: &str, wish: Wish<'_>, found: Found, now: Timestamp) -> Material {
    let held = match found {
        Found::Absent => return issue(name, Cause::First, None, None),
        Found::Present(held) => held,
    };
    if !held.ours {
        let message = format!(
            "Secret `{name}` exists already and does not belong to this {kind}, so it is left alone; delete it or name \
             another one in spec.key.generate.secretName (to use the key in it, make a {kind} with spec.key.secretRef)"
        );
        return trouble(reason::SECRET_MALFORMED, message, false);
    }
    let unusable = match held.key {
        Some(Ok(key)) => {
            let issued_at = held.created.unwrap_or_else(|| rotation::issued_at(now));
            let turn = rotation::begun(wish, None, held.request.or_else(|| wish.request()), issued_at.0);
            return Material::Known(Known {
                turn,
                ..known(key.hash(), None, Some(issued_at), Some(key.start()), Some(name))
            });
        }
        Some(Err(error)) => error.to_string(),
        None => "has no entry `key`".to_owned(),
    };
    let message =
        format!("Secret `{name}` was made for this {kind} but {unusable}; delete the Secret and a new key is made");
    trouble(reason::SECRET_MALFORMED, message, false)
}

fn issued(
    kind: &str,
    name: &str,
    current: &CurrentKey,
    status: StatusView<'_>,
    wish: Wish<'_>,
    found: Found,
    now: Timestamp,
) -> Material {
    let is_delicate = if let Found::Present(held) = &found { held.replaces.is_some() } else { false };
    let turn = rotation::standing(wish, current, status.previous, status.handled, now);
    let turn = Turn { is_delicate, ..turn };
    let hash = KeyHash::parse(&current.sha256).ok();
    let held = match found {
        Found::Absent => return lost(kind, name, current, wish, turn, None, now),
        Found::Present(held) => held,
    };
    match &held.key {
        Some(Ok(key)) if Some(key.hash()) == hash => match rotation::due(wish, &turn, now) {
            Some(cause) => {
                let over = Over { resource_version: held.resource_version.clone(), previous: Some(key.clone()) };
                issue(name, cause, Some(current), Some(over))
            }
            None => {
                Material::Known(Known { turn, ..known(key.hash(), Some(current), None, Some(key.start()), Some(name)) })
            }
        },
        Some(Ok(key)) if held.ours && held.replaces.as_deref() == Some(&current.sha256) => {
            let handled = held.request.clone().or(turn.handled);
            let turn = rotation::begun(wish, Some(&current.sha256), handled, now);
            let issued_at = Some(rotation::issued_at(now));
            Material::Known(Known { turn, ..known(key.hash(), None, issued_at, Some(key.start()), Some(name)) })
        }
        _ => lost(kind, name, current, wish, turn, Some(*held), now),
    }
}

/// The plain key is in no Secret any more; `held` is what is in its place.
fn lost(
    kind: &str,
    name: &str,
    current: &CurrentKey,
    wish: Wish<'_>,
    turn: Turn,
    held: Option<Held>,
    now: Timestamp,
) -> Material {
    let ours = held.as_ref().is_none_or(|held| held.ours);
    let replaced = ours && wish.replaces_lost(turn.handled.as_deref(), now);
    if replaced && turn.is_free() {
        let cause = if held.is_none() { Cause::SecretDeleted } else { Cause::SecretEdited };
        let over = held.map(|held| Over { resource_version: held.resource_version, previous: None });
        return issue(name, cause, Some(current), over);
    }
    let end = turn.previous.as_ref().map(|key| key.valid_until.clone()).filter(|_| replaced);
    let turn = Turn { next: end.clone(), is_delicate: true, ..turn };
    let (reason, what) = match &held {
        None => (
            reason::SECRET_MISSING,
            format!("Secret `{name}` with the plain key is gone and the key cannot be recovered from its hash"),
        ),
        Some(held) if held.ours => {
            (reason::SECRET_MALFORMED, format!("Secret `{name}` does not hold the key that was issued any more"))
        }
        Some(_) => (
            reason::SECRET_MALFORMED,
            format!(
                "there is another Secret `{name}`, without the key that was issued and not of this {kind}, so it is left alone"
            ),
        ),
    };
    let remedy = match (end, ours) {
        (Some(Time(end)), _) => format!("a new one is issued at {end}, when the key before this one ends"),
        (None, true) => format!(
            "restore the Secret, or have a new key issued: kubectl annotate {} NAME {}=ANY-NEW-VALUE",
            kind.to_lowercase(),
            keyplane_api::ROTATE_ANNOTATION
        ),
        (None, false) => {
            "delete or rename it and restore the one with the key, or delete it and have a new key issued".to_owned()
        }
    };
    let message = format!("{what}; whoever has the issued key can still use it; {remedy}");
    Material::Trouble { reason, message, keep: true, turn }
}

fn issue(name: &str, cause: Cause, current: Option<&CurrentKey>, over: Option<Over>) -> Material {
    let replaces = current.map(|current| current.sha256.clone());
    Material::Issue(Issue { secret_name: name.to_owned(), cause, replaces, over })
}

/// What is to be set right in a Secret that holds the current key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Untidy {
    /// Its version: one that was changed meanwhile is looked at again first.
    pub resource_version: Option<String>,
    /// `previousKey` is not the previous key, or that one is valid no more.
    pub previous_key: bool,
    /// `keyId` is not the key's id.
    pub key_id: bool,
}

/// Looks for what is to be set right, once the status says `known`.
pub(super) fn untidy(held: &Held, known: &Known, id: &str) -> Option<Untidy> {
    let valid = known.turn.previous.as_ref().and_then(|key| KeyHash::parse(&key.sha256).ok());
    let previous_key =
        held.previous.as_ref().is_some_and(|key| key.as_ref().ok().map(PlainKey::hash) != valid || valid.is_none());
    let key_id = held.key_id.as_deref() != Some(id);
    let holds = held.key.as_ref().and_then(|key| key.as_ref().ok()).map(PlainKey::hash) == Some(known.hash);
    (holds && (previous_key || key_id)).then(|| Untidy {
        resource_version: held.resource_version.clone(),
        previous_key,
        key_id,
    })
}

#[cfg(test)]
#[path = "generated_tests.rs"]
mod tests;
