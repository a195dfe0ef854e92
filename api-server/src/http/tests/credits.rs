//! Credits on the wire: with balances in memory and with the journal, which makes verifications wait.

use super::*;

/// Code and balance.
async fn ask(app: &Service, body: Value) -> (String, Option<u64>) {
    let data = data(app, body).await;
    let code = data["code"].as_str().unwrap().to_owned();
    assert_eq!(data["valid"], json!(code == "VALID"));
    (code, data.get("credits").map(|credits| credits.as_u64().unwrap()))
}

fn valid(left: u64) -> (String, Option<u64>) {
    ("VALID".to_owned(), Some(left))
}

fn exceeded(left: u64) -> (String, Option<u64>) {
    ("USAGE_EXCEEDED".to_owned(), Some(left))
}

fn paid(cost: u64) -> Value {
    json!({"key": "a-paid-key", "credits": {"cost": cost}})
}

#[tokio::test]
async fn credits_are_spent_to_the_last_and_never_below() {
    let directory = tempfile::tempdir().unwrap();
    for balances in [Balances::in_memory(), Balances::open(directory.path()).unwrap()] {
        let app = served_with(balances).await;
        assert_eq!(ask(&app, json!({"key": "a-paid-key"})).await, valid(4), "the cost is 1");
        assert_eq!(ask(&app, paid(0)).await, valid(4));
        assert_eq!(ask(&app, paid(5)).await, exceeded(4), "nothing is spent of what is not enough");
        assert_eq!(ask(&app, paid(3)).await, valid(1));
        assert_eq!(ask(&app, paid(1)).await, valid(0), "0 is shown");
        assert_eq!(ask(&app, paid(0)).await, valid(0), "a cost of 0 always passes");
        assert_eq!(ask(&app, paid(1)).await, exceeded(0));
        assert_eq!(ask(&app, json!({"key": "a-spent-key"})).await, exceeded(0));
    }
}

#[tokio::test]
async fn a_key_without_a_balance_has_none_to_show() {
    let app = served().await;
    let free = data(&app, json!({"key": "a-bare-key", "credits": {"cost": 1_000_000}})).await;
    assert_eq!((free["code"].clone(), free.get("credits")), (json!("VALID"), None));
}

#[tokio::test]
async fn limits_come_first_and_are_not_refunded_and_a_wait_counts_them_once() {
    let directory = tempfile::tempdir().unwrap();
    for balances in [Balances::in_memory(), Balances::open(directory.path()).unwrap()] {
        let app = served_with(balances).await;
        for (body, code, left, remaining) in [
            // With the journal this one waits for the disk, and pays in the second step.
            (paid(1), "VALID", 4, 7),
            (paid(9), "USAGE_EXCEEDED", 4, 6),
            (json!({"key": "a-paid-key", "ratelimits": [{"name": "requests", "cost": 7}]}), "RATE_LIMITED", 4, 0),
            (paid(1), "VALID", 3, 5),
        ] {
            let data = data(&app, body.clone()).await;
            assert_eq!((data["code"].clone(), data["credits"].clone()), (json!(code), json!(left)), "{body}");
            assert_eq!(data["ratelimits"][0]["remaining"], json!(remaining), "{body}");
        }
    }
}

#[tokio::test]
async fn what_fails_earlier_shows_the_balance_and_spends_nothing() {
    let app = served().await;
    for _ in 0..2 {
        let disabled = ("DISABLED".to_owned(), Some(7));
        assert_eq!(ask(&app, json!({"key": "a-disabled-paid-key", "credits": {"cost": 3}})).await, disabled);
        let lacking = ("INSUFFICIENT_PERMISSIONS".to_owned(), Some(5));
        assert_eq!(ask(&app, json!({"key": "a-paid-key", "permissions": "any.thing"})).await, lacking);
    }
}

#[tokio::test]
async fn a_cost_is_a_count() {
    let app = served().await;
    for cost in [json!(-1), json!(1_000_000_000_001_u64), json!("1"), json!(null), json!({})] {
        let body = json!({"key": "a-paid-key", "credits": {"cost": cost}});
        assert_eq!(verify_as(&app, ROOT, body.clone()).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(
        verify_as(&app, ROOT, json!({"key": "a-paid-key", "credits": {}})).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(ask(&app, paid(5)).await, valid(0));
}
