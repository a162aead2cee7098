//! Who asks too often is told when to come back, and nobody else notices.

use onair_manager::config::HttpLimits;

use crate::support::{Setup, TOKEN, token_of};

#[tokio::test]
async fn a_token_that_asks_too_often_waits_and_no_other_does() {
    let limits = HttpLimits { requests_per_second: 1, ..HttpLimits::default() };
    let api = Setup { limits, ..Setup::new() }.start().await;
    let (greedy, other) = (token_of("viewer"), token_of("issuer"));
    let answers: Vec<_> = (0..20).map(|_| api.ask_as(&greedy, "GET", "/v1/nodes", None)).collect();
    let refused = answers.iter().find(|answer| answer.status == 429).expect("20 at once are more than 2");
    assert_eq!((refused.code(), refused.header("retry-after")), ("too_many_requests", "1"));
    api.ask_as(&other, "GET", "/v1/nodes", None).expect(200);
    api.ask_as(TOKEN, "GET", "/v1/nodes", None).expect(200);
}

#[tokio::test]
async fn strangers_wait_and_whoever_has_a_token_does_not() {
    let limits = HttpLimits { strangers_per_second: 1, ..HttpLimits::default() };
    let api = Setup { limits, ..Setup::new() }.start().await;
    let stranger = || api.ask_as("a-guess-at-the-token", "GET", "/v1/nodes", None).status;
    let seen: Vec<_> = (0..20).map(|_| stranger()).collect();
    assert!(seen.iter().all(|status| matches!(status, 401 | 429)), "{seen:?}");
    assert!(seen.contains(&429), "{seen:?}");
    // From the same address: a good token, and probes.
    api.get("/v1/nodes").expect(200);
    for _ in 0..20 {
        api.ask_with("GET", "/livez", &[], None).expect(200);
        api.ask_with("GET", "/readyz", &[], None).expect(200);
    }
}
