//! The JSON-RPC endpoint from outside: every error it makes itself, WebSocket subscriptions, limits, the end.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "tests"
)]

use futures::{SinkExt, StreamExt};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use smt_node::rpc::describe::Describe;
use smt_node::rpc::schema::{self, Event, Readiness, Topic, WaitFor};
use smt_node::rpc::table::{self, GetAccount, GetNodeInfo, METHODS, SubmitTransaction};
use smt_node::rpc::wire::{AddressText, Hex32, HexBytes};
use smt_node::rpc::{
    Backend, BindError, Client, ClientError, ErrorKind, EventSink, Health, RpcConfig, RpcError, Server, bind,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

/// Long enough for a loaded machine; nothing waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

// ---- a node that answers from examples ------------------------------------------------------------------------------

#[derive(Default)]
struct Examples {
    sinks: Mutex<Vec<EventSink>>,
    arrived: Notify,
    release: Notify,
    not_ready: Mutex<Vec<String>>,
}

fn example<T: Describe + serde::de::DeserializeOwned>() -> Result<T, RpcError> {
    Ok(serde_json::from_value(T::example()).unwrap())
}

impl Backend for Examples {
    async fn submit_transaction(&self, params: schema::SubmitTransaction) -> Result<schema::Submitted, RpcError> {
        match params.wait_for() {
            // Stands for a payment that takes long: tests decide when it is done.
            WaitFor::Credited => {
                self.arrived.notify_one();
                self.release.notified().await;
                example()
            }
            WaitFor::Snapshotted => {
                let text = format!("waited {} ms", params.timeout().as_millis());
                Err(RpcError::new(ErrorKind::Timeout, text).at_stage(schema::Stage::Final))
            }
            _ => example(),
        }
    }
    async fn submit_transactions(&self, params: schema::SubmitTransactions) -> Result<schema::SubmittedAll, RpcError> {
        let outcomes = params.payments.iter().map(|payment| match payment.0.is_empty() {
            true => Err(RpcError::new(ErrorKind::BadEncoding, "empty")).into(),
            false => example::<schema::Submitted>().into(),
        });
        Ok(schema::SubmittedAll { outcomes: outcomes.collect() })
    }
    async fn get_account(&self, params: schema::ByAddress) -> Result<schema::Account, RpcError> {
        match params.address.0.as_str() {
            "nobody" => Err(RpcError::new(ErrorKind::UnknownAccount, "nobody ever paid nobody")),
            "panic" => panic!("a fault of the back end, on purpose"),
            _ => example(),
        }
    }
    async fn get_account_history(&self, _: schema::AccountHistory) -> Result<schema::History, RpcError> {
        let entry: schema::HistoryEntry = example()?;
        Ok(schema::History { entries: vec![entry; 4_000], next: None })
    }
    async fn get_transaction(&self, _: schema::ById) -> Result<schema::Transaction, RpcError> {
        example()
    }
    async fn get_transactions(&self, params: schema::ByIds) -> Result<schema::Transactions, RpcError> {
        let record = example::<schema::Transaction>()?;
        Ok(schema::Transactions { transactions: params.ids.iter().map(|_| Some(record.clone())).collect() })
    }
    async fn get_counters(&self, _: schema::Empty) -> Result<schema::Counters, RpcError> {
        example()
    }
    async fn get_receipt(&self, _: schema::ById) -> Result<schema::ReceiptReply, RpcError> {
        example()
    }
    async fn get_proof(&self, _: schema::ByAddress) -> Result<schema::Proof, RpcError> {
        example()
    }
    async fn get_snapshot(&self, _: schema::SnapshotQuery) -> Result<schema::Snapshot, RpcError> {
        example()
    }
    async fn get_global_cut(&self, _: schema::Empty) -> Result<schema::GlobalCut, RpcError> {
        example()
    }
    async fn get_evidence(&self, _: schema::Empty) -> Result<schema::Evidence, RpcError> {
        example()
    }
    async fn get_peers(&self, _: schema::Empty) -> Result<schema::Peers, RpcError> {
        example()
    }
    async fn faucet(&self, _: schema::Faucet) -> Result<schema::Submitted, RpcError> {
        Err(RpcError::new(ErrorKind::NotAvailable, "this network has no faucet"))
    }
    async fn node_info(&self, _: schema::Empty) -> Result<schema::NodeInfo, RpcError> {
        example()
    }
    async fn get_genesis(&self, _: schema::Empty) -> Result<schema::GenesisReply, RpcError> {
        example()
    }
    async fn subscribe(&self, request: schema::Subscribe, sink: EventSink) -> Result<(), RpcError> {
        if request.topic == Topic::Account {
            return Err(RpcError::new(ErrorKind::UnknownAccount, "nobody ever paid it"));
        }
        self.sinks.lock().unwrap().push(sink);
        Ok(())
    }
    fn health(&self) -> Health {
        let reasons = self.not_ready.lock().unwrap().clone();
        Health { readiness: if reasons.is_empty() { Readiness::Ready } else { Readiness::NoQuorum }, reasons }
    }
}

// ---- plumbing -------------------------------------------------------------------------------------------------------

fn start(config: RpcConfig) -> (Server, Arc<Examples>) {
    let backend = Arc::new(Examples::default());
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (listener.serve(backend.clone(), config).unwrap(), backend)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends raw bytes and reads the status and the body of the answer.
fn raw(addr: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = connect(addr);
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.to_ascii_lowercase().contains("access-control"), "{head}");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("{method} {path} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn post(addr: SocketAddr, body: &[u8]) -> (u16, String) {
    raw(addr, &request("POST", "/", "host: localhost\r\n", body))
}

fn call(addr: SocketAddr, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let (status, reply) = post(addr, body.as_bytes());
    assert_eq!(status, 200, "{reply}");
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(reply["id"], 1);
    reply
}

/// The error's kind, after checking that everything an error promises is there.
fn kind(reply: &Value) -> ErrorKind {
    let error = &reply["error"];
    assert_eq!(reply["jsonrpc"], "2.0", "{reply}");
    assert!(reply.get("id").is_some() && reply.get("result").is_none(), "{reply}");
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{reply}");
    assert!(error["data"]["retryable"].is_boolean(), "{reply}");
    let kind = ErrorKind::from_word(error["data"]["kind"].as_str().unwrap()).unwrap();
    assert_eq!(error["code"], kind.code(), "{reply}");
    kind
}

fn post_kind(addr: SocketAddr, body: &[u8]) -> (u16, ErrorKind) {
    let (status, reply) = post(addr, body);
    (status, kind(&serde_json::from_str(&reply).unwrap()))
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn socket(addr: SocketAddr) -> Socket {
    tokio_tungstenite::connect_async(format!("ws://{addr}/")).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        match message {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Close(_) => return json!("closed"),
            _ => {}
        }
    }
}

async fn ask(socket: &mut Socket, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": "q", "method": method, "params": params }).to_string();
    socket.send(Message::text(body)).await.unwrap();
    next(socket).await
}

fn epoch_event() -> Event {
    Event::Epoch(serde_json::from_value(schema::EpochEvent::example()).unwrap())
}

// ---- the table ------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_of_the_table_is_served_and_takes_its_example() {
    let (server, _backend) = start(RpcConfig { response_bytes_max: 64 << 20, ..RpcConfig::default() });
    for row in METHODS {
        let reply = call(server.local_addr(), row.name, (row.params.example)());
        if row.name == "smt_faucet" || row.websocket_only || row.name == "smt_subscribe" {
            assert!([ErrorKind::NotAvailable, ErrorKind::InvalidParams].contains(&kind(&reply)), "{reply}");
        } else {
            (row.reply.decodes)(reply["result"].clone()).unwrap();
        }
    }
    let discovered = call(server.local_addr(), "rpc.discover", json!([]));
    let names: Vec<_> =
        discovered["result"]["methods"].as_array().unwrap().iter().map(|m| m["name"].as_str()).collect();
    assert_eq!(names, METHODS.iter().map(|row| Some(row.name)).collect::<Vec<_>>());
    let (status, page) = raw(server.local_addr(), &request("GET", "/openrpc.json", "host: [::1]:80\r\n", b""));
    assert_eq!((status, serde_json::from_str::<Value>(&page).unwrap()), (200, discovered["result"].clone()));
}

#[test]
fn rpc_md_is_generated_from_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/RPC.md");
    let written = std::fs::read_to_string(path).unwrap();
    let generated = smt_node::rpc::doc::markdown();
    let line = written.lines().zip(generated.lines()).position(|(a, b)| a != b);
    assert!(written == generated, "RPC.md differs from line {line:?} on: run `smt-node rpc-doc > node/RPC.md`");
    for row in METHODS {
        assert!(written.contains(&format!("### `{}`", row.name)), "{}", row.name);
    }
    for kind in ErrorKind::ALL {
        assert!(written.contains(&format!("| `{kind}` |")), "{kind}");
    }
}

// ---- refusals -------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_have_their_kinds() {
    let (server, _backend) = start(RpcConfig { request_bytes_max: 4_096, batch_calls_max: 3, ..RpcConfig::default() });
    let addr = server.local_addr();
    let ok = r#"{"jsonrpc":"2.0","id":1,"method":"smt_nodeInfo"}"#;
    let batch = |count: usize| format!("[{}]", vec![ok; count].join(","));
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    for (body, status, expected) in [
        ("", 200, ErrorKind::MalformedJson),
        ("{", 200, ErrorKind::MalformedJson),
        (ok.trim_end_matches('}'), 200, ErrorKind::MalformedJson),
        (deep.as_str(), 200, ErrorKind::MalformedJson),
        ("[]", 200, ErrorKind::InvalidRequest),
        ("7", 200, ErrorKind::InvalidRequest),
        (r#"{"id":1,"method":"smt_nodeInfo"}"#, 200, ErrorKind::InvalidRequest),
        (r#"{"jsonrpc":"1.0","id":1,"method":"smt_nodeInfo"}"#, 200, ErrorKind::InvalidRequest),
        (r#"{"jsonrpc":"2.0","id":{},"method":"smt_nodeInfo"}"#, 200, ErrorKind::InvalidRequest),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, 200, ErrorKind::InvalidRequest),
        (r#"{"jsonrpc":"2.0","id":1,"method":"smt_nothing"}"#, 200, ErrorKind::UnknownMethod),
        (r#"{"jsonrpc":"2.0","id":1,"method":"smt_nodeInfo","params":[1]}"#, 200, ErrorKind::InvalidParams),
        (&batch(4), 200, ErrorKind::BatchTooLarge),
        (&" ".repeat(4_097), 413, ErrorKind::BodyTooLarge),
        (&" ".repeat(4_096 * 12), 413, ErrorKind::BodyTooLarge),
    ] {
        assert_eq!(post_kind(addr, body.as_bytes()), (status, expected), "{body:.80}");
    }
    assert_eq!(serde_json::from_str::<Value>(&post(addr, batch(3).as_bytes()).1).unwrap().as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_parameters_have_their_kinds_and_name_the_field() {
    let (server, _backend) = start(RpcConfig::default());
    let id = "00".repeat(32);
    for (method, params, expected, named) in [
        ("smt_getAccount", json!({}), ErrorKind::InvalidParams, "address"),
        ("smt_getAccount", json!({"address": 5}), ErrorKind::InvalidParams, "address: "),
        ("smt_getAccount", json!({"address": "x", "epoch": "1"}), ErrorKind::InvalidParams, "epoch"),
        ("smt_getReceipt", json!({"id": "zz"}), ErrorKind::BadEncoding, "id: "),
        ("smt_submitTransaction", json!({"payment": "0"}), ErrorKind::BadEncoding, "payment: "),
        ("smt_submitTransaction", json!({"payment": "00", "wait": "proven"}), ErrorKind::InvalidParams, "wait: "),
        ("smt_submitTransaction", json!({"payment": "00", "timeout_ms": 60_001}), ErrorKind::InvalidParams, "60001"),
        ("smt_submitTransaction", json!({"payment": "00", "timeout_ms": -1}), ErrorKind::InvalidParams, "timeout_ms"),
        ("smt_submitTransactions", json!({"payments": []}), ErrorKind::InvalidParams, "0 items"),
        ("smt_submitTransactions", json!({"payments": vec!["00"; 1_025]}), ErrorKind::InvalidParams, "1025"),
        ("smt_getAccountHistory", json!({"address": "x", "limit": 101}), ErrorKind::InvalidParams, "101"),
        ("smt_getSnapshot", json!({"shard": "0", "epoch": 1}), ErrorKind::InvalidParams, "epoch: "),
        ("smt_getSnapshot", json!({"shard": "0", "epoch": "01"}), ErrorKind::InvalidParams, "epoch: "),
        ("smt_faucet", json!({"address": "x", "amount": "18446744073709551616"}), ErrorKind::InvalidParams, "amount: "),
        ("smt_subscribe", json!({"topic": "epochs", "id": id}), ErrorKind::InvalidParams, "epochs"),
        ("smt_subscribe", json!({"topic": "account"}), ErrorKind::InvalidParams, "address"),
        ("smt_subscribe", json!({"topic": "epochs"}), ErrorKind::NotAvailable, "ws://"),
        ("smt_unsubscribe", json!({"subscription": "1"}), ErrorKind::NotAvailable, "ws://"),
        ("smt_getAccount", json!({"address": "nobody"}), ErrorKind::UnknownAccount, "nobody"),
    ] {
        let reply = call(server.local_addr(), method, params.clone());
        assert_eq!(kind(&reply), expected, "{method} {params:.60} {reply}");
        assert!(reply["error"]["message"].as_str().unwrap().contains(named), "{reply}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_pages_and_rebound_names_are_kept_out() {
    let config = RpcConfig {
        allowed_hosts: vec!["node.example".into()],
        allowed_origins: vec!["https://wallet.example".into()],
        ..RpcConfig::default()
    };
    let (server, _backend) = start(config);
    let ask = |headers: &str| {
        let body = br#"{"jsonrpc":"2.0","id":1,"method":"smt_nodeInfo"}"#;
        let (status, reply) = raw(server.local_addr(), &request("POST", "/", headers, body));
        let reply: Value = serde_json::from_str(&reply).unwrap();
        (status, reply.get("error").map(|_| kind(&reply)))
    };
    for good in [
        "host: 127.0.0.1:9\r\n",
        "host: localhost\r\n",
        "host: NODE.example:1\r\n",
        "host: localhost\r\norigin: https://wallet.example\r\n",
    ] {
        assert_eq!(ask(good), (200, None), "{good}");
    }
    for bad in [
        "host: evil.example\r\n",
        "",
        "host: localhost\r\nhost: evil.example\r\n",
        "host: localhost\r\norigin: https://evil.example\r\n",
        "host: localhost\r\norigin: null\r\n",
    ] {
        assert_eq!(ask(bad), (403, Some(ErrorKind::Forbidden)), "{bad}");
    }
    let upgrade = "host: evil.example\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    assert_eq!(raw(server.local_addr(), &request("GET", "/", upgrade, b"")).0, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_paths_and_health() {
    let (server, backend) = start(RpcConfig::default());
    let addr = server.local_addr();
    let get = |path: &str| raw(addr, &request("GET", path, "host: localhost\r\n", b""));
    assert_eq!(get("/livez").0, 200);
    assert_eq!(get("/readyz").0, 200);
    backend.not_ready.lock().unwrap().push("2 of 3 replicas of shard 0.1 do not answer".into());
    let (status, reply) = get("/readyz");
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!((status, &reply["readiness"], &reply["ready"]), (503, &json!("no_quorum"), &json!(false)));
    assert_eq!(reply["reasons"][0], "2 of 3 replicas of shard 0.1 do not answer");
    assert_eq!(get("/").0, 400);
    for (method, path, status) in [("GET", "/nothing", 404), ("POST", "/livez", 405), ("OPTIONS", "/", 405)] {
        let (got, reply) = raw(addr, &request(method, path, "host: localhost\r\n", b""));
        assert_eq!((got, kind(&serde_json::from_str(&reply).unwrap())), (status, ErrorKind::InvalidRequest), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_get_no_reply_and_batches_keep_their_order() {
    let (server, _backend) = start(RpcConfig::default());
    let silent = r#"{"jsonrpc":"2.0","method":"smt_nodeInfo"}"#;
    assert_eq!(post(server.local_addr(), silent.as_bytes()), (204, String::new()));
    let mixed = format!(
        r#"[{silent},{{"jsonrpc":"2.0","id":"a","method":"smt_nodeInfo"}},1,{{"jsonrpc":"2.0","id":null,"method":"x"}}]"#
    );
    let replies: Value = serde_json::from_str(&post(server.local_addr(), mixed.as_bytes()).1).unwrap();
    let replies = replies.as_array().unwrap();
    assert_eq!(replies.len(), 3);
    assert_eq!((&replies[0]["id"], replies[0].get("error")), (&json!("a"), None));
    assert_eq!(kind(&replies[1]), ErrorKind::InvalidRequest);
    assert_eq!(kind(&replies[2]), ErrorKind::UnknownMethod);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_back_end_costs_one_call() {
    let (server, _backend) = start(RpcConfig::default());
    let reply = call(server.local_addr(), "smt_getAccount", json!({"address": "panic"}));
    assert_eq!(kind(&reply), ErrorKind::Internal);
    assert!(call(server.local_addr(), "smt_getAccount", json!({"address": "x"})).get("result").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_replies_and_slow_calls_are_cut_off() {
    let config = RpcConfig { response_bytes_max: 10_000, call_timeout_ms: 50, ..RpcConfig::default() };
    let (server, _backend) = start(config);
    let reply = call(server.local_addr(), "smt_getAccountHistory", json!({"address": "x"}));
    assert_eq!(kind(&reply), ErrorKind::ResponseTooLarge);
    let reply = call(server.local_addr(), "smt_submitTransaction", json!({"payment": "00", "wait": "credited"}));
    assert_eq!(kind(&reply), ErrorKind::Timeout);
    let item = r#"{"jsonrpc":"2.0","id":5,"method":"smt_nodeInfo"}"#;
    let batch = format!("[{}]", vec![item; 50].join(","));
    let (_, replies) = post(server.local_addr(), batch.as_bytes());
    let replies: Value = serde_json::from_str(&replies).unwrap();
    let replies = replies.as_array().unwrap();
    assert!(replies[0].get("result").is_some() && replies.iter().all(|reply| reply["id"] == 5));
    assert_eq!(kind(&replies[49]), ErrorKind::ResponseTooLarge);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate_is_limited_by_cost() {
    // One unit a second, saved up for one second: after a call this dear the next comes too early.
    let config = RpcConfig { rate_loopback_per_s: 1, rate_burst_ms: 1_000, ..RpcConfig::default() };
    let (server, _backend) = start(config);
    let payments = json!({"payments": vec!["00"; 1_000]});
    assert!(call(server.local_addr(), "smt_submitTransactions", payments).get("result").is_some());
    let reply = call(server.local_addr(), "smt_nodeInfo", json!({}));
    assert_eq!(kind(&reply), ErrorKind::RateLimited);
    let wait: u64 = reply["error"]["data"]["details"]["retry_after_ms"].as_str().unwrap().parse().unwrap();
    assert!((9_000_000..=10_000_000).contains(&wait), "1,000 payments cost 10,000 units: {wait} ms");
    assert_eq!(post_kind(server.local_addr(), b"{"), (200, ErrorKind::RateLimited));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_limited_and_places_are_given_back() {
    let (server, _backend) = start(RpcConfig { connections_max: 1, header_timeout_ms: 60_000, ..RpcConfig::default() });
    let addr = server.local_addr();
    let mut socket = socket(addr).await;
    assert!(ask(&mut socket, "smt_nodeInfo", json!({})).await.get("result").is_some());
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"smt_nodeInfo"}"#;
    assert_eq!(post_kind(addr, body), (503, ErrorKind::TooManyConnections));
    drop(socket);
    let start = Instant::now();
    while post(addr, body).0 != 200 {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_request_does_not_hold_a_place() {
    let (server, _backend) = start(RpcConfig { header_timeout_ms: 100, body_timeout_ms: 100, ..RpcConfig::default() });
    let mut stream = connect(server.local_addr());
    stream.write_all(b"POST / HTTP/1.1\r\nhost: local").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let half = b"POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{";
    let (status, reply) = raw(server.local_addr(), half);
    assert_eq!((status, kind(&serde_json::from_str(&reply).unwrap())), (408, ErrorKind::Timeout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_client_that_never_reads_does_not_hold_a_place() {
    let config =
        RpcConfig { connections_max: 1, write_timeout_ms: 100, response_bytes_max: 64 << 20, ..RpcConfig::default() };
    let (server, _backend) = start(config);
    let mut stream = connect(server.local_addr());
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"smt_getAccountHistory","params":{"address":"x"}}"#;
    let head = format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    for _ in 0..60 {
        if stream.write_all(&[head.as_bytes(), body].concat()).is_err() {
            break;
        }
    }
    let start = Instant::now();
    while post(server.local_addr(), br#"{"jsonrpc":"2.0","id":1,"method":"smt_nodeInfo"}"#).0 != 200 {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(stream);
}

#[test]
fn busy_port_is_named() {
    let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = first.local_addr();
    match bind(addr) {
        Err(error @ BindError::PortInUse { port, .. }) => {
            assert_eq!(port, addr.port());
            assert!(error.to_string().contains(&port.to_string()));
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    bind(addr).unwrap();
}

// ---- WebSocket ------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_start_deliver_and_end() {
    let (server, backend) = start(RpcConfig { subscriptions_max: 2, ..RpcConfig::default() });
    let mut socket = socket(server.local_addr()).await;
    let first = ask(&mut socket, "smt_subscribe", json!({"topic": "epochs"})).await["result"]["subscription"].clone();
    let second = ask(&mut socket, "smt_subscribe", json!({"topic": "epochs"})).await["result"]["subscription"].clone();
    assert_ne!(first, second);
    let third = ask(&mut socket, "smt_subscribe", json!({"topic": "epochs"})).await;
    assert_eq!(kind(&third), ErrorKind::TooManySubscriptions);
    let sinks = backend.sinks.lock().unwrap().clone();
    assert!(sinks[0].send(epoch_event()));
    let notification = next(&mut socket).await;
    assert_eq!(notification["method"], "smt_subscription");
    assert_eq!(notification["params"]["subscription"], first);
    assert_eq!(notification["params"]["event"], schema::EpochEvent::example());

    let ended = ask(&mut socket, "smt_unsubscribe", json!({"subscription": first})).await;
    assert_eq!(ended["result"]["removed"], true);
    let again = ask(&mut socket, "smt_unsubscribe", json!({"subscription": first})).await;
    assert_eq!(again["result"]["removed"], false);
    let start = Instant::now();
    while !sinks[0].is_closed() {
        assert!(start.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    assert!(!sinks[0].send(epoch_event()));

    // A place is free again, and a refused subscription does not keep one.
    let refused = ask(&mut socket, "smt_subscribe", json!({"topic": "account", "address": "nobody"})).await;
    assert_eq!(kind(&refused), ErrorKind::UnknownAccount);
    assert!(ask(&mut socket, "smt_subscribe", json!({"topic": "epochs"})).await.get("result").is_some());

    drop(sinks);
    backend.sinks.lock().unwrap().clear();
    let closed = next(&mut socket).await;
    assert_eq!(closed["params"]["closed"], "finished");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reader_gets_what_was_queued_and_then_the_reason() {
    let (server, backend) = start(RpcConfig { subscription_queue_max: 8, ..RpcConfig::default() });
    let mut socket = socket(server.local_addr()).await;
    ask(&mut socket, "smt_subscribe", json!({"topic": "epochs"})).await;
    let sink = backend.sinks.lock().unwrap()[0].clone();
    let mut sent = 0u64;
    loop {
        let mut event: schema::EpochEvent = serde_json::from_value(schema::EpochEvent::example()).unwrap();
        event.epoch.0 = sent;
        if !sink.send(Event::Epoch(event)) {
            break;
        }
        sent += 1;
        assert!(sent < 10_000_000, "a reader that never reads falls behind");
    }
    assert!(sink.is_closed());
    for epoch in 0..sent {
        assert_eq!(next(&mut socket).await["params"]["event"]["epoch"], epoch.to_string());
    }
    let closed = next(&mut socket).await;
    assert_eq!(closed["params"]["closed"], "slow_reader");
    // The connection goes on.
    assert!(ask(&mut socket, "smt_nodeInfo", json!({})).await.get("result").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_that_takes_no_bytes_loses_the_connection() {
    let (server, _backend) = start(RpcConfig {
        connections_max: 1,
        write_timeout_ms: 100,
        socket_calls_max: 2,
        response_bytes_max: 64 << 20,
        ..RpcConfig::default()
    });
    let mut socket = socket(server.local_addr()).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"smt_getAccountHistory","params":{"address":"x"}}"#;
    for _ in 0..60 {
        if socket.send(Message::text(body)).await.is_err() {
            break;
        }
    }
    let start = Instant::now();
    while post(server.local_addr(), br#"{"jsonrpc":"2.0","id":1,"method":"smt_nodeInfo"}"#).0 != 200 {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_errors_have_kinds_and_do_not_end_it() {
    let (server, _backend) = start(RpcConfig { request_bytes_max: 1_000, ..RpcConfig::default() });
    let mut socket = socket(server.local_addr()).await;
    for (message, expected) in [
        (Message::text("{"), ErrorKind::MalformedJson),
        (Message::binary(vec![0xff, 0xfe]), ErrorKind::MalformedJson),
        (Message::text(" ".repeat(1_001)), ErrorKind::BodyTooLarge),
        (Message::text(r#"{"jsonrpc":"2.0","id":1,"method":"no"}"#), ErrorKind::UnknownMethod),
    ] {
        socket.send(message).await.unwrap();
        assert_eq!(kind(&next(&mut socket).await), expected);
    }
    socket.send(Message::text(" ".repeat(10_000))).await.unwrap();
    let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(&message, Message::Close(Some(frame)) if u16::from(frame.code) == 1009), "{message:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_peer_is_dropped() {
    let (server, _backend) = start(RpcConfig { ping_ms: 50, connections_max: 1, ..RpcConfig::default() });
    // Upgrades and then never answers a ping.
    let mut stream = connect(server.local_addr());
    let upgrade = "host: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    stream.write_all(format!("GET / HTTP/1.1\r\n{upgrade}\r\n").as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.starts_with(b"HTTP/1.1 101"));
    assert!(all.windows(2).any(|frame| frame == [0x89, 0x00]), "pinged before it was dropped");
}

// ---- the end --------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_lets_calls_finish_and_tells_subscribers() {
    let (server, backend) = start(RpcConfig::default());
    let addr = server.local_addr();
    let mut socket = socket(addr).await;
    ask(&mut socket, "smt_subscribe", json!({"topic": "epochs"})).await;
    let client = Client::new(format!("http://{addr}"));
    let params =
        schema::SubmitTransaction { payment: HexBytes(vec![0]), wait: Some(WaitFor::Credited), timeout_ms: None };
    let slow = std::thread::spawn(move || client.call::<SubmitTransaction>(&params));
    backend.arrived.notified().await;
    let ending = tokio::spawn(server.shutdown(PATIENCE));
    assert_eq!(next(&mut socket).await["params"]["closed"], "stopping");
    assert_eq!(next(&mut socket).await, json!("closed"));
    backend.release.notify_one();
    assert!(slow.join().unwrap().is_ok());
    // The client closes its end when its answer is there; the server has nothing else to wait for.
    drop(socket);
    assert!(ending.await.unwrap());
    assert!(TcpStream::connect(addr).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_cuts_off_at_its_deadline() {
    let (server, backend) = start(RpcConfig::default());
    let client = Client::new(format!("http://{}", server.local_addr()));
    let params =
        schema::SubmitTransaction { payment: HexBytes(vec![0]), wait: Some(WaitFor::Credited), timeout_ms: None };
    let slow = std::thread::spawn(move || client.call::<SubmitTransaction>(&params));
    backend.arrived.notified().await;
    assert!(!server.shutdown(Duration::from_millis(50)).await);
    assert!(matches!(slow.join().unwrap(), Err(ClientError::Transport { .. })));
}

// ---- the typed client -----------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_reads_replies_and_errors() {
    let (server, _backend) = start(RpcConfig::default());
    let client = Client::new(format!("http://{}", server.local_addr()));
    let info = client.call::<GetNodeInfo>(&schema::Empty {}).unwrap();
    assert_eq!(serde_json::to_value(info).unwrap(), schema::NodeInfo::example());
    let unknown = client.call::<GetAccount>(&schema::ByAddress { address: AddressText("nobody".into()) }).unwrap_err();
    assert_eq!((unknown.kind(), unknown.retryable()), (Some(ErrorKind::UnknownAccount), false));
    let params =
        schema::SubmitTransaction { payment: HexBytes(vec![0]), wait: Some(WaitFor::Snapshotted), timeout_ms: Some(7) };
    match client.call::<SubmitTransaction>(&params).unwrap_err() {
        ClientError::Rpc(error) => {
            assert_eq!((error.kind, error.stage), (ErrorKind::Timeout, Some(schema::Stage::Final)));
            assert_eq!(error.message, "waited 7 ms");
        }
        other => panic!("{other:?}"),
    }
    let unsent = schema::ById { id: Hex32([9; 32]) };
    assert!(client.call::<table::GetReceipt>(&unsent).is_ok());
    let many = schema::SubmitTransactions {
        payments: vec![HexBytes(vec![1]), HexBytes(Vec::new())],
        wait: None,
        timeout_ms: None,
    };
    let outcomes = client.call::<table::SubmitTransactions>(&many).unwrap().outcomes;
    assert!(outcomes[0].result.is_some() && outcomes[0].error.is_none());
    assert_eq!(outcomes[1].error.as_ref().map(|error| error.kind), Some(ErrorKind::BadEncoding));
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = Client::new(format!("http://{}", listener.local_addr()));
    drop(listener);
    assert!(gone.call::<GetNodeInfo>(&schema::Empty {}).unwrap_err().retryable());
}

// ---- foreign bytes --------------------------------------------------------------------------------------------------

fn json_like() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just(json!("2.0")),
        Just(json!(null)),
        any::<i64>().prop_map(|n| json!(n)),
        any::<String>().prop_map(Value::String),
        proptest::sample::select(METHODS).prop_map(|row| json!(row.name)),
        proptest::sample::select(METHODS).prop_map(|row| (row.params.example)()),
    ];
    word.prop_recursive(3, 24, 4, |inner| {
        let key = proptest::sample::select(vec!["jsonrpc", "id", "method", "params", "payment", "address", "x"]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key, inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

/// Every answer to anything is nothing (notifications), a reply, or a list of replies.
fn is_answer(status: u16, body: &str) -> bool {
    let one = |reply: &Value| reply.get("result").is_some() || kind(reply).code() < 0;
    match serde_json::from_str::<Value>(body) {
        Ok(Value::Array(replies)) => !replies.is_empty() && replies.iter().all(one),
        Ok(reply) => one(&reply),
        Err(_) => status == 204 && body.is_empty(),
    }
}

#[test]
fn foreign_bytes_never_break_the_endpoint() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (addr, _server) = runtime.block_on(async {
        let (server, _backend) = start(RpcConfig { response_bytes_max: 64 << 20, ..RpcConfig::default() });
        (server.local_addr(), server)
    });
    let strategy = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        "[\\[\\]{}\",:a-z0-9.]{0,200}".prop_map(String::into_bytes),
        json_like().prop_map(|value| value.to_string().into_bytes()),
        json_like().prop_map(|params| {
            let method = "smt_submitTransactions";
            json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": params}).to_string().into_bytes()
        }),
    ];
    // A fixed seed: a failure repeats, and prints the smallest body that fails.
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, random);
    runner
        .run(&strategy, |body| {
            let (status, reply) = post(addr, &body);
            prop_assert!(is_answer(status, &reply), "{status} {reply}");
            Ok(())
        })
        .unwrap();
    assert_eq!(post(addr, br#"{"jsonrpc":"2.0","id":1,"method":"smt_nodeInfo"}"#).0, 200);
}
