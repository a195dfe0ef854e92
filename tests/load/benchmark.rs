//! The benchmark of verification runs to its end and says what it should. Its figures are of a busy moment and judge nothing here.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use keyplane_tests::binaries::Binaries;
use serde_json::Value;

#[test]
fn the_benchmark_measures_each_server() -> Result<()> {
    let [benchmark, _] = Binaries::release(["verify-load", "keyplane-api-server"])?;
    let output = Command::new(benchmark).args(["--quick", "--json"]).stdin(Stdio::null()).output();
    let output = output.context("run verify-load")?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "verify-load: {}\n{log}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).context("read what verify-load printed")?;

    let servers = report["servers"].as_array().context("no servers")?;
    let names: Vec<_> = servers.iter().filter_map(|server| server["name"].as_str()).collect();
    let expected = ["axum echo", "hyper echo", "keys.verifyKey", "ratelimit.limit", "v1 keys.verifyKey"];
    assert_eq!(names, expected);
    let positive = |value: &Value| value.as_f64().is_some_and(|figure| figure > 0.0);
    for server in servers {
        let seen = &server["seen"][0];
        for figure in ["p50", "p90", "p99", "cpu", "throughput", "busy", "answers"] {
            assert!(positive(&seen[figure]), "{figure} of {server}");
        }
    }
    let ratio = &report["ratios"][1];
    assert_eq!(ratio["of"], "keys.verifyKey");
    assert!(positive(&ratio["cpu"]["median"]) && positive(&ratio["p50"]["median"]), "{ratio}");
    assert_eq!((ratio["bars"]["cpu"].as_f64(), ratio["bars"]["p50"].as_f64()), (Some(1.35), Some(1.15)));
    assert!(report["answer_bytes"].as_u64().is_some_and(|bytes| bytes > 500), "{}", report["answer_bytes"]);

    // Without a redis-server on this machine the section is null, which is said and no error.
    for distance in report["network"]["redis"].as_array().into_iter().flatten() {
        assert!(positive(&distance["ratio"]["median"]), "{distance}");
    }
    Ok(())
}
