//! How long to wait before trying a failed object again: pure, from the class of the error and the number of failures in a row.

use std::time::Duration;

/// What kind of failure it was, which says how soon another try can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Somebody else wrote at the same time; reading again is enough.
    Conflict,
    /// The API server was not reached or is overloaded.
    Transient,
    /// The API server understood and refused (403, 422, …); only a change by a person or of the object helps.
    Refused,
}

impl Class {
    /// The label of this class in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Transient => "transient",
            Self::Refused => "refused",
        }
    }

    const fn first_and_longest(self) -> (Duration, Duration) {
        match self {
            Self::Conflict => (Duration::from_millis(50), Duration::from_secs(5)),
            Self::Transient => (Duration::from_millis(500), Duration::from_secs(60)),
            Self::Refused => (Duration::from_secs(5), Duration::from_secs(300)),
        }
    }
}

/// Sorts an error of the client. `NotFound` counts as a conflict: the object went away between reading and writing.
pub fn classify(error: &kube::Error) -> Class {
    match error {
        kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() || status.is_not_found() => {
            Class::Conflict
        }
        kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => Class::Refused,
        _ => Class::Transient,
    }
}

/// The wait before try number `attempt + 1`, where `attempt` counts failures in a row from 1. Doubles each time up to a limit.
pub fn delay(class: Class, attempt: u32) -> Duration {
    let (first, longest) = class.first_and_longest();
    let doublings = attempt.saturating_sub(1).min(16);
    first.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn api_error(code: u16, reason: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status { code, reason: reason.to_owned(), ..Status::default() }))
    }

    #[test]
    fn delay_doubles_up_to_its_limit() {
        let waits: Vec<_> = (1..=4).map(|attempt| delay(Class::Transient, attempt).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000]);
        assert_eq!(delay(Class::Transient, 40), Duration::from_secs(60));
        assert_eq!(delay(Class::Refused, u32::MAX), Duration::from_secs(300));
        assert_eq!(delay(Class::Conflict, 0), Duration::from_millis(50));
    }

    #[test]
    fn errors_are_sorted_by_what_can_help() {
        assert_eq!(classify(&api_error(409, "Conflict")), Class::Conflict);
        assert_eq!(classify(&api_error(409, "AlreadyExists")), Class::Conflict);
        assert_eq!(classify(&api_error(403, "Forbidden")), Class::Refused);
        assert_eq!(classify(&api_error(422, "Invalid")), Class::Refused);
        assert_eq!(classify(&api_error(429, "TooManyRequests")), Class::Transient);
        assert_eq!(classify(&api_error(503, "ServiceUnavailable")), Class::Transient);
    }
}
