//! Rules of the repository. No network, no programs started.

#[test]
fn the_workspace_has_its_rooms() {
    for room in ["operator", "api-server", "charts", "crds", "tests"] {
        assert!(keyplane_tests::workspace::root().join(room).is_dir(), "{room}/ is missing");
    }
}
