//! What a request says about who sends it, beside the certificate of its connection.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The bearer token. Another scheme, or none, counts as nothing shown, and so does a token behind two spaces; a
/// header that is not ASCII has no token either. Only the first header line is read.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let mut words = header.splitn(3, ' ');
    let (scheme, token) = (words.next()?, words.next()?);
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderValue};

    use super::bearer_token;

    #[test]
    fn the_token_is_the_word_behind_bearer() {
        for (header, token) in [
            ("Bearer abc", Some("abc")),
            ("bEARER abc", Some("abc")),
            (" Bearer abc ", Some("abc")),
            ("Bearer abc def", Some("abc")),
            ("Bearer  abc", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic YTpi", None),
            ("Token abc", None),
            ("abc", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(header).unwrap())]);
            assert_eq!(bearer_token(&headers), token, "{header}");
        }
        assert_eq!(bearer_token(&HeaderMap::new()), None);
    }
}
