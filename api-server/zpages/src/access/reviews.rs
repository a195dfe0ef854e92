//! Questions to who decides, and the answers of the last seconds.
//!
//! As upstream: an answer counts for 10 s, allowed or not, and a failure is never kept. At most so many answers are
//! kept, and at most so many questions asked at once, that strangers with made-up tokens can fill neither our memory
//! nor the API server's queue.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::user::User;

/// How long an answer counts: a right that is taken away is gone after it.
const KEEP: Duration = Duration::from_secs(10);
/// How long a question may take, waiting for a place included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers of each kind, 8192 as upstream. With [`LARGEST`] the verdicts take at most 80 MiB, commonly 4.
const MOST: u64 = 8192;
/// The attributes of a verdict that is kept, in bytes.
const LARGEST: usize = 10_000;
/// Questions at once: with 5 ms each, 6,400 a second, more than an API server should spend on us.
const AT_ONCE: usize = 32;

/// A question under way.
pub type Review<'a, T> = Pin<Box<dyn Future<Output = Result<T, ReviewError>> + Send + 'a>>;

/// Why there is no answer. Holds no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReviewError(pub String);

/// The answer to whether someone may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether they may.
    pub allowed: bool,
    /// Why, for people; may be empty.
    pub reason: String,
}

/// Who knows tokens and rights: an API server, or a test.
pub trait Reviews: Send + Sync + 'static {
    /// Whose token this is; `None` when it is nobody's.
    fn user<'a>(&'a self, token: &'a str) -> Review<'a, Option<User>>;

    /// Whether `user` may use `verb` (the method in lower case) on `path` (without the query).
    fn verdict<'a>(&'a self, user: &'a User, verb: &'a str, path: &'a str) -> Review<'a, Verdict>;
}

/// What someone wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attributes {
    /// Who.
    pub(super) user: Arc<User>,
    /// The method, in lower case.
    pub(super) verb: String,
    /// The path, unescaped and without the query.
    pub(super) path: String,
}

impl Attributes {
    fn bytes(&self) -> usize {
        let User { name, uid, groups, extra } = self.user.as_ref();
        let groups: usize = groups.iter().map(String::len).sum();
        let extra: usize =
            extra.iter().map(|(key, values)| key.len() + values.iter().map(String::len).sum::<usize>()).sum();
        name.len() + uid.len() + groups + extra + self.verb.len() + self.path.len()
    }
}

/// Asks, and remembers.
pub(super) struct Cached {
    reviews: Box<dyn Reviews>,
    /// Tokens are not kept: this makes a key of each that is of use in this process alone. `None` when the operating
    /// system had no randomness; then nothing is remembered.
    secret: Option<hmac::Key>,
    users: Cache<[u8; 32], Option<Arc<User>>>,
    verdicts: Cache<Attributes, Verdict>,
    places: Semaphore,
    patience: Duration,
}

impl Cached {
    pub(super) fn new(reviews: impl Reviews) -> Self {
        Self::with_times(reviews, KEEP, PATIENCE)
    }

    fn with_times(reviews: impl Reviews, keep: Duration, patience: Duration) -> Self {
        Self {
            reviews: Box::new(reviews),
            secret: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok(),
            users: Cache::builder().max_capacity(MOST).time_to_live(keep).build(),
            verdicts: Cache::builder().max_capacity(MOST).time_to_live(keep).build(),
            places: Semaphore::new(AT_ONCE),
            patience,
        }
    }

    /// Whose token this is, in the group of everyone authenticated. Asked once at a time for each token.
    pub(super) async fn user(&self, token: &str) -> Result<Option<Arc<User>>, ReviewError> {
        let ask = async {
            let user = self.asked(self.reviews.user(token)).await?;
            Ok::<_, ReviewError>(user.map(|user| Arc::new(user.authenticated())))
        };
        match self.key(token) {
            Some(key) => self.users.try_get_with(key, ask).await.map_err(|error| ReviewError::clone(&error)),
            None => ask.await,
        }
    }

    /// Whether it is allowed.
    pub(super) async fn verdict(&self, attributes: &Attributes) -> Result<Verdict, ReviewError> {
        let Attributes { user, verb, path } = attributes;
        // Asked only when it is waited for.
        let ask = async { self.asked(self.reviews.verdict(user, verb, path)).await };
        if attributes.bytes() >= LARGEST {
            return ask.await;
        }
        let known = self.verdicts.try_get_with_by_ref(attributes, ask).await;
        known.map_err(|error| ReviewError::clone(&error))
    }

    async fn asked<T>(&self, review: Review<'_, T>) -> Result<T, ReviewError> {
        let answer = timeout(self.patience, async {
            let _place = self.places.acquire().await.map_err(|error| ReviewError(error.to_string()))?;
            review.await
        });
        answer.await.unwrap_or_else(|_| Err(ReviewError(format!("no answer within {:?}", self.patience))))
    }

    fn key(&self, token: &str) -> Option<[u8; 32]> {
        hmac::sign(self.secret.as_ref()?, token.as_bytes()).as_ref().try_into().ok()
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cached").field("users", &self.users.entry_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
