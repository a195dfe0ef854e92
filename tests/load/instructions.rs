//! How many instructions one request costs in user space, counted by valgrind and not timed.
//!
//! Each server runs twice under callgrind and answers 500 and 2,500 requests for one key on one kept-alive connection; the difference,
//! divided by 2,000, is the cost of a request: start and end cancel out. Repeated counts differ by some tenths of a percent (timers).
//!
//! Counts depend on the compiler and on the libraries, so what is judged is the ratio to an axum echo from the same build. Callgrind sees
//! neither the kernel nor cache misses, and its processor has no SHA extensions: SHA-256 costs more here than on most machines.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keyplane_api_server::registry::embedded::Embedded;
use keyplane_tests::binaries::Binaries;
use keyplane_tests::process::Launch;
use keyplane_tests::{Program, environment, eventually, ports, workspace};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::keys;
use super::wire::{Connection, Request};

/// A verification may cost at most so many times an axum echo.
const BAR: f64 = 1.2;
/// How far the ratio may be from the recorded one, either way: a change for the better is recorded, too.
const TOLERANCE: f64 = 0.03;
const FEW: u32 = 500;
const MANY: u32 = 2_500;

const ROOT_KEY: &str = "keyplane_instructions_of_a_request";
/// About fifty times as long as without valgrind.
const STARTED: Duration = Duration::from_secs(120);
const ENDED: Duration = Duration::from_secs(60);

/// The recorded counts. `ratio` is what is compared; the others are for people.
#[derive(Serialize, Deserialize)]
struct Baseline {
    axum_echo: u64,
    hyper_echo: u64,
    verify: u64,
    /// `verify / axum_echo`.
    ratio: f64,
}

/// A server as it is started under valgrind.
struct Counted {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    port: u16,
    /// In its log once it can answer. Asking it again and again would count.
    ready: &'static str,
}

#[tokio::test]
async fn a_verification_costs_little_more_than_an_echo() -> Result<()> {
    let valgrind = valgrind().context("valgrind is not on the PATH; apt-get install valgrind")?;
    let [api_server, benchmark] = Binaries::release(["keyplane-api-server", "verify-load"])?;
    let home = tempfile::tempdir().context("make a directory")?;
    let (store, answer) = (home.path().join("store"), home.path().join("answer.json"));
    Embedded::open(&store)?.import(keys::all(10)).await.context("import keys")?;
    fs::write(&answer, a_real_answer(&api_server, &store).await?).context("keep an answer")?;

    let echo = |name, command: &str| -> Result<Counted> {
        let port = ports::free()?;
        let arguments = ["serve", command, "--listen", &address(port), "--answer", &answer.to_string_lossy()];
        let arguments = arguments.map(str::to_owned).to_vec();
        Ok(Counted { name, program: benchmark.clone(), arguments, port, ready: "serving" })
    };
    let (port, operations) = (ports::free()?, ports::free()?);
    let arguments =
        ["--listen", &address(port), "--ops-listen", &address(operations), "--data-dir", &store.to_string_lossy()];
    let verify = Counted {
        name: "verify",
        program: api_server,
        arguments: arguments.map(str::to_owned).to_vec(),
        port,
        ready: "index complete",
    };
    let axum_echo = echo("axum-echo", "axum-echo")?.instructions(&valgrind, home.path()).await?;
    let hyper_echo = echo("hyper-echo", "hyper-echo")?.instructions(&valgrind, home.path()).await?;
    let verify = verify.instructions(&valgrind, home.path()).await?;
    judge(&Baseline { axum_echo, hyper_echo, verify, ratio: quotient(verify, axum_echo) })
}

/// Compares with the recorded counts, or records these when `UPDATE` is set.
fn judge(counted: &Baseline) -> Result<()> {
    let Baseline { axum_echo, hyper_echo, verify, ratio } = counted;
    let verdict = if *ratio <= BAR { "met" } else { "MISSED" };
    println!("user instructions a request: axum echo {axum_echo}, hyper echo {hyper_echo}, verify {verify}");
    println!("verify / axum echo = {ratio:.3}, at most {BAR}: {verdict}");
    let file = workspace::root().join("tests/load/instructions.json");
    let recorded: Baseline = serde_json::from_str(&fs::read_to_string(&file).context("read the recorded counts")?)?;
    let update = environment::read("UPDATE").is_some();
    compare(*ratio, recorded.ratio, update)
        .context("callgrind_annotate target/callgrind/verify-2500.out says where")?;
    if update {
        fs::write(&file, format!("{}\n", serde_json::to_string_pretty(counted)?)).context("record the counts")?;
    }
    Ok(())
}

/// A ratchet: a ratio above the bar is let pass only while the recorded one is above it, too, a miss that is known; once it is met, no
/// record can lift it again.
fn compare(ratio: f64, recorded: f64, update: bool) -> Result<()> {
    let missed_before = recorded > BAR;
    ensure!(ratio <= BAR || missed_before, "a verification costs {ratio:.3} times an axum echo, more than {BAR}");
    ensure!(
        update || (ratio / recorded - 1.0).abs() <= TOLERANCE,
        "a verification costs {ratio:.3} times an axum echo, and {recorded:.3} is recorded in tests/load/instructions.json; if the \
         change is meant, or for the better, record it: UPDATE=1 cargo test -p keyplane-tests --test load"
    );
    Ok(())
}

impl Counted {
    /// For one request.
    async fn instructions(&self, valgrind: &Path, home: &Path) -> Result<u64> {
        let few = self.total(valgrind, home, FEW).await?;
        let many = self.total(valgrind, home, MANY).await?;
        ensure!(many > few, "{}: {MANY} requests cost {many} instructions, {FEW} cost {few}", self.name);
        Ok((many - few) / u64::from(MANY - FEW))
    }

    /// From start to end of the process. The profile stays in `target/callgrind` for a person to look at.
    async fn total(&self, valgrind: &Path, home: &Path, requests: u32) -> Result<u64> {
        let profiles = workspace::target_directory()?.join("callgrind");
        fs::create_dir_all(&profiles).context("make target/callgrind")?;
        let profile = profiles.join(format!("{}-{requests}.out", self.name));
        let launch = Launch::new(format!("{}-{requests}", self.name), valgrind, home)
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(&self.program)
            .args(&self.arguments)
            .env("KEYPLANE_BOOTSTRAP_ROOT_KEY", ROOT_KEY)
            .env("NO_COLOR", "1")
            .env("TOKIO_WORKER_THREADS", "1");
        let process = launch.start()?;
        eventually(format!("{} is ready under valgrind", self.name), STARTED, || async {
            ensure!(process.exit_status().is_none(), "it ended: {}", process.log_tail());
            ensure!(process.log()?.contains(self.ready), "it is not ready: {}", process.log_tail());
            Ok(())
        })
        .await?;
        let mut connection = Connection::open(self.port)?;
        let request = Request::verify(ROOT_KEY, &keys::plain(0));
        for _ in 0..requests {
            let code = connection.code(&request)?;
            ensure!(code == "VALID", "{} answers {code}", self.name);
        }
        drop(connection);
        let exit = process.terminate(ENDED).await?;
        ensure!(exit == 0, "{} ended with {exit}:\n{}", self.name, process.log_tail());
        total_of(&fs::read_to_string(&profile).with_context(|| format!("read {}", profile.display()))?)
    }
}

/// The sum in callgrind's output: the line `totals: N`.
fn total_of(profile: &str) -> Result<u64> {
    let total =
        profile.lines().rev().find_map(|line| line.strip_prefix("totals: ")).context("no totals in a profile")?;
    total.trim().parse().with_context(|| format!("`{total}` instructions"))
}

/// The body of a verification's answer: what the echoes send back.
async fn a_real_answer(api_server: &Path, store: &Path) -> Result<String> {
    let program = Program::api_server_at(api_server)?.flag("data-dir", store.as_os_str());
    let server = program.env("KEYPLANE_BOOTSTRAP_ROOT_KEY", ROOT_KEY).start().await?;
    let (status, answer) = server.post("/v2/keys.verifyKey", ROOT_KEY, &json!({"key": keys::plain(0)})).await?;
    ensure!(status == 200 && answer["data"]["code"] == "VALID", "{status}: {answer}");
    ensure!(server.terminate().await? == 0, "the api-server failed at its end");
    Ok(answer.to_string())
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn quotient(verify: u64, echo: u64) -> f64 {
    let number = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(verify) / number(echo)
}

fn valgrind() -> Option<PathBuf> {
    let path = environment::read("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("valgrind")).find(|program| program.is_file())
}

#[test]
fn the_total_of_a_profile_is_its_last_sum() {
    let profile = "version: 1\nevents: Ir\nfn=(1) main\n0 17\nsummary: 17\n\ntotals: 123456\n";
    assert_eq!(total_of(profile).unwrap(), 123_456);
    assert!(total_of("events: Ir\n").is_err());
}

#[test]
fn a_ratio_above_the_bar_or_far_from_the_recorded_one_fails() {
    let error = |ratio, recorded, update| compare(ratio, recorded, update).unwrap_err().to_string();
    assert!(error(BAR + 0.01, BAR, false).contains("more than 1.2"));
    assert!(error(BAR + 0.01, BAR, true).contains("more than 1.2"), "what was met stays met");
    assert!(error(1.04, 1.0, false).contains("UPDATE=1") && error(0.96, 1.0, false).contains("UPDATE=1"));
    assert!(compare(1.02, 1.0, false).is_ok() && compare(0.98, 1.0, false).is_ok());
    assert!(compare(0.9, 1.0, true).is_ok(), "recorded");
    assert!(compare(2.02, 2.0, false).is_ok() && error(2.1, 2.0, false).contains("UPDATE=1"), "a known miss");
}
