//! Typed blocking client: what the wallet and the tests talk through.

use super::error::{ErrorKind, RpcError};
use super::table::MethodDef;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of a reply, somewhat more than a server sends.
const REPLY_BYTES_MAX: u64 = 16 << 20;
/// Time for the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that a reply may take beyond what the request itself asks the server to wait.
const MARGIN: Duration = Duration::from_secs(10);

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server answered with an error.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// No answer: whether the server acted on the request is not known.
    #[error("no answer from {url}")]
    Transport {
        /// The endpoint.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// An answer that is not JSON-RPC, or not of the type the method promises.
    #[error("{url} answered {method} with something else: {text}")]
    Protocol {
        /// The endpoint.
        url: String,
        /// The method.
        method: &'static str,
        /// What is wrong with it.
        text: String,
    },
}

impl ClientError {
    /// The error's kind, if the server answered.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            ClientError::Rpc(error) => Some(error.kind),
            _ => None,
        }
    }

    /// Whether the same call may succeed later. No answer at all is retryable: submitting the same bytes is always safe.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            ClientError::Rpc(error) => error.retryable,
            ClientError::Transport { .. } => true,
            ClientError::Protocol { .. } => false,
        }
    }
}

/// A client of one endpoint. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    agent: ureq::Agent,
    next_id: std::sync::Arc<AtomicU64>,
}

impl Client {
    /// A client of `url`, `http://host:port`. Connects at the first call.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Client {
        // A proxy from the environment would see calls meant for loopback.
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build();
        Client { url: url.into(), agent: config.new_agent(), next_id: std::sync::Arc::default() }
    }

    /// The endpoint.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method: `client.call::<GetAccount>(&ByAddress { address })`.
    ///
    /// # Errors
    /// [`ClientError::Rpc`] is the server's own answer; the others say that there was none worth the name.
    pub fn call<M: MethodDef>(&self, params: &M::Params) -> Result<M::Reply, ClientError> {
        let protocol = |text: String| ClientError::Protocol { url: self.url.clone(), method: M::NAME, text };
        let params = serde_json::to_value(params).map_err(|error| protocol(error.to_string()))?;
        let reply = self.call_value(M::NAME, params)?;
        serde_json::from_value(reply).map_err(|error| protocol(error.to_string()))
    }

    /// Calls a method by name with parameters in JSON form.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_value(&self, method: &'static str, params: Value) -> Result<Value, ClientError> {
        let protocol = |text: String| ClientError::Protocol { url: self.url.clone(), method, text };
        let transport =
            |source: ureq::Error| ClientError::Transport { url: self.url.clone(), source: Box::new(source) };
        let wait = params
            .get("timeout_ms")
            .and_then(Value::as_u64)
            .unwrap_or(u64::from(super::schema::TIMEOUT_MS_DEFAULT))
            .min(u64::from(super::schema::TIMEOUT_MS_MAX));
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let mut response = self
            .agent
            .post(&self.url)
            .config()
            .timeout_global(Some(Duration::from_millis(wait).saturating_add(MARGIN)))
            .build()
            .header("content-type", "application/json")
            .send(request.to_string())
            .map_err(transport)?;
        let body = response.body_mut().with_config().limit(REPLY_BYTES_MAX).read_to_vec().map_err(transport)?;
        let Ok(Value::Object(mut reply)) = serde_json::from_slice(&body) else {
            return Err(protocol(format!(
                "status {}, {} bytes that are no JSON object",
                response.status(),
                body.len()
            )));
        };
        if let Some(error) = reply.remove("error") {
            return match serde_json::from_value::<RpcError>(error) {
                Ok(error) => Err(ClientError::Rpc(error)),
                Err(error) => Err(protocol(format!("an error that does not decode: {error}"))),
            };
        }
        if reply.get("id").and_then(Value::as_u64) != Some(id) {
            return Err(protocol("the reply carries another id".into()));
        }
        reply.remove("result").ok_or_else(|| protocol("neither result nor error".into()))
    }
}
