//! Limits of an endpoint. Each has a test.

use serde::{Deserialize, Serialize};

/// Settings of the JSON-RPC endpoint. Sizes in bytes, times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcConfig {
    /// Open connections, WebSockets included.
    pub connections_max: usize,
    /// Length of one request or WebSocket message.
    pub request_bytes_max: usize,
    /// Length of one reply.
    pub response_bytes_max: usize,
    /// Calls in one batch.
    pub batch_calls_max: usize,
    /// Subscriptions of one connection.
    pub subscriptions_max: usize,
    /// Events queued for one subscription before its reader counts as slow.
    pub subscription_queue_max: usize,
    /// Bytes queued for one subscription before its reader counts as slow. Events of topic `stages` are long; one that waits
    /// for several readers is kept once.
    pub subscription_bytes_max: usize,
    /// Calls of one WebSocket that are under way at once.
    pub socket_calls_max: usize,
    /// Cost units per second and address from elsewhere; 0 is no limit. A query costs 1, a payment 10.
    pub rate_per_s: u32,
    /// The same for loopback; 0 (the default) is no limit, so that a load test on one machine measures the node.
    pub rate_loopback_per_s: u32,
    /// A client may save up this many milliseconds of its rate.
    pub rate_burst_ms: u32,
    /// Time for the header of a request; also how long an idle connection stays open.
    pub header_timeout_ms: u32,
    /// Time for the body of a request.
    pub body_timeout_ms: u32,
    /// Time for one call, whatever its own `timeout_ms` says.
    pub call_timeout_ms: u32,
    /// Time a reader may let pass without taking any byte of what is sent to it.
    pub write_timeout_ms: u32,
    /// Time between pings of a WebSocket; a peer silent for twice as long is dropped.
    pub ping_ms: u32,
    /// Names accepted in `Host` beside `localhost` and IP addresses.
    pub allowed_hosts: Vec<String>,
    /// Values accepted in `Origin`; a request without `Origin` does not come from a web page.
    pub allowed_origins: Vec<String>,
}

impl Default for RpcConfig {
    fn default() -> Self {
        RpcConfig {
            connections_max: 256,
            request_bytes_max: 1 << 20,
            response_bytes_max: 8 << 20,
            batch_calls_max: 50,
            subscriptions_max: 16,
            subscription_queue_max: 1_024,
            subscription_bytes_max: 16 << 20,
            socket_calls_max: 256,
            rate_per_s: 2_000,
            rate_loopback_per_s: 0,
            rate_burst_ms: 5_000,
            header_timeout_ms: 30_000,
            body_timeout_ms: 15_000,
            call_timeout_ms: 65_000,
            write_timeout_ms: 10_000,
            ping_ms: 20_000,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
        }
    }
}
