//! The paths that everyone may read.

/// Kubernetes' own list. Not the single checks below these pages: they tell the reason of a failure.
const DEFAULT: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Paths, and beginnings of paths, without the slash in front.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AlwaysAllow {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl Default for AlwaysAllow {
    fn default() -> Self {
        Self::new(DEFAULT.map(str::to_owned))
    }
}

impl AlwaysAllow {
    /// A path that ends in `*` is a beginning; an empty one is none.
    pub(super) fn new(paths: impl IntoIterator<Item = String>) -> Self {
        let (mut exact, mut prefixes) = (Vec::new(), Vec::new());
        for path in paths {
            let path = path.trim();
            let relative = path.strip_prefix('/').unwrap_or(path);
            match relative.strip_suffix('*') {
                _ if path.is_empty() => {}
                Some(prefix) => prefixes.push(prefix.to_owned()),
                None => exact.push(relative.to_owned()),
            }
        }
        Self { exact, prefixes }
    }

    pub(super) fn covers(&self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        self.exact.iter().any(|exact| exact == path) || self.prefixes.iter().any(|prefix| path.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::AlwaysAllow;

    #[test]
    fn the_health_pages_are_open_and_what_is_below_them_is_not() {
        let open = AlwaysAllow::default();
        for path in ["/healthz", "/livez", "/readyz"] {
            assert!(open.covers(path), "{path}");
        }
        for path in ["/", "/livez/", "/livez/ping", "/readyzz", "/statusz", "/metrics", ""] {
            assert!(!open.covers(path), "{path}");
        }
    }

    #[test]
    fn a_star_stands_for_the_rest() {
        let open = AlwaysAllow::new(["/livez", "/livez/*", " metrics", ""].map(str::to_owned));
        for path in ["/livez", "/livez/ping", "/livez/a/b", "/metrics"] {
            assert!(open.covers(path), "{path}");
        }
        for path in ["/", "/livezz", "/metrics/slis", "/statusz"] {
            assert!(!open.covers(path), "{path}");
        }
    }
}
