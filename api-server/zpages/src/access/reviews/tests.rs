use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Knows the token `alice`, lets her read `/open`, fails on what is called `broken`, and counts.
#[derive(Clone, Default)]
struct Counting {
    asked: Arc<AtomicUsize>,
}

impl Reviews for Counting {
    fn user<'a>(&'a self, token: &'a str) -> Review<'a, Option<User>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            tokio::task::yield_now().await;
            match token {
                "broken" => Err(ReviewError("down".to_owned())),
                "alice" => Ok(Some(User { name: "alice".to_owned(), ..User::default() })),
                _ => Ok(None),
            }
        })
    }

    fn verdict<'a>(&'a self, _user: &'a User, _verb: &'a str, path: &'a str) -> Review<'a, Verdict> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if path == "/broken" {
                return Err(ReviewError("down".to_owned()));
            }
            Ok(Verdict { allowed: path.starts_with("/open"), reason: String::new() })
        })
    }
}

fn wants(path: &str) -> Attributes {
    Attributes { user: Arc::new(User::anonymous()), verb: "get".to_owned(), path: path.to_owned() }
}

/// How often the reviews are asked by a piece of work.
macro_rules! asked {
    ($counting:expr, $work:expr) => {{
        let before = $counting.asked.load(Ordering::Relaxed);
        $work;
        $counting.asked.load(Ordering::Relaxed) - before
    }};
}

#[tokio::test]
async fn answers_are_kept_and_failures_are_not() {
    let counting = Counting::default();
    let cached = Cached::new(counting.clone());
    for (token, times) in [("alice", 1), ("nobody", 1), ("broken", 3)] {
        let asked = asked!(
            counting,
            for _ in 0..3 {
                let user = cached.user(token).await;
                assert_eq!(user.is_err(), token == "broken");
                assert_eq!(user.ok().flatten().is_some(), token == "alice");
            }
        );
        assert_eq!(asked, times, "{token}");
    }
    for (path, times) in [("/open", 1), ("/closed", 1), ("/broken", 3)] {
        let asked = asked!(
            counting,
            for _ in 0..3 {
                let verdict = cached.verdict(&wants(path)).await;
                assert_eq!(verdict.is_err(), path == "/broken");
                assert_eq!(verdict.is_ok_and(|verdict| verdict.allowed), path == "/open");
            }
        );
        assert_eq!(asked, times, "{path}");
    }
}

#[tokio::test]
async fn every_part_of_a_question_counts() {
    let counting = Counting::default();
    let cached = Cached::new(counting.clone());
    let known = wants("/open");
    let person = |name: &str, group: &str| {
        Arc::new(User { name: name.to_owned(), groups: vec![group.to_owned()], ..User::default() })
    };
    let others = [
        wants("/other"),
        Attributes { verb: "put".to_owned(), ..known.clone() },
        Attributes { user: person("system:anonymous", "x"), ..known.clone() },
        Attributes { user: person("a", "system:unauthenticated"), ..known.clone() },
    ];
    let asked = asked!(
        counting,
        for question in others.iter().chain([&known]) {
            cached.verdict(question).await.unwrap();
        }
    );
    assert_eq!(asked, others.len() + 1);
}

#[tokio::test]
async fn a_question_under_way_is_not_asked_twice() {
    let counting = Counting::default();
    let cached = Cached::new(counting.clone());
    let asked = asked!(counting, {
        let (one, two) = tokio::join!(cached.user("alice"), cached.user("alice"));
        assert_eq!(one.unwrap(), two.unwrap());
    });
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn an_answer_ends_and_is_asked_for_anew() {
    let counting = Counting::default();
    let cached = Cached::with_times(counting.clone(), Duration::from_millis(1), PATIENCE);
    // Bounded: one look after another until the answer of a millisecond is gone.
    let asked = async {
        while counting.asked.load(Ordering::Relaxed) < 4 {
            cached.user("alice").await.unwrap();
            cached.verdict(&wants("/open")).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), asked).await.unwrap();
}

#[tokio::test]
async fn a_huge_question_is_not_kept() {
    let counting = Counting::default();
    let cached = Cached::new(counting.clone());
    let huge = wants(&format!("/open{}", "x".repeat(LARGEST)));
    let asked = asked!(
        counting,
        for _ in 0..2 {
            assert!(cached.verdict(&huge).await.unwrap().allowed);
        }
    );
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn who_never_answers_is_not_waited_for() {
    struct Silent;
    impl Reviews for Silent {
        fn user<'a>(&'a self, _token: &'a str) -> Review<'a, Option<User>> {
            Box::pin(std::future::pending())
        }
        fn verdict<'a>(&'a self, _user: &'a User, _verb: &'a str, _path: &'a str) -> Review<'a, Verdict> {
            Box::pin(std::future::pending())
        }
    }
    let cached = Cached::with_times(Silent, KEEP, Duration::from_millis(2));
    assert!(cached.user("x").await.unwrap_err().0.contains("within 2ms"));
    assert!(cached.verdict(&wants("/x")).await.unwrap_err().0.contains("within 2ms"));
}

#[test]
fn tokens_are_not_kept_and_no_two_processes_know_them_alike() {
    let (one, two) = (Cached::new(Counting::default()), Cached::new(Counting::default()));
    assert_eq!(one.key("alice"), one.key("alice"));
    assert_ne!(one.key("alice"), one.key("alicf"));
    assert_ne!(one.key("alice"), two.key("alice"));
}
