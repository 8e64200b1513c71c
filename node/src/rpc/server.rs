//! The HTTP side: accept loop, limits of a connection, routes.
//!
//! hyper is driven directly (axum supplies the WebSocket upgrade and the body types): its accept loop is where the
//! connection limit, the header timeout and the graceful end live, and `axum::serve` exposes none of the three.

use super::backend::Backend;
use super::config::RpcConfig;
use super::dispatch::{Caller, Dispatcher, body_too_large, failure};
use super::error::{ErrorKind, RpcError};
use super::schema::Readiness;
use super::socket::{self, OVERSIZE_FACTOR};
use super::stall::StallLimit;
use super::{openrpc, origin};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use futures::StreamExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Connections beyond the limit that are told so at once; the rest are closed without a word.
const REFUSALS_MAX: usize = 32;
/// Time to tell them.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// A body up to this many times the limit is read to its end and thrown away, so that the client reads the error instead
/// of a reset connection.
const DRAIN_FACTOR: usize = 16;

/// Why an endpoint could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process listens there.
    #[error("port {port} of {ip} is in use by another process")]
    PortInUse {
        /// The address.
        ip: IpAddr,
        /// The port.
        port: u16,
    },
    /// The system refused for another reason.
    #[error("cannot listen on {addr}")]
    Refused {
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An open port that does not serve yet.
#[derive(Debug)]
pub struct Listener {
    inner: std::net::TcpListener,
    addr: SocketAddr,
}

/// Opens a port; 0 takes a free one.
///
/// # Errors
/// [`BindError::PortInUse`] if another process has it, so that a caller may try the next.
pub fn bind(addr: SocketAddr) -> Result<Listener, BindError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::PortInUse { ip: addr.ip(), port: addr.port() },
        _ => BindError::Refused { addr, source },
    };
    let inner = std::net::TcpListener::bind(addr).map_err(refused)?;
    inner.set_nonblocking(true).map_err(refused)?;
    let addr = inner.local_addr().map_err(refused)?;
    Ok(Listener { inner, addr })
}

impl Listener {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves `backend` until [`Server::shutdown`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// Registering the port with the runtime failed.
    pub fn serve<B: Backend>(self, backend: Arc<B>, config: RpcConfig) -> io::Result<Server> {
        let listener = tokio::net::TcpListener::from_std(self.inner)?;
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let (alive, ended) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            places: Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS))),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            dispatcher: Arc::new(Dispatcher::new(backend, config)),
            stop: stop.clone(),
            abort: abort.clone(),
        });
        tokio::spawn(accept(listener, shared, alive));
        Ok(Server { addr: self.addr, stop, abort, ended })
    }
}

/// A running endpoint. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stop: CancellationToken,
    abort: CancellationToken,
    ended: mpsc::Receiver<Infallible>,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes no more connections, lets calls under way finish, tells subscribers, and cuts off at `deadline` what is left.
    /// True if nothing had to be cut off.
    pub async fn shutdown(mut self, deadline: Duration) -> bool {
        self.stop.cancel();
        // Nothing is ever sent: the channel ends when the last connection dropped its end of it.
        let graceful = tokio::time::timeout(deadline, self.ended.recv()).await.is_ok();
        self.abort.cancel();
        graceful
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.abort.cancel();
    }
}

struct Shared {
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    dispatcher: Arc<Dispatcher>,
    stop: CancellationToken,
    abort: CancellationToken,
}

/// What a connection holds as long as it lives, its WebSocket included.
#[derive(Clone)]
struct Lease {
    _place: Arc<OwnedSemaphorePermit>,
    _alive: mpsc::Sender<Infallible>,
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>, alive: mpsc::Sender<Infallible>) {
    loop {
        let (stream, peer) = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or a connection that ended while it waited: neither ends the endpoint.
                    tracing::warn!(%error, "a JSON-RPC connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        match shared.places.clone().try_acquire_owned() {
            Ok(place) => {
                let lease = Lease { _place: Arc::new(place), _alive: alive.clone() };
                tokio::spawn(connection(stream, peer.ip(), shared.clone(), lease));
            }
            Err(_) => {
                if let Ok(permit) = shared.refusals.clone().try_acquire_owned() {
                    tokio::spawn(refuse(stream, shared.dispatcher.config.connections_max, permit));
                }
            }
        }
    }
}

fn http(header_timeout_ms: u32) -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(u64::from(header_timeout_ms.max(1))))
        .max_buf_size(HEAD_BYTES_MAX);
    builder
}

async fn refuse(stream: TcpStream, max: usize, _permit: OwnedSemaphorePermit) {
    let error =
        RpcError::new(ErrorKind::TooManyConnections, format!("all {max} connections are taken")).with("max", max);
    let service = service_fn(|_request: Request<Incoming>| {
        let mut response = error_response(StatusCode::SERVICE_UNAVAILABLE, &error);
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http(30_000).keep_alive(false).serve_connection(TokioIo::new(stream), service);
    // Whether the client listened is its own affair.
    drop(tokio::time::timeout(REFUSAL_TIMEOUT, connection).await);
}

async fn connection(stream: TcpStream, ip: IpAddr, shared: Arc<Shared>, lease: Lease) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let service = service_fn(|request| {
        let (shared, lease) = (shared.clone(), lease.clone());
        async move { Ok::<_, Infallible>(handle(request, ip, &shared, lease).await) }
    });
    let config = &shared.dispatcher.config;
    let stream = StallLimit::new(stream, Duration::from_millis(u64::from(config.write_timeout_ms)));
    let connection = http(config.header_timeout_ms).serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = shared.abort.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%ip, %error, "a JSON-RPC connection ended early");
    }
}

async fn handle(request: Request<Incoming>, ip: IpAddr, shared: &Arc<Shared>, lease: Lease) -> Response<Body> {
    let config = &shared.dispatcher.config;
    if let Err(error) = origin::check(request.headers(), config) {
        return error_response(StatusCode::FORBIDDEN, &error);
    }
    let path = request.uri().path().to_owned();
    let get = request.method() == Method::GET;
    match path.as_str() {
        "/" if request.method() == Method::POST => call(request, ip, shared).await,
        "/" | "/ws" if get => upgrade(request, ip, shared, lease).await,
        "/livez" if get => json_response(StatusCode::OK, json!({ "live": true }).to_string()),
        "/readyz" if get => ready(shared),
        "/openrpc.json" if get => json_response(StatusCode::OK, openrpc::text().to_owned()),
        "/" | "/ws" | "/livez" | "/readyz" | "/openrpc.json" => {
            let text = format!("{} {path} is not served: calls are POST /", request.method());
            error_response(StatusCode::METHOD_NOT_ALLOWED, &RpcError::new(ErrorKind::InvalidRequest, text))
        }
        _ => {
            let text = format!("no such path {path:.80?}: calls are POST /");
            error_response(StatusCode::NOT_FOUND, &RpcError::new(ErrorKind::InvalidRequest, text))
        }
    }
}

fn ready(shared: &Shared) -> Response<Body> {
    let health = shared.dispatcher.health();
    let ready = health.readiness == Readiness::Ready;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_response(
        status,
        json!({ "ready": ready, "readiness": health.readiness, "reasons": health.reasons }).to_string(),
    )
}

async fn call(request: Request<Incoming>, ip: IpAddr, shared: &Shared) -> Response<Body> {
    let config = &shared.dispatcher.config;
    let limit = Duration::from_millis(u64::from(config.body_timeout_ms));
    let body = match tokio::time::timeout(limit, read_body(request, config.request_bytes_max)).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => {
            let status = match error.kind {
                ErrorKind::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            return error_response(status, &error);
        }
        Err(_elapsed) => {
            let text = format!("the body did not arrive within {} ms", limit.as_millis());
            return error_response(StatusCode::REQUEST_TIMEOUT, &RpcError::new(ErrorKind::Timeout, text));
        }
    };
    let answer = shared.dispatcher.process(&body, Caller { ip, subscriptions: None }).await;
    match answer.reply {
        Some(reply) => json_response(StatusCode::OK, reply),
        None => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
    }
}

/// Reads at most `max` bytes. A longer body is read on for a while and thrown away.
async fn read_body(request: Request<Incoming>, max: usize) -> Result<Vec<u8>, RpcError> {
    let mut chunks = Body::new(request.into_body()).into_data_stream();
    let (mut body, mut length) = (Vec::new(), 0usize);
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| RpcError::new(ErrorKind::InvalidRequest, format!("the body broke off: {error}")))?;
        length = length.saturating_add(chunk.len());
        if length <= max {
            body.extend_from_slice(&chunk);
        } else if length > max.saturating_mul(DRAIN_FACTOR) {
            break;
        }
    }
    if length > max { Err(body_too_large(length, max)) } else { Ok(body) }
}

async fn upgrade(request: Request<Incoming>, ip: IpAddr, shared: &Shared, lease: Lease) -> Response<Body> {
    let (mut parts, _body) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let text = format!("calls are POST /; GET / is for WebSockets only: {rejection}");
            return error_response(StatusCode::BAD_REQUEST, &RpcError::new(ErrorKind::InvalidRequest, text));
        }
    };
    let dispatcher = shared.dispatcher.clone();
    let (stop, abort) = (shared.stop.clone(), shared.abort.clone());
    let max = dispatcher.config.request_bytes_max.saturating_mul(OVERSIZE_FACTOR);
    upgrade
        .max_message_size(max)
        .max_frame_size(max)
        .on_upgrade(move |socket| async move {
            tokio::select! {
                () = socket::run(socket, dispatcher, ip, stop) => {}
                () = abort.cancelled() => {}
            }
            drop(lease);
        })
        .into_response()
}

fn json_response(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}

fn error_response(status: StatusCode, error: &RpcError) -> Response<Body> {
    json_response(status, failure(error))
}
