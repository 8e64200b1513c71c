//! JSON-RPC 2.0 over HTTP and WebSocket.
//!
//! One method table ([`table`]) gives the [`backend::Backend`] trait, the dispatcher, `rpc.discover` ([`openrpc`]),
//! `RPC.md` ([`doc`]) and the typed client ([`client`]): a method that is not in the table exists nowhere, and one that
//! is in it exists everywhere.
//!
//! The dispatcher is our own, about as long as the glue to a library would be, because of one promise a library does not
//! keep for us: *every* error, also for a body that is not JSON, one that is too long, a batch that is too large, a call
//! over the rate limit or a connection too many, is a JSON-RPC error with our stable `data.kind` and `data.retryable`.
//!
//! | module | holds |
//! | --- | --- |
//! | [`schema`], [`wire`], [`describe`] | requests and replies, their scalar forms, and how they describe themselves |
//! | [`error`] | the table of error kinds |
//! | [`table`], [`backend`], `request`, [`dispatch`] | methods, what the node implements, and the step from bytes to bytes |
//! | [`check`], [`convert`] | ranges of requests, and from their values to the types of the network |
//! | [`config`], [`rate`], [`origin`] | limits and their enforcement |
//! | [`server`], [`socket`] | HTTP and WebSocket |
//! | [`client`] | typed blocking client |
//! | [`openrpc`], [`doc`] | generated documents |
//!
//! A request passes, in this order: connection limit, `Host`, `Origin`, length, JSON, batch length, then for each call
//! envelope, method, rate (each call pays its cost, so that a batch is no way around the limit), parameters, back end, and
//! length of the reply.

pub mod backend;
pub mod check;
pub mod client;
pub mod config;
pub mod convert;
pub mod describe;
pub mod dispatch;
pub mod doc;
pub mod error;
pub mod openrpc;
pub mod origin;
pub mod rate;
mod request;
pub mod schema;
pub mod server;
pub mod socket;
mod stall;
pub mod table;
pub mod wire;

pub use backend::{Backend, EventSink, Health};
pub use client::{Client, ClientError};
pub use config::RpcConfig;
pub use error::{ErrorKind, RpcError};
pub use server::{BindError, Listener, Server, bind};
pub use table::MethodDef;
