//! A node for the wallet's tests: one shard of three real keys, payments applied at once, real receipts, and faults to
//! order. It remembers every payment it was ever shown; [`PayNode::assert_one_payment_per_seq`] is the point of it all.

use serde_json::{Value, json};
use smt_node::rpc::describe::Describe;
use smt_node::rpc::schema::{Account, GenesisReply, History, NodeInfo, Stage, Submitted, WaitFor};
use smt_node::rpc::wire::{Decimal, Hex32, HexBytes};
use smt_node::rpc::{ErrorKind, RpcError};
use smt_node::wallet::endpoint::{CallError, Endpoint};
use smt_types::address::Hrp;
use smt_types::batch::{self, BatchHeader, BatchPath};
use smt_types::crypto::{JubSecretKey, SecretKey};
use smt_types::receipt::AppliedPart;
use smt_types::vote::Applied;
use smt_types::{
    Address, Amount, BatchNumber, Bitmap, Bounded, Canonical, Committee, DenseTime, Epoch, Genesis, Lamport, NetworkId,
    PaymentId, Receipt, ReplicaIndex, ReplicaKeys, Seq, ShardAddress, Signature, SignedPayment,
};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What goes wrong with one submit call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The request never arrives.
    LoseRequest,
    /// It arrives and is acted on; the answer does not come back.
    LoseReply,
    /// This answer, nothing done.
    Answer(RpcError),
    /// Acted on, but said to have come only this far.
    Only(Stage),
    /// Nothing done, answered as a success of this stage.
    End(Stage),
    /// Acted on, with a receipt that has one bit wrong.
    BadReceipt,
    /// Acted on, answered with the receipt of the payer's first payment.
    OtherReceipt,
}

#[derive(Default)]
struct State {
    balances: BTreeMap<Address, u64>,
    applied: BTreeMap<Address, Vec<SignedPayment>>,
    waiting: BTreeMap<(Address, Seq), SignedPayment>,
    shown: Vec<SignedPayment>,
    faults: VecDeque<Fault>,
    /// What `smt_getAccount` says instead of the truth.
    next_seq_claimed: Option<u64>,
}

/// The node.
pub struct PayNode {
    pub genesis: Genesis,
    committee: Committee,
    keys: Vec<SecretKey>,
    state: Mutex<State>,
}

/// The account that has money.
pub fn payer() -> SecretKey {
    SecretKey::from_seed([77; 32])
}

impl PayNode {
    /// A node of network `number`; `variant` makes another genesis of the same number.
    pub fn new(number: u32, variant: u8) -> PayNode {
        let keys: Vec<_> = (0..3u8).map(|i| SecretKey::from_seed([variant * 3 + i + 1; 32])).collect();
        let replicas: Vec<_> = keys
            .iter()
            .map(|key| ReplicaKeys::prove(key, &JubSecretKey::from_seed(*key.public().as_bytes())))
            .collect();
        let funded = payer().public().address();
        let genesis = Genesis {
            network: NetworkId(number),
            development: true,
            level: 0,
            epoch_ms: 1_000,
            committees: Bounded::new(vec![Bounded::new(replicas).unwrap()]).unwrap(),
            accounts: Bounded::new(vec![(funded, Amount(1_000))]).unwrap(),
            faucets: Bounded::default(),
        };
        let committee = genesis.check().unwrap().remove(0);
        let state = State { balances: BTreeMap::from([(funded, 1_000)]), ..State::default() };
        PayNode { genesis, committee, keys, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next submit calls go wrong like this, in order.
    pub fn fault(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults = faults.into_iter().collect();
    }

    /// From here on `smt_getAccount` says this next seq; `None` for the truth.
    pub fn claim_next_seq(&self, next: Option<u64>) {
        self.state().next_seq_claimed = next;
    }

    /// Payments applied for the funded account.
    pub fn applied(&self) -> Vec<SignedPayment> {
        self.state().applied.get(&payer().public().address()).cloned().unwrap_or_default()
    }

    /// Submit calls that arrived.
    pub fn shown(&self) -> usize {
        self.state().shown.len()
    }

    /// Of all payments ever shown, no two differ at one slot, in any byte.
    pub fn assert_one_payment_per_seq(&self) {
        let mut slots = BTreeMap::new();
        for signed in &self.state().shown {
            let first = slots.entry(signed.payment.slot()).or_insert_with(|| signed.clone());
            assert_eq!(first, signed, "two payments at seq {}", signed.payment.seq);
        }
    }

    /// A receipt of an applied payment, as the protocol has it: batch of two, second place.
    pub fn make_receipt(&self, signed: &SignedPayment) -> Vec<u8> {
        let leaves = [smt_types::Digest([5; 32]), signed.leaf()];
        let header = BatchHeader {
            network: self.genesis.network,
            shard: ShardAddress::ROOT,
            committee: self.committee.digest(),
            gateway: ReplicaIndex(1),
            number: BatchNumber(signed.payment.seq.0),
            root: batch::root(&leaves),
            count: 2,
            lamport: Lamport(9),
            dense: DenseTime::ZERO,
        };
        let part = |replica: u8, open_epoch: u64| {
            let bits = Bitmap::from_fn(2, |_| true);
            let mut record = Applied {
                committee: header.committee,
                header: header.digest(),
                replica: ReplicaIndex(replica),
                bits: bits.clone(),
                open_epoch: Epoch(open_epoch),
                signature: Signature([0; 64]),
            };
            record.signature = self.keys[usize::from(replica)].sign(record.digest().as_bytes());
            AppliedPart { replica: record.replica, bits, open_epoch: record.open_epoch, signature: record.signature }
        };
        let receipt = Receipt {
            applied: Bounded::new(vec![part(0, 3), part(2, 4)]).unwrap(),
            path: BatchPath::of(&leaves, 1).unwrap(),
            payment: signed.clone(),
            header,
        };
        receipt.to_bytes()
    }

    fn take(&self, signed: &SignedPayment) -> Result<Submitted, RpcError> {
        let (payment, mut state) = (&signed.payment, self.state());
        let (payer, seq) = (payment.payer.address(), payment.seq);
        if payment.network != self.genesis.network {
            return Err(RpcError::new(ErrorKind::WrongNetwork, "another network"));
        }
        state.waiting.entry((payer, seq)).or_insert_with(|| signed.clone());
        loop {
            let done = state.applied.get(&payer).map_or(0, Vec::len) as u64;
            let Some(next) = state.waiting.remove(&(payer, Seq(done))) else {
                break;
            };
            let balance = state.balances.get(&payer).copied().unwrap_or(0);
            let Some(rest) = balance.checked_sub(next.payment.amount.0) else {
                return Err(RpcError::new(ErrorKind::InsufficientFunds, "not enough").at_stage(Stage::Received));
            };
            state.balances.insert(payer, rest);
            *state.balances.entry(next.payment.payee).or_default() += next.payment.amount.0;
            state.applied.entry(payer).or_default().push(next);
        }
        let id = Hex32(payment.id().0.0);
        match state.applied.get(&payer).and_then(|all| all.get(usize::try_from(seq.0).unwrap_or(usize::MAX))) {
            Some(held) if held.payment != *payment => Err(RpcError::new(ErrorKind::SeqUsed, "another payment")),
            Some(_) => Ok(Submitted {
                id,
                stage: Stage::Final,
                shard: "root".into(),
                epoch: Some(Decimal(4)),
                receipt: Some(HexBytes(self.make_receipt(signed))),
            }),
            None => Err(RpcError::new(ErrorKind::Timeout, "waited").at_stage(Stage::Received)),
        }
    }
}

fn example<T: Describe + serde::de::DeserializeOwned>() -> T {
    serde_json::from_value(T::example()).unwrap()
}

impl Endpoint for PayNode {
    fn node_info(&self) -> Result<NodeInfo, CallError> {
        let hash = smt_node::wallet::network::genesis_hash(&self.genesis).unwrap();
        Ok(NodeInfo { network: self.genesis.network.0, genesis_hash: Hex32(hash.0), ..example() })
    }

    fn genesis(&self) -> Result<GenesisReply, CallError> {
        let hash = smt_node::wallet::network::genesis_hash(&self.genesis).unwrap();
        let reply: GenesisReply = example();
        Ok(GenesisReply { hash: Hex32(hash.0), file: Some(HexBytes(self.genesis.to_bytes())), ..reply })
    }

    fn account(&self, address: &str) -> Result<Account, CallError> {
        let (_, address) = Address::parse(address).map_err(|e| RpcError::new(ErrorKind::BadAddress, e.to_string()))?;
        let state = self.state();
        let Some(balance) = state.balances.get(&address) else {
            return Err(RpcError::new(ErrorKind::UnknownAccount, "nobody ever paid it").into());
        };
        let next = state.applied.get(&address).map_or(0, Vec::len) as u64;
        Ok(Account {
            address: address.to_bech32(Hrp::Dev).into(),
            balance: Decimal(*balance),
            next_seq: Decimal(state.next_seq_claimed.unwrap_or(next)),
            incoming: Vec::new(),
            ..example()
        })
    }

    fn history(&self, _: &str, _: Option<String>, _: u32) -> Result<History, CallError> {
        Ok(History { entries: Vec::new(), next: None })
    }

    fn submit(&self, signed: &SignedPayment, _: WaitFor, _: Duration) -> Result<Submitted, CallError> {
        let fault = self.state().faults.pop_front();
        if matches!(fault, Some(Fault::LoseRequest)) {
            return Err(CallError::Transport("no answer".into()));
        }
        self.state().shown.push(signed.clone());
        if let Some(Fault::Answer(error)) = fault {
            return Err(error.into());
        }
        if let Some(Fault::End(stage)) = fault {
            let id = Hex32(signed.payment.id().0.0);
            return Ok(Submitted { id, stage, shard: "root".into(), epoch: None, receipt: None });
        }
        let mut answer = self.take(signed)?;
        match fault {
            Some(Fault::LoseReply) => return Err(CallError::Transport("connection closed".into())),
            Some(Fault::Only(stage)) => {
                return Err(RpcError::new(ErrorKind::Timeout, "waited").at_stage(stage).into());
            }
            Some(Fault::BadReceipt) => {
                let mut bytes = answer.receipt.unwrap().0;
                *bytes.last_mut().unwrap() ^= 1;
                answer.receipt = Some(HexBytes(bytes));
            }
            Some(Fault::OtherReceipt) => answer.receipt = Some(HexBytes(self.make_receipt(&self.applied()[0]))),
            _ => {}
        }
        Ok(answer)
    }

    fn receipt(&self, id: PaymentId) -> Result<Vec<u8>, CallError> {
        match self.applied().iter().find(|signed| signed.payment.id() == id) {
            Some(signed) => Ok(self.make_receipt(signed)),
            None => Err(RpcError::new(ErrorKind::UnknownTransaction, "not here").into()),
        }
    }
}

/// Serves a node over HTTP on a free port until the process ends; answers the URL.
pub fn serve(node: &Arc<PayNode>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let node = Arc::clone(node);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let node = Arc::clone(&node);
            std::thread::spawn(move || drop(answer(&node, stream)));
        }
    });
    url
}

fn answer(node: &PayNode, mut stream: TcpStream) -> std::io::Result<()> {
    let (mut bytes, mut chunk) = (Vec::new(), [0u8; 4096]);
    let body = loop {
        let got = stream.read(&mut chunk)?;
        if got == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&chunk[..got]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        if body.len() >= length.unwrap_or(0usize) {
            break body.to_owned();
        }
    };
    let request: Value = serde_json::from_str(&body).unwrap();
    let outcome = call(node, request["method"].as_str().unwrap(), &request["params"]);
    let reply = match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }),
        Err(CallError::Rpc(error)) => {
            json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })
        }
        // The connection closes without a word.
        Err(_) => return Ok(()),
    };
    let text = reply.to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    )
}

fn call(node: &PayNode, method: &str, params: &Value) -> Result<Value, CallError> {
    let text = |name: &str| params[name].as_str().unwrap_or_default().to_owned();
    let id = || PaymentId(smt_types::Digest::from_hex(&text("id")).unwrap());
    Ok(match method {
        "smt_nodeInfo" => json!(node.node_info()?),
        "smt_getGenesis" => json!(node.genesis()?),
        "smt_getAccount" => json!(node.account(&text("address"))?),
        "smt_getAccountHistory" => json!(node.history("", None, 1)?),
        "smt_getReceipt" => json!({ "receipt": hex::encode(node.receipt(id())?) }),
        "smt_submitTransaction" => {
            let bytes = hex::decode(text("payment")).unwrap();
            let signed = SignedPayment::from_bytes(&bytes, 1_000)
                .map_err(|error| RpcError::new(ErrorKind::BadEncoding, error.to_string()))?;
            json!(node.submit(&signed, WaitFor::Final, Duration::ZERO)?)
        }
        other => return Err(RpcError::new(ErrorKind::UnknownMethod, other).into()),
    })
}
