//! The same verification with the key's record in Redis instead of this process: what a cache on the network costs.
//!
//! It is what such a server can't do without: read the body, hash the key, fetch the record, decode it, look whether the key is enabled.
//! The caller's check, the limits and the rendering of the answer are left out, which is in Redis' favour.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use keyplane_core::hash::KeyHash;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncCommands, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::{echo, keys};

/// Bytes of a record in Redis, as JSON.
const RECORD: usize = 500;
/// Records in one write to Redis.
const BATCH: usize = 1_000;

/// A key as a cache on the network would hold it.
#[derive(Serialize, Deserialize)]
struct Record {
    id: String,
    enabled: bool,
    external_id: String,
    permissions: Vec<String>,
    roles: Vec<String>,
    meta: String,
}

impl Record {
    fn of(number: usize) -> Self {
        let mut record = Self {
            id: format!("key_{number:016}"),
            enabled: true,
            external_id: keys::external_id(number),
            permissions: keys::permissions(number),
            roles: vec![keys::role_name(number)],
            meta: String::new(),
        };
        let missing = RECORD.saturating_sub(serde_json::json!(record).to_string().len());
        record.meta = "x".repeat(missing);
        record
    }
}

/// Writes a record for each key.
pub(crate) async fn fill(redis: SocketAddr, count: usize) -> Result<()> {
    let mut connection = connect(redis).await?;
    for first in (0..count).step_by(BATCH) {
        let mut batch = redis::pipe();
        for number in first..count.min(first + BATCH) {
            let record = serde_json::to_string(&Record::of(number)).context("render a record")?;
            batch.set(KeyHash::of(&keys::plain(number)).to_hex(), record).ignore();
        }
        batch.query_async::<()>(&mut connection).await.context("write records to Redis")?;
    }
    Ok(())
}

/// Serves until the listener fails.
pub(crate) async fn serve(listener: TcpListener, answer: Bytes, redis: SocketAddr) -> Result<()> {
    let connection = connect(redis).await?;
    let shared = Arc::new((connection, answer));
    loop {
        let (stream, _) = listener.accept().await.context("accept a connection")?;
        stream.set_nodelay(true).context("set TCP_NODELAY")?;
        let shared = shared.clone();
        let service = service_fn(move |request| handle(shared.clone(), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// One connection, on which requests don't wait for each other's answers.
async fn connect(redis: SocketAddr) -> Result<MultiplexedConnection> {
    let address = ConnectionAddr::Tcp(redis.ip().to_string(), redis.port());
    let info: ConnectionInfo = address.into_connection_info().context("an address of Redis")?;
    // Off by default in this version: a second request would wait for the acknowledgement of the first, up to a whole round trip.
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let client = redis::Client::open(info).context("an address of Redis")?;
    client.get_multiplexed_async_connection().await.with_context(|| format!("connect to Redis at {redis}"))
}

async fn handle(
    shared: Arc<(MultiplexedConnection, Bytes)>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await.context("read a body")?.to_bytes();
    match verify(&shared.0, &body).await {
        Ok(()) => Ok(echo::json(shared.1.clone())),
        Err(error) => {
            let mut answer = Response::new(Full::from(format!("{error:#}")));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok(answer)
        }
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    key: &'a str,
}

async fn verify(connection: &MultiplexedConnection, body: &[u8]) -> Result<()> {
    let Body { key } = serde_json::from_slice(body).context("the body is no verification")?;
    let hash = KeyHash::of(key).to_hex();
    let found: Option<Vec<u8>> = connection.clone().get(hash).await.context("ask Redis")?;
    let record: Record = serde_json::from_slice(&found.context("no such key in Redis")?).context("read a record")?;
    if !record.enabled {
        bail!("{} is disabled", record.id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_about_500_bytes() {
        for number in [0, 99_999] {
            assert_eq!(serde_json::to_string(&Record::of(number)).unwrap().len(), RECORD);
        }
    }
}
