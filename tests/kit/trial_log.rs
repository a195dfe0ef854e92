//! What the processes of one trial printed, shown when the trial fails.
//!
//! Processes end before the verdict is known (they are locals of the trial), so each leaves the end of its log here as
//! it goes. A trial's main future runs on the trial's own thread, so a thread-local is enough.

use std::cell::RefCell;

thread_local! {
    static TAILS: RefCell<Option<Vec<(String, String)>>> = const { RefCell::new(None) };
}

/// Starts collecting on this thread.
pub(crate) fn begin() {
    TAILS.set(Some(Vec::new()));
}

/// Keeps the end of a process's log if this thread collects.
pub(crate) fn keep(name: &str, tail: impl FnOnce() -> String) {
    // A thread that ends drops its locals in any order; then there is nobody left to show it to.
    let _ = TAILS.try_with(|tails| {
        if let Some(tails) = tails.borrow_mut().as_mut() {
            tails.push((name.to_owned(), tail()));
        }
    });
}

/// Ends collecting; what was kept, as text.
pub(crate) fn end() -> String {
    let tails = TAILS.take().unwrap_or_default();
    let shown = tails.iter().map(|(name, tail)| format!("--- {name}\n{tail}\n"));
    shown.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_only_between_begin_and_end() {
        keep("early", || "lost".to_owned());
        begin();
        keep("operator", || "leader".to_owned());
        let text = end();
        assert!(text.contains("operator") && text.contains("leader") && !text.contains("early"), "{text}");
        assert_eq!(end(), "");
    }
}
