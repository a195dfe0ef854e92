//! Rules of the repository. No network, no programs started.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

#[test]
fn the_workspace_has_its_rooms() {
    for room in ["operator", "api-server", "charts", "crds", "tests"] {
        assert!(keyplane_tests::workspace::root().join(room).is_dir(), "{room}/ is missing");
    }
}
