//! Whole answers as files: status, headers and body of each page in each form.
//!
//! The files lie in `tests/golden`; `UPDATE=1 cargo test -p zpages` writes them anew. Times and signs are fixed by the tests that
//! call this, so a file changes only when the wire does.

use std::fmt::Write as _;
use std::path::Path;

use axum::response::Response;
use http_body_util::BodyExt;

/// Compares an answer with the file of this name.
pub(crate) async fn check(name: &str, response: Response) {
    let (head, body) = response.into_parts();
    let mut text = format!("{}\n", head.status.as_u16());
    for (header, value) in &head.headers {
        let _infallible = writeln!(text, "{header}: {}", value.to_str().unwrap());
    }
    let body = body.collect().await.unwrap().to_bytes();
    let _infallible = write!(text, "\n{}", std::str::from_utf8(&body).unwrap());

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        text,
        golden,
        "{} is out of date: look whether the wire should change, then run `UPDATE=1 cargo test -p zpages` and commit it",
        file.display()
    );
}

#[cfg(test)]
mod tests {
    use crate::health::{Check, Health};

    /// One check that is well, one that is not, and the page that has both.
    fn health(name: &'static str, with_bad: bool) -> Health {
        let bad = with_bad.then(|| Check::everywhere("index", || Err("not a word of this".to_owned())));
        Health::new(name, [Check::ping()].into_iter().chain(bad))
    }

    #[tokio::test]
    async fn health_pages_are_the_golden_ones() {
        for name in ["healthz", "livez", "readyz"] {
            for (form, query, with_bad) in [
                ("well", "", false),
                ("well-verbose", "verbose", false),
                ("well-excluded", "verbose&exclude=index&exclude=none", true),
                ("ill", "", true),
                ("ill-verbose", "verbose", true),
            ] {
                super::check(&format!("{name}-{form}.txt"), health(name, with_bad).answer(query)).await;
            }
        }
        for (form, check) in [("well", "ping"), ("ill", "index")] {
            let answer = health("livez", true).answer_single(check).unwrap();
            super::check(&format!("livez-{check}-{form}.txt"), answer).await;
        }
    }
}
