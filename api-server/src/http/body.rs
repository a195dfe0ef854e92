//! Reads a request's body and holds it against the operation's schema.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use hyper::body::{Body, Bytes};
use serde::Deserialize;
use serde_json::Value;

use super::admission::BodyError;
use super::caller::{self, Head};
use super::error::{ApiError, FieldError};
use super::schema::Rule;
use crate::bounded_value;

/// The largest body, in bytes: 10 MiB, as clients of this API know it.
pub(crate) const MAX_BYTES: usize = 10 * 1024 * 1024;

/// What a body may take once it is read, in bytes. The largest body fits that is one text, and a thousand times what any rule lets through;
/// without it 10 MiB of `{"":0},` would take 1 GiB, from anyone. As many are read at once as there are workers.
const MAX_VALUE: usize = 16 * 1024 * 1024;

/// Larger bodies are not read straight into their type: a correct one is rare, and the second reading would be dear.
const MAX_DIRECT: usize = 16 * 1024;

/// The body of a request, from a connection or from a test.
pub trait RequestBody: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin {}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin> RequestBody for B {}

/// Whether a request must have credentials in its `Authorization` header to be in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Required,
    Open,
}

/// Reads the whole body. One that says that it is too large is refused before it is read. Cost: a body that came in one piece, as small ones
/// do, is not copied.
pub(crate) async fn read(mut body: impl RequestBody, max_bytes: usize) -> Result<Bytes, ApiError> {
    let mut reading = Reading::default();
    poll_fn(|cx| reading.poll(&mut body, max_bytes, cx)).await
}

/// A body on its way in, of which this much has come.
#[derive(Default)]
pub(crate) struct Reading {
    first: Bytes,
    /// Several pieces, the first among them.
    joined: Vec<u8>,
}

impl Reading {
    /// The body once it is whole. Cost as for [`read`].
    pub(crate) fn poll(
        &mut self,
        body: &mut impl RequestBody,
        max_bytes: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, ApiError>> {
        if body.size_hint().lower() > max_bytes as u64 {
            return Poll::Ready(Err(ApiError::TooLarge(max_bytes)));
        }
        let mut body = Pin::new(body);
        while let Some(frame) = ready!(body.as_mut().poll_frame(cx)) {
            let Ok(data) = frame.map_err(|error| broken(error.into()))?.into_data() else { continue };
            if data.len() > max_bytes - self.first.len().max(self.joined.len()) {
                return Poll::Ready(Err(ApiError::TooLarge(max_bytes)));
            }
            if self.first.is_empty() && self.joined.is_empty() {
                self.first = data;
            } else {
                if self.joined.is_empty() {
                    self.joined.extend_from_slice(&self.first);
                }
                self.joined.extend_from_slice(&data);
            }
            if body.is_end_stream() {
                break;
            }
        }
        let Self { first, joined } = mem::take(self);
        Poll::Ready(Ok(if joined.is_empty() { first } else { joined.into() }))
    }
}

/// Why a body ended before its end.
fn broken(error: BoxError) -> ApiError {
    match BodyError::find(&*error) {
        Some(BodyError::Overloaded) => ApiError::Overloaded,
        Some(BodyError::TooSlow(_)) => ApiError::Timeout,
        Some(BodyError::Broken(_)) | None => ApiError::Unreadable("the connection broke while it was sent".to_owned()),
    }
}

/// Reads a body straight into its type; `None` when it must be [`checked`], which alone says what is wrong with it. Cost: one pass, and no
/// allocation where no text has an escape.
pub(crate) fn direct<'a, T: Deserialize<'a>>(head: Head<'_>, bytes: &'a [u8], credentials: Credentials) -> Option<T> {
    in_order(head, bytes, credentials).then(|| serde_json::from_slice(bytes).ok()).flatten()
}

/// Whether nothing but the body's own form can be wrong with a request, and the body is one to read directly.
pub(crate) fn in_order(head: Head<'_>, bytes: &[u8], credentials: Credentials) -> bool {
    (credentials == Credentials::Open || head.authorization.is_some())
        && check_media_type(head).is_ok()
        && bytes.len() <= MAX_DIRECT
}

/// Checks the form of the whole request (media type, presence of credentials, every field), before anyone looks at who calls. All failures
/// of form are reported at once.
pub(crate) fn checked(head: Head<'_>, bytes: &[u8], rule: &Rule, credentials: Credentials) -> Result<Value, ApiError> {
    let mut errors: Vec<FieldError> = check_media_type(head).err().into_iter().collect();
    if credentials == Credentials::Required {
        errors.extend(caller::check_present(head).err());
    }
    let mut value = match bounded_value::read_json(bytes, MAX_VALUE) {
        Ok(value) => value,
        Err(error) => {
            let message = if bytes.is_empty() {
                "the body is empty".to_owned()
            } else if error.is_data() {
                format!("the body is too large: {error}")
            } else {
                format!("the body is not JSON: {error}")
            };
            errors.push(FieldError { location: "body".to_owned(), message, fix: None });
            return Err(invalid(errors));
        }
    };
    rule.check("body", &mut value, &mut errors);
    if errors.is_empty() { Ok(value) } else { Err(invalid(errors)) }
}

/// Reads a value that was [`checked`] into its type.
pub(crate) fn typed<'a, T: Deserialize<'a>>(value: &'a Value) -> Result<T, ApiError> {
    T::deserialize(value).map_err(|error| {
        // The rule let something through that the type refuses: our mistake, but still the caller's value to change.
        invalid(vec![FieldError { location: "body".to_owned(), message: error.to_string(), fix: None }])
    })
}

/// [`direct`], else [`checked`] and [`typed`]; `slow` holds the value that the body is then borrowed from.
pub(crate) fn parse<'a, T: Deserialize<'a>>(
    head: Head<'_>,
    bytes: &'a [u8],
    slow: &'a mut Value,
    rule: &Rule,
    credentials: Credentials,
) -> Result<T, ApiError> {
    if let Some(body) = direct(head, bytes, credentials) {
        return Ok(body);
    }
    *slow = checked(head, bytes, rule, credentials)?;
    typed(slow)
}

/// The headline names the first failure, as one reads it in a log; the list has all.
fn invalid(errors: Vec<FieldError>) -> ApiError {
    let detail = match errors.first() {
        Some(first) => format!("The request is invalid: {} ({}).", first.message, first.location),
        None => "The request is invalid.".to_owned(),
    };
    ApiError::InvalidInput { detail, errors }
}

fn check_media_type(head: Head<'_>) -> Result<(), FieldError> {
    const JSON: &str = "application/json";
    if head.content_type.is_some_and(|value| value.as_bytes() == JSON.as_bytes()) {
        return Ok(());
    }
    let value = head.content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON) {
        return Ok(());
    }
    Err(FieldError {
        location: "header.Content-Type".to_owned(),
        message: format!("the content type is `{value}`, not application/json"),
        fix: Some("send `Content-Type: application/json`".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Empty, Full, StreamBody};
    use hyper::body::{Frame, SizeHint};
    use std::convert::Infallible;

    fn pieces(pieces: &'static [&'static str]) -> impl RequestBody {
        let frames = pieces.iter().map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(*piece))));
        StreamBody::new(futures::stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_is_read_whole_in_however_many_pieces() {
        for (given, expected) in [(&[][..], ""), (&["ab"], "ab"), (&["", "a", "", "b", "c"], "abc")] {
            assert_eq!(read(pieces(given), 3).await.unwrap(), expected);
        }
        assert_eq!(read(Empty::new(), 0).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_before_it_is_read_if_it_says_so() {
        assert_eq!(read(pieces(&["ab", "cd"]), 3).await, Err(ApiError::TooLarge(3)));
        let silent = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let declared = Declared(silent.boxed());
        assert_eq!(read(declared, 3).await, Err(ApiError::TooLarge(3)), "nothing of it ever comes");
        assert_eq!(read(Full::from("abc"), 3).await.unwrap(), "abc");
    }

    /// A body that says that it has four bytes.
    struct Declared<B>(B);

    impl<B: Body + Unpin> Body for Declared<B> {
        type Data = B::Data;
        type Error = B::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
            Pin::new(&mut self.0).poll_frame(cx)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(4)
        }
    }
}
