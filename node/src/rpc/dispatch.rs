//! From the bytes of a request to the bytes of a reply.

use super::backend::{Backend, EventSink, EventSource, Health};
use super::check::Check;
use super::config::RpcConfig;
use super::describe::Describe;
use super::error::{ErrorKind, RpcError};
use super::openrpc;
use super::rate::RateLimit;
use super::request::{self, Call, Request};
use super::schema::{self, Subscribe, Topic};
use super::socket::Subscriptions;
use super::table::{self, CallSubscribe, CallUnsubscribe, Discover, MethodDef, MethodRow, for_each_method};
use super::wire::BAD_ENCODING;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A back end with its types erased, so that the server is compiled once and not once per back end.
trait Handler: Send + Sync {
    fn call<'a>(&'a self, row: &'static MethodRow, params: &'a str) -> BoxFuture<'a, Result<String, RpcError>>;
    fn subscribe<'a>(&'a self, request: Subscribe, sink: EventSink) -> BoxFuture<'a, Result<(), RpcError>>;
    fn health(&self) -> Health;
}

struct Erased<B>(Arc<B>);

macro_rules! handler {
    (
        backend {
            $($name:literal, $def:ident, $call:ident, $params:ty => $reply:ty,
              $permission:ident, $cost:literal, $per_item:expr, $errors:expr, $summary:literal;)*
        }
        server { $($ignored:tt)* }
    ) => {
        impl<B: Backend> Handler for Erased<B> {
            fn call<'a>(&'a self, row: &'static MethodRow, params: &'a str) -> BoxFuture<'a, Result<String, RpcError>> {
                match row.name {
                    $($name => Box::pin(async move {
                        let params = decode::<$params>(params)?;
                        encode(&self.0.$call(params).await?)
                    }),)*
                    other => Box::pin(async move { Err(unknown_method(other)) }),
                }
            }

            fn subscribe<'a>(&'a self, request: Subscribe, sink: EventSink) -> BoxFuture<'a, Result<(), RpcError>> {
                Box::pin(self.0.subscribe(request, sink))
            }

            fn health(&self) -> Health {
                self.0.health()
            }
        }
    };
}
for_each_method!(handler);

/// Who calls, and over what.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    /// The client's address.
    pub(crate) ip: IpAddr,
    /// The connection's subscriptions, if it is a WebSocket.
    pub(crate) subscriptions: Option<&'a Subscriptions>,
}

/// A subscription to be started once the reply that names it is on its way.
pub(crate) struct Start {
    pub(crate) id: String,
    pub(crate) topic: Topic,
    pub(crate) source: EventSource,
}

/// What a request comes to.
#[derive(Default)]
pub(crate) struct Answer {
    /// The reply; none if the request held notifications only.
    pub(crate) reply: Option<String>,
    /// Subscriptions to start after it.
    pub(crate) starts: Vec<Start>,
}

/// Serves requests of one endpoint.
pub(crate) struct Dispatcher {
    handler: Box<dyn Handler>,
    pub(crate) config: RpcConfig,
    rate: RateLimit,
}

impl Dispatcher {
    pub(crate) fn new<B: Backend>(backend: Arc<B>, config: RpcConfig) -> Dispatcher {
        Dispatcher { handler: Box::new(Erased(backend)), rate: RateLimit::new(&config), config }
    }

    pub(crate) fn health(&self) -> Health {
        self.handler.health()
    }

    /// Answers one HTTP body or one WebSocket message. Never fails and never panics: what goes wrong is in the reply.
    pub(crate) async fn process(&self, body: &[u8], caller: Caller<'_>) -> Answer {
        let request = match self.parse(body, caller) {
            Ok(request) => request,
            Err(error) => {
                return Answer { reply: Some(failure(&error)), starts: Vec::new() };
            }
        };
        match request {
            Request::Many { calls, .. } => self.batch(calls, caller).await,
            Request::One(call) => {
                let mut starts = Vec::new();
                let reply = self.call(call, caller, &mut starts).await;
                Answer { reply, starts }
            }
        }
    }

    /// Everything that is refused before there is a call pays for one.
    fn parse<'a>(&self, body: &'a [u8], caller: Caller<'_>) -> Result<Request<'a>, RpcError> {
        let free = |error: RpcError| self.pay(caller.ip, 1).err().unwrap_or(error);
        let max = self.config.request_bytes_max;
        if body.len() > max {
            return Err(free(body_too_large(body.len(), max)));
        }
        let max = self.config.batch_calls_max;
        let request = request::parse(body, max).map_err(|error| free(malformed(&error)))?;
        if let Request::Many { count, .. } = &request {
            if *count == 0 {
                return Err(free(RpcError::new(ErrorKind::InvalidRequest, "the batch is empty")));
            }
            if *count > max {
                let text = format!("the batch has {count} calls, at most {max} are allowed");
                return Err(free(RpcError::new(ErrorKind::BatchTooLarge, text).with("max", max)));
            }
        }
        Ok(request)
    }

    /// Calls of a batch run side by side and start in order, so payments of one payer stay in seq order.
    async fn batch(&self, calls: Vec<Option<Call<'_>>>, caller: Caller<'_>) -> Answer {
        let outcomes = join_all(calls.into_iter().map(|call| async move {
            let id = call.as_ref().and_then(|call| call.id.clone()).filter(id_allowed);
            let mut starts = Vec::new();
            let reply = self.call(call, caller, &mut starts).await;
            (id, reply, starts)
        }))
        .await;
        let (mut replies, mut length, mut answer) = (Vec::new(), 2usize, Answer::default());
        for (id, reply, mut starts) in outcomes {
            answer.starts.append(&mut starts);
            let Some(mut reply) = reply else { continue };
            if length.saturating_add(reply.len()) > self.config.response_bytes_max {
                reply = envelope(&id.unwrap_or(Value::Null), Err(self.response_too_large()));
            }
            length = length.saturating_add(reply.len()).saturating_add(1);
            replies.push(reply);
        }
        if !replies.is_empty() {
            answer.reply = Some(format!("[{}]", replies.join(",")));
        }
        answer
    }

    /// One call: a reply, or none for a notification.
    async fn call(&self, call: Option<Call<'_>>, caller: Caller<'_>, starts: &mut Vec<Start>) -> Option<String> {
        let invalid = |text: String| RpcError::new(ErrorKind::InvalidRequest, text);
        let Some(Call { jsonrpc, id, method, params }) = call else {
            let error = invalid("a request is an object with jsonrpc, id, method and params".into());
            return Some(failure(&self.pay(caller.ip, 1).err().unwrap_or(error)));
        };
        if id.as_ref().is_some_and(|id| !id_allowed(id)) {
            let error = invalid("id has to be a string, a number or null".into());
            return Some(failure(&self.pay(caller.ip, 1).err().unwrap_or(error)));
        }
        let version_fits = jsonrpc.as_ref().and_then(Value::as_str) == Some("2.0");
        let outcome = match method {
            _ if !version_fits => self.pay(caller.ip, 1).and(Err(invalid("jsonrpc has to be \"2.0\"".into()))),
            Some(Value::String(method)) => {
                let params = params.map_or("{}", RawValue::get);
                self.run(&method, params, caller, starts).await
            }
            _ => self.pay(caller.ip, 1).and(Err(invalid("method has to be a string".into()))),
        };
        id.map(|id| envelope(&id, outcome))
    }

    async fn run(
        &self,
        method: &str,
        params: &str,
        caller: Caller<'_>,
        starts: &mut Vec<Start>,
    ) -> Result<String, RpcError> {
        let Some(row) = table::find(method) else {
            return self.pay(caller.ip, 1).and(Err(unknown_method(method)));
        };
        if self.rate.applies(caller.ip) {
            self.pay(caller.ip, row.cost_of(params))?;
        }
        let limit = Duration::from_millis(u64::from(self.config.call_timeout_ms));
        let work = AssertUnwindSafe(self.route(row, params, caller, starts)).catch_unwind();
        let reply = match tokio::time::timeout(limit, work).await {
            Ok(Ok(outcome)) => outcome?,
            Ok(Err(_panic)) => {
                tracing::error!(method = row.name, "a method of the JSON-RPC back end panicked");
                return Err(RpcError::new(ErrorKind::Internal, format!("{} failed inside the node", row.name)));
            }
            Err(_elapsed) => {
                let text = format!("{} did not answer within {} ms", row.name, limit.as_millis());
                return Err(RpcError::new(ErrorKind::Timeout, text));
            }
        };
        if reply.len() > self.config.response_bytes_max {
            return Err(self.response_too_large());
        }
        Ok(reply)
    }

    /// Methods of the connection here, all others to the back end.
    async fn route(
        &self,
        row: &'static MethodRow,
        params: &str,
        caller: Caller<'_>,
        starts: &mut Vec<Start>,
    ) -> Result<String, RpcError> {
        match row.name {
            Discover::NAME => {
                decode::<schema::Empty>(params)?;
                Ok(openrpc::text().to_owned())
            }
            CallSubscribe::NAME => {
                let request = decode::<Subscribe>(params)?;
                let subscriptions = caller.subscriptions.ok_or_else(websocket_only)?;
                let id = subscriptions.reserve(self.config.subscriptions_max)?;
                let topic = request.topic;
                let (sink, source) = 
                    EventSink::new(self.config.subscription_queue_max, self.config.subscription_bytes_max);
                if let Err(error) = self.handler.subscribe(request, sink).await {
                    subscriptions.remove(&id);
                    return Err(error);
                }
                starts.push(Start { id: id.clone(), topic, source });
                encode(&schema::Subscribed { subscription: id })
            }
            CallUnsubscribe::NAME => {
                let request = decode::<schema::Unsubscribe>(params)?;
                let subscriptions = caller.subscriptions.ok_or_else(websocket_only)?;
                encode(&schema::Unsubscribed { removed: subscriptions.remove(&request.subscription) })
            }
            _ => self.handler.call(row, params).await,
        }
    }

    fn pay(&self, ip: IpAddr, cost: u32) -> Result<(), RpcError> {
        self.rate.take(ip, cost, Instant::now()).map_err(|wait| {
            let ms = wait.as_millis().saturating_add(1);
            RpcError::new(ErrorKind::RateLimited, format!("too many calls from {ip}: try again in {ms} ms"))
                .with("retry_after_ms", ms)
        })
    }

    fn response_too_large(&self) -> RpcError {
        let max = self.config.response_bytes_max;
        RpcError::new(ErrorKind::ResponseTooLarge, format!("the reply is longer than {max} bytes: ask for less"))
            .with("max", max)
    }
}

fn id_allowed(id: &Value) -> bool {
    matches!(id, Value::String(_) | Value::Number(_) | Value::Null)
}

fn unknown_method(name: &str) -> RpcError {
    RpcError::new(ErrorKind::UnknownMethod, format!("no method {name:.80?}; rpc.discover lists all"))
}

fn websocket_only() -> RpcError {
    RpcError::new(ErrorKind::NotAvailable, "subscriptions need a WebSocket: connect to / with ws:// instead of http://")
}

pub(crate) fn body_too_large(got: usize, max: usize) -> RpcError {
    RpcError::new(ErrorKind::BodyTooLarge, format!("the request has {got} bytes or more, at most {max} are allowed"))
        .with("max", max)
}

/// Reads parameters, JSON text, straight into their type.
fn decode<P: Describe + Check + DeserializeOwned>(params: &str) -> Result<P, RpcError> {
    let invalid = |text: String| RpcError::new(ErrorKind::InvalidParams, text);
    // Only an object: the types would read an array as their fields in order.
    let read = if params.starts_with('{') { serde_json::from_str::<P>(params).ok() } else { None };
    let request = match read {
        Some(request) => request,
        None => decode_slowly::<P>(params)?,
    };
    request.check().map_err(invalid)?;
    Ok(request)
}

/// Reads parameters by way of a tree, to say what is wrong with them and where.
fn decode_slowly<P: Describe + DeserializeOwned>(params: &str) -> Result<P, RpcError> {
    let invalid = |text: String| RpcError::new(ErrorKind::InvalidParams, text);
    let named = match serde_json::from_str(params).map_err(|error| malformed(&error))? {
        named @ Value::Object(_) => named,
        // A call without parameters is written both ways.
        Value::Null => json!({}),
        Value::Array(list) if list.is_empty() => json!({}),
        _ => {
            return Err(invalid("params has to be an object: parameters go by name".into()));
        }
    };
    let culprit = P::culprit(&named);
    serde_json::from_value(named).map_err(|error| {
        let text = error.to_string();
        let place = culprit.map(|field| format!("{field}: ")).unwrap_or_default();
        match text.strip_prefix(BAD_ENCODING) {
            Some(text) => RpcError::new(ErrorKind::BadEncoding, format!("{place}{text}")),
            None => invalid(format!("{place}{text}")),
        }
    })
}

fn malformed(error: &serde_json::Error) -> RpcError {
    RpcError::new(ErrorKind::MalformedJson, format!("the request is not JSON: {error}"))
}

fn encode<R: Serialize>(reply: &R) -> Result<String, RpcError> {
    serde_json::to_string(reply)
        .map_err(|error| RpcError::new(ErrorKind::Internal, format!("the reply could not be written: {error}")))
}

/// A JSON-RPC reply around a result that is JSON already.
fn envelope(id: &Value, outcome: Result<String, RpcError>) -> String {
    match outcome {
        Ok(result) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string(),
    }
}

/// The reply to what cannot be told apart into calls.
pub(crate) fn failure(error: &RpcError) -> String {
    json!({ "jsonrpc": "2.0", "id": null, "error": error }).to_string()
}
