//! Flags, their environment variables, and starts that are refused: each says what to do.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keyplane_tests::binaries::Binaries;
use keyplane_tests::process::Launch;
use keyplane_tests::{Program, Server, environment, eventually, ports};
use serde_json::Value;

/// The contract: what outside tools may rely on.
const FLAGS: [(&str, &str); 19] = [
    ("listen", "127.0.0.1:8080"),
    ("ops-listen", "127.0.0.1:8081"),
    ("ops-plain-http", ""),
    ("ops-tls-cert-file", ""),
    ("ops-tls-private-key-file", ""),
    ("ops-client-ca-file", ""),
    ("ops-always-allow-paths", "/healthz,/livez,/readyz"),
    ("profiling", "true"),
    ("data-dir", "./keyplane-data"),
    ("snapshot-dir", ""),
    ("snapshot-max-age", "24h"),
    ("registry", "embedded"),
    ("roles", "verify,control"),
    ("namespaces", ""),
    ("workspace", "default"),
    ("v1-namespace", ""),
    ("bootstrap-root-key", ""),
    ("log-format", "text"),
    ("log-filter", "info"),
];

const FLAGZ_JSON: &str = "application/json;as=Flagz;v=v1beta1;g=config.k8s.io";
const ENDS: Duration = Duration::from_secs(20);

/// What a server says that does not start; it must end with code 1 or 2.
pub(crate) async fn refusal(server: &Server) -> Result<String> {
    let process = server.process();
    let status = eventually("the start is refused", ENDS, || async { process.exit_status() }).await?;
    ensure!(matches!(status.code(), Some(1 | 2)), "{status}: {}", process.log()?);
    process.log()
}

fn variable(flag: &str) -> String {
    format!("KEYPLANE_{}", flag.replace('-', "_").to_uppercase())
}

#[test]
fn the_help_names_every_flag_its_default_and_its_variable() -> Result<()> {
    let mut command = Command::new(&Binaries::build()?.api_server);
    // A key in the environment of whoever asks for help is not shown either.
    command.arg("--help").env_clear().envs(environment::inherited()).stdin(Stdio::null());
    let output = command.env("KEYPLANE_BOOTSTRAP_ROOT_KEY", "a-key-of-the-environment").output()?;
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout)?;
    for (flag, default) in FLAGS {
        let named = [' ', '\n'].iter().any(|end| help.contains(&format!("--{flag}{end}")));
        assert!(named && help.contains(&format!("[env: {}", variable(flag))), "{help}");
        assert!(default.is_empty() || help.contains(&format!("[default: {default}]")), "--{flag}:\n{help}");
    }
    let named = help.lines().filter_map(|line| line.trim().trim_start_matches("-h, ").strip_prefix("--"));
    let flags = named.filter(|line| !line.starts_with("help") && !line.starts_with("version")).count();
    assert_eq!(flags, FLAGS.len(), "a flag that this contract does not know:\n{help}");
    assert!(!help.contains("a-key-of-the-environment"));
    Ok(())
}

#[tokio::test]
async fn every_flag_can_be_given_in_the_environment() -> Result<()> {
    let directory = tempfile::tempdir()?;
    std::fs::create_dir(directory.path().join("keys"))?;
    let (work, operations) = (format!("127.0.0.1:{}", ports::free()?), format!("127.0.0.1:{}", ports::free()?));
    let given = [
        ("listen", work.as_str()),
        ("ops-listen", &operations),
        ("ops-plain-http", "true"),
        ("ops-always-allow-paths", "/livez"),
        ("data-dir", "elsewhere"),
        ("registry", "manifests:keys"),
        ("roles", "verify"),
        ("workspace", "team-a"),
        ("v1-namespace", "team-b"),
        ("bootstrap-root-key", "a-key-of-the-environment"),
        ("log-format", "json"),
        ("log-filter", "debug"),
    ];
    let launch = Launch::new("by-environment", &Binaries::build()?.api_server, directory.path());
    let launch = given.iter().fold(launch, |launch, (flag, value)| launch.env(&variable(flag), value));
    let process = launch.start()?;
    let page = |address: &str, path: &str| reqwest::get(format!("http://{address}{path}"));
    eventually("it is ready", ENDS, || async {
        Ok::<_, reqwest::Error>(page(&operations, "/readyz").await?.status() == 200)
    })
    .await?;
    assert_eq!(page(&work, "/v2/liveness").await?.status(), 200);
    let flagz = reqwest::Client::new().get(format!("http://{operations}/flagz")).header("accept", FLAGZ_JSON);
    let flagz: Value = serde_json::from_str(&flagz.send().await?.text().await?)?;
    for (flag, value) in given {
        let shown = if flag == "bootstrap-root-key" { "CLASSIFIED" } else { value };
        assert_eq!(flagz["flags"][flag], shown, "{flagz}");
    }
    assert!(process.log()?.lines().all(|line| line.starts_with('{')), "JSON lines: {}", process.log()?);
    assert_eq!(process.terminate(ENDS).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_key_on_the_command_line_is_classified_in_every_form_of_flagz() -> Result<()> {
    let plain = "a-key-on-the-command-line";
    let server = Program::api_server()?.flag("bootstrap-root-key", plain).start().await?;
    assert_eq!(server.verify(plain, "unknown").await?, "NOT_FOUND", "the caller is known");
    for accept in [
        "text/plain",
        FLAGZ_JSON,
        "application/yaml;as=Flagz;v=v1beta1;g=config.k8s.io",
        "application/json;as=Flagz;v=v1alpha1;g=config.k8s.io",
    ] {
        let answer = server.http().get(server.ops_url("/flagz")).header("accept", accept).send().await?;
        assert_eq!(answer.status(), 200, "{accept}");
        let flagz = answer.text().await?;
        let line = flagz.lines().find(|line| line.contains("bootstrap-root-key")).context("the flag is not shown")?;
        assert!(line.contains("CLASSIFIED") && !flagz.contains(plain), "{accept}: {flagz}");
    }
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_refused_with_the_flag_that_changes_it() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    for (flag, (work, operations)) in [("--listen", (port, ports::free()?)), ("--ops-listen", (ports::free()?, port))] {
        let program = Program::api_server()?.on_ports(work, operations);
        let refused = refusal(&program.start_unready()?).await?;
        assert!(
            refused.contains(&format!("127.0.0.1:{port}")) && refused.contains(&format!("with {flag}")),
            "{refused}"
        );
        assert!(!refused.contains("curl"), "no key was made and shown");
        assert!(!program.directory().join("keyplane-data").exists());
    }
    Ok(())
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused_and_its_owner_goes_on() -> Result<()> {
    let program = Program::api_server()?;
    let owner = program.start().await?;
    let refused = refusal(&program.named("second").start_unready()?).await?;
    assert!(refused.contains("in use by another process") && refused.contains("--data-dir"), "{refused}");
    owner.ops_page("/readyz").await?;
    Ok(())
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_used_is_named() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("a-file");
    std::fs::write(&file, "not a directory")?;
    let refused = refusal(&Program::api_server()?.flag("data-dir", &file).start_unready()?).await?;
    assert!(refused.contains("a-file"), "{refused}");

    std::fs::write(directory.path().join("keyplane.redb"), "not a store")?;
    let refused = refusal(&Program::api_server()?.flag("data-dir", directory.path()).start_unready()?).await?;
    assert!(refused.contains("keyplane.redb"), "{refused}");
    assert_eq!(std::fs::read(directory.path().join("keyplane.redb"))?, b"not a store", "left as it was");
    Ok(())
}

#[tokio::test]
async fn flags_that_make_no_sense_are_refused_with_what_to_do() -> Result<()> {
    for (flag, value, advice) in [
        ("registry", "etcd", "manifests:DIR"),
        ("roles", "serve", "[possible values: verify, control]"),
        ("namespaces", "a,b", "--workspace"),
        ("listen", "8080", "--listen"),
        ("log-filter", "loud=very", "log filter `loud=very` is not valid"),
    ] {
        let refused = refusal(&Program::api_server()?.flag(flag, value).start_unready()?).await?;
        assert!(refused.contains(advice), "--{flag} {value}: {refused}");
    }
    let without_cluster = Program::api_server()?.flag("registry", "kubernetes").env("HOME", "/nonexistent");
    let refused = refusal(&without_cluster.start_unready()?).await?;
    assert!(refused.contains("KUBECONFIG"), "{refused}");
    assert!(!Path::new("/nonexistent").exists());
    Ok(())
}
