//! The decisions of Keyplane: keys, records, verdicts, permission queries and ids.
//!
//! Everything here is a function of values. The crate waits for nothing, opens nothing and asks no clock: the time is an
//! argument ([`time::Millis`]), randomness is an argument, and nothing of Kubernetes, HTTP or tokio is known. That is what lets one
//! test exercise a rule with plain values, and what lets the operator and the api-server share the rules without sharing each other.
//!
//! | module | what it decides |
//! |---|---|
//! | [`hash`] | what stands for a key everywhere but in its Secret |
//! | [`key`] | how a plain key is made and cut into its `start` |
//! | [`prefixed`] | how a key imported by its long token is found and cut up |
//! | [`id`] | the stable ids that HTTP clients see |
//! | [`record`] | what a pod must know of one key or one caller |
//! | [`permission`] | permission queries of a verification, and what a root key may do |
//! | [`verify`] | the verdict about one key |
//! | [`limit`] | who is admitted by a rate limit: the algorithms, and several counters as one |
//! | [`overrides`] | exceptions to a limit by identifier |
//! | [`plan`] | which limits a verification evaluates |
//! | [`credits`], [`calendar`] | spending and refilling a balance |
//! | [`last_used`] | the minute in which a key was last used |
//! | [`address`] | from which networks a key may be used |
//! | [`counter_id`] | which counter a limit or a balance runs on |
//! | [`duration`], [`time`] | spans and points of time, in their written forms |

pub mod address;
pub mod calendar;
pub mod counter_id;
pub mod credits;
pub mod duration;
pub mod fingerprint;
pub mod hash;
pub mod id;
pub mod key;
pub mod last_used;
pub mod limit;
pub mod overrides;
pub mod permission;
pub mod plan;
pub mod prefixed;
pub mod record;
pub mod time;
pub mod verify;
