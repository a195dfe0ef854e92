//! Rights that are granted are rights that are used.

use keyplane_api_server::feed;
use keyplane_operator::rbac::VERIFY_KINDS;

#[test]
fn pods_may_read_exactly_the_kinds_that_the_feed_reads() {
    let mut read: Vec<String> = feed::KINDS.iter().map(|kind| format!("{}s", kind.as_str().to_lowercase())).collect();
    read.sort();
    let mut granted = VERIFY_KINDS.to_vec();
    granted.sort_unstable();
    // Every plural of ours is the kind with an `s`, but for identities.
    let read: Vec<String> = read.iter().map(|plural| plural.replace("identitys", "identities")).collect();
    assert_eq!(granted, read);
}
