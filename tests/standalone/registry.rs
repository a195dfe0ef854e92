//! The embedded store does what every writable registry must.

use keyplane_api_server::registry::embedded::Embedded;
use keyplane_tests::registry_contract;

#[tokio::test]
async fn the_embedded_store_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    registry_contract::a_writable_registry(&Embedded::open(directory.path()).unwrap(), "team-a").await;
}
