//! Goal: the document is true. Method: schemathesis makes requests out of it, good ones and bad ones, and holds every answer
//! against it: statuses, bodies, headers, and that what the document allows is taken and what it forbids is not.

use std::path::PathBuf;
use std::process::Command;

use onair_manager::config::HttpLimits;
use serde_json::json;

use crate::support::{Setup, TOKEN};

/// Requests that it makes up for each operation, in each of its phases.
const EXAMPLES: u32 = 25;
/// Whoever changes the API is answered for the same requests as everyone else; `ONAIR_SEED` makes up others.
const SEED: u32 = 1;

#[tokio::test]
async fn answers_are_what_the_document_says_whatever_is_asked() {
    let tool = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/venv/bin/schemathesis"));
    assert!(tool.exists(), "schemathesis is not there: make setup");
    let limits = HttpLimits { requests_per_second: 0, strangers_per_second: 0, ..HttpLimits::default() };
    let api = Setup { limits, ..Setup::new() }.start().await;
    let _live = api.on_air("anna").await;
    api.address("ben");
    api.put("/v1/rooms/held/hold", json!({"hold_seconds": 600, "reason": "why"})).expect(200);
    api.post("/v1/tokens", json!({"name": "n", "role": "viewer"})).expect(201);

    let seed = std::env::var("ONAIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    println!("seed: ONAIR_SEED={seed}");
    let mut command = Command::new(tool);
    command
        .args(["run", &format!("{}/openapi.json", api.base)])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", &EXAMPLES.to_string(), "--seed", &seed.to_string()])
        // A feed does not end, and its tests stand in events.rs.
        .args(["--exclude-operation-id", "listenToEvents"])
        .args(["--no-color", "--request-timeout", "20"])
        // What it learns stays nowhere: each run stands for itself.
        .args(["--generation-database", "none"])
        .current_dir(api.dir.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}\n{failed}");
    assert!(output.status.success(), "the document and the API differ; see above");
}
