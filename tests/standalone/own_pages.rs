//! The pages of the api-server itself, of the program as it runs. What each says is compared with files beside their code.

use anyhow::{Context, Result, ensure};
use keyplane_core::hash::KeyHash;
use keyplane_tests::jq::jq;
use keyplane_tests::{Program, Server};
use reqwest::Method;

use crate::manifests::{Directory, key_object};
use crate::shown::Shown;

const KINDS: [(&str, &str); 5] =
    [("/", "Index"), ("/cachez", "Cachez"), ("/feedz", "Feedz"), ("/limitz", "Limitz"), ("/eventz", "Eventz")];

/// The page as JSON.
async fn json(server: &Server, path: &str, kind: &str) -> Result<String> {
    let accept = format!("application/json;g=debug.keyplane.dev;v=v1alpha1;as={kind}");
    let answer = server.http().get(server.ops_url(path)).header("accept", accept).send().await?;
    ensure!(answer.status() == 200, "{path} answers {}", answer.status());
    Ok(answer.text().await?)
}

async fn get(server: &Server, path: &str) -> Result<(u16, String)> {
    let answer = server.http().get(server.ops_url(path)).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

async fn first(server: &Server, (path, kind): (&str, &str), filter: &str) -> Result<String> {
    let found = jq(filter, &json(server, path, kind).await?)?;
    found.into_iter().next().with_context(|| format!("{path}: {filter} finds nothing"))
}

#[tokio::test]
async fn every_page_answers_and_none_holds_a_key_or_its_hash() -> Result<()> {
    let server = Program::api_server()?.start().await?;
    let Shown { root_key, sample_key, .. } = Shown::by(&server).await?;
    let mut shown = String::new();
    for (path, kind) in KINDS {
        let structure = json(&server, path, kind).await?;
        assert_eq!(jq(".kind", &structure)?, [kind]);
        assert_eq!(jq(".apiVersion", &structure)?, ["debug.keyplane.dev/v1alpha1"]);
        shown += &(structure + &get(&server, path).await?.1);
    }
    for path in ["/configz", "/version", "/metrics/slis", "/flagz", "/statusz"] {
        let (status, text) = get(&server, path).await?;
        assert_eq!(status, 200, "{path}");
        shown += &text;
    }
    for (path, _) in &KINDS[1..] {
        assert!(shown.contains(&format!("{path} ")), "the index does not list {path}");
    }
    let hashes = [&root_key, &sample_key].map(|key| KeyHash::of(key).to_hex());
    for secret in [root_key, sample_key].into_iter().chain(hashes) {
        assert!(!shown.contains(&secret), "a page holds a secret");
    }
    Ok(())
}

#[tokio::test]
async fn equal_digests_mean_equal_content() -> Result<()> {
    let (one, other) = (Directory::new()?, Directory::new()?);
    let [a, b] = ["a", "b"].map(|name| key_object(name, &format!("a-key-in-a-manifest-{name}"), "enabled: true"));
    one.write("keys.yaml", &format!("{a}{b}"))?;
    // The same objects in another order, in several files.
    other.write("1.yaml", &b)?;
    other.write("2.yaml", &a)?;
    let (server, second) = (one.program()?.start().await?, other.program()?.start().await?);
    let digest = async |server: &Server| first(server, ("/cachez", "Cachez"), ".digest").await;
    let agreed = digest(&server).await?;
    assert_eq!(agreed, digest(&second).await?);
    assert_eq!(first(&server, ("/cachez", "Cachez"), ".keys").await?, "2");

    other.write("2.yaml", &key_object("a", "a-key-in-a-manifest-a", "enabled: false"))?;
    let changed = keyplane_tests::eventually("the digest changes", std::time::Duration::from_secs(10), || async {
        anyhow::Ok(Some(digest(&second).await?).filter(|digest| *digest != agreed))
    });
    assert_ne!(changed.await?, agreed);
    other.write("2.yaml", &a)?;
    keyplane_tests::eventually("the digests agree again", std::time::Duration::from_secs(10), || async {
        anyhow::Ok((digest(&second).await? == agreed).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_key_is_explained_by_its_id() -> Result<()> {
    let directory = Directory::new()?;
    directory.write("keys.yaml", &key_object("acme", "a-key-in-a-manifest", "enabled: false"))?;
    let root_key = "root-key-of-the-environment";
    let server = directory.program()?.env("KEYPLANE_BOOTSTRAP_ROOT_KEY", root_key).start().await?;
    let (status, text) = get(&server, "/keyz/key_unknown").await?;
    assert_eq!(status, 404);
    assert!(text.starts_with("this pod knows no key \"key_unknown\""), "{text}");

    let body = serde_json::json!({"key": "a-key-in-a-manifest"});
    let (_, answer) = server.post("/v2/keys.verifyKey", root_key, &body).await?;
    let key_id = answer["data"]["keyId"].as_str().with_context(|| format!("no id in {answer}"))?;
    let path = format!("/keyz/{key_id}");
    let (_, text) = get(&server, &path).await?;
    assert!(text.contains("\nObject: default/acme\n"), "{text}");
    assert!(text.contains("\nNow: DISABLED: spec.enabled is false\n"), "{text}");
    let structure = json(&server, &path, "Keyz").await?;
    assert_eq!(
        jq("[.keyId, .verdict.code, (.served | length)] | join(\" \")", &structure)?,
        [format!("{key_id} DISABLED 1")]
    );
    let hash = KeyHash::of("a-key-in-a-manifest").to_hex();
    assert!(!(text + &structure).contains(&hash), "the page holds the hash");
    Ok(())
}

#[tokio::test]
async fn the_log_level_is_set_while_it_runs_unless_debugging_is_off() -> Result<()> {
    let server = Program::api_server()?.start().await?;
    let put = async |server: &Server, body: &'static str| {
        let request = server.http().request(Method::PUT, server.ops_url("/debug/flags/v")).body(body);
        anyhow::Ok(request.send().await?.status().as_u16())
    };
    assert_eq!(put(&server, "keyplane_api_server::feed=trace").await?, 200);
    let (_, flags) = get(&server, "/debug/flags/").await?;
    assert!(flags.contains("keyplane_api_server::feed=trace") && flags.contains("info"), "{flags}");
    assert_eq!(put(&server, "loud").await?, 400);

    let closed = Program::api_server()?.flag("profiling", "false").start().await?;
    assert_eq!((put(&closed, "4").await?, get(&closed, "/debug/pprof/").await?.0), (404, 404));
    Ok(())
}
