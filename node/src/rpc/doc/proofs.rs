//! The byte formats of `RPC.md` that show state: account proofs, and evidence against replicas. As in
//! [`super::layout`], tables are data and tests cut real records along them.

use super::layout::{
    Field,
    Length::{Bytes, Words},
    table,
};
use super::{row, vector};
use smt_ledger::MAX_ACCOUNT_PROOF_BYTES;
use smt_trie::{
    NODE_BYTES, PATH_TRITS, SKIP_TRITS_MAX, TAG_INNER, TAG_LEAF, VALUE_BYTES_MAX, VALUE_DIGEST_KEY, VALUE_INLINE_MAX,
};
use smt_types::Canonical;

/// An account proof.
const ACCOUNT_PROOF: &[Field] = &[
    ("accounts", Bytes(32), "root hash of the account trie"),
    ("supply", Bytes(8), "u64, sum of the account trie: the shard's supply"),
    ("outbox", Bytes(32), "root hash of the outbox trie"),
    ("cursors", Bytes(32), "root hash of the cursor trie"),
    ("history", Bytes(32), "commitment to the history"),
    ("proof length", Bytes(4), "u32, t"),
    ("trie proof", Words("t"), "see below"),
];

/// The value of an account's leaf.
const ACCOUNT: &[Field] =
    &[("balance", Bytes(8), "u64, base units"), ("next seq", Bytes(8), "u64, every seq below is used")];

/// A trie proof up to its end.
const TRIE_PROOF: &[Field] = &[
    ("root depth", Bytes(1), "u8, level of the network; 0 in the proof of an empty trie"),
    ("level count", Bytes(1), "u8, n"),
    ("levels", Words("n levels"), "inner nodes on the key's path, root side first"),
    ("end", Words("by tag"), "what stands where the levels lead to"),
];

/// One level of a trie proof.
const TRIE_LEVEL: &[Field] = &[
    ("s", Bytes(1), "u8, trits the node skips"),
    (
        "flags",
        Bytes(1),
        "u8; sibling form: bit 0, the first sibling is not empty, bit 1, the second; midstate form: 128",
    ),
    ("sum", Bytes(8), "u64, sum of the node"),
    (
        "hashes",
        Words("32 each"),
        "sibling form: hashes of the non-empty children off the path, in child order; midstate form: the midstate",
    ),
];

/// The ends of a trie proof by tag.
const TRIE_ENDS: &[(&str, &str, &str)] = &[
    ("0", "empty slot: absent", "nothing"),
    ("1", "the key's own leaf: present", "sum u64, length u16, value"),
    ("2", "the leaf of another key: absent", "its key 32, sum u64, length of its value u16, what stands for the value"),
    (
        "3",
        "an inner node whose skip the key leaves: absent",
        "s u8, ⌈s / 5⌉ bytes of skipped trits, flags u8 (bits 0 to 2: children), sum u64, hashes of the non-empty children",
    ),
];

/// The 128 bytes hashed for a node: field, inner node, leaf.
const NODE: &[(&str, &str, &str)] = &[
    ("0–31", "hash of child 0", "key"),
    ("32–63", "hash of child 1", "what stands for the value, at most 64 bytes,"),
    ("64–95", "hash of child 2", "then zeros"),
    ("96", "{inner}", "{leaf}"),
    ("97", "depth of the node's slot", "depth of the leaf's slot"),
    ("98", "s", "0"),
    ("99–106", "sum, u64", "sum, u64"),
    ("107–127", "skipped trits, 21 bytes", "length of the value u16, then zeros"),
];

/// The section on account proofs.
pub(super) fn account_proof() -> String {
    let key = String::from_utf8_lossy(VALUE_DIGEST_KEY);
    let mut ends = String::from("| tag (u8) | end | body |\n| --- | --- | --- |\n");
    for (tag, end, body) in TRIE_ENDS {
        row(&mut ends, &[tag, end, body]);
    }
    let mut node = String::from("| bytes | inner node | leaf |\n| --- | --- | --- |\n");
    for (bytes, inner, leaf) in NODE {
        let tag = |text: &str| text.replace("{inner}", &TAG_INNER.to_string()).replace("{leaf}", &TAG_LEAF.to_string());
        row(&mut node, &[bytes, &tag(inner), &tag(leaf)]);
    }
    format!(
        "\n### Account proof\n\n\
         `proof` of `smt_getProof` shows an account, or its absence, against the `state root` of the snapshot header that comes \
         with it. At most {MAX_ACCOUNT_PROOF_BYTES} bytes:\n\n{}\n\
         The trie proof:\n\n{}\n\
         Each level:\n\n{}\n\
         The end:\n\n{ends}\n\
         The value of an account's leaf:\n\n{}\n\
         *Path* of a key in the trie: the key (here the 32 bytes of the address) as a big-endian number a; \
         ⌊a · 3^{PATH_TRITS} / 2^256⌋ written with {PATH_TRITS} trits, most significant first. A *slot at depth p* is where all keys \
         with given first p trits go. A node in it skips the next s trits, which all its keys share (s ≤ {SKIP_TRITS_MAX}), and the \
         trit after those says which of its three children, slots at depth p + s + 1, a key is in.\n\n\
         *Node hash*: plain BLAKE3 of {NODE_BYTES} bytes; the hash of an empty slot is 32 zeros:\n\n{node}\n\
         Skipped trits a b c d e make the byte 81a + 27b + 9c + 3d + e, first trit first; trits beyond s count as 0. What \
         stands for a value in its leaf is the value itself if it has at most {VALUE_INLINE_MAX} bytes, and otherwise its digest: BLAKE3 \
         in keyed mode of the value, with the 32 ASCII bytes `{key}` as key.\n\n\
         *Midstate*: BLAKE3 compresses a node's {NODE_BYTES} bytes as two blocks of 64, and the first block of an inner node is its \
         children 0 and 1. A level says what these two are worth in 32 bytes where neither is on the path, that is where the key goes to \
         child 2: the midstate is the chaining value after the first block, eight u32 words, compress(IV, bytes 0–63, counter 0, length \
         64, flags CHUNK_START = 1). The node's hash is then the first eight words of compress(midstate, bytes 64–127, counter 0, length \
         64, flags CHUNK_END | ROOT = 10), as the BLAKE3 paper names them. The trit p + s of the key decides the form of a level: \
         midstate form if it is 2, otherwise sibling form.\n\n\
         **Verification**, for an address and a header that is certified (see [snapshot header](#snapshot-header)):\n\n\
         1. The address lies in the header's shard; in another one its absence says nothing.\n\
         2. `H(State, accounts ‖ supply ‖ outbox ‖ cursors ‖ history)`, the first 136 bytes of the proof, is the header's `state \
         root`, and `supply` is the header's.\n\
         3. The trie proof decodes with nothing left over: n ≤ {PATH_TRITS}, flags of a level 0 to 3 or 128, of an end 0 to 7, no \
         hash of a child present that is 32 zeros, values of at most {VALUE_BYTES_MAX} bytes, spare trits 0, every byte of \
         trits below 243, root depth ≤ {} and 0 if there are no levels and the end is tag 0.\n\
         4. With p = root depth, go down: a level with skip s needs s ≤ {SKIP_TRITS_MAX} and p + s < {PATH_TRITS}, and its flags are \
         128 exactly if the key's trit p + s is 2; then p becomes p + s + 1. An end of tag 3 needs the same of its \
         s, at least one child, and two unless s = {SKIP_TRITS_MAX}.\n\
         5. The sum of the child on the path is at most the level's. Every level in sibling form has two or more children that are not \
         empty, the one on the path counted (an end of tag 0 is an empty child). The one exception: one child, an inner node, below a \
         skip of {SKIP_TRITS_MAX}; its sum is then equal to the level's. In midstate form this cannot be seen, and is not asked.\n\
         6. Hash of the end at depth p: tag 0: 32 zeros, sum 0. Tag 1: a leaf of the key asked about. Tag 2: a leaf of the other key, \
         which must differ from the key asked about and share its trits from the root depth up to p. Tag 3: an inner node with the \
         given skip, which must differ from the key's trits p … p + s − 1.\n\
         7. Going back up, level by level: an inner node at the level's depth, with the key's own trits as skip, the hash so far as the \
         child that the trit p + s of the key names, the level's sum, and as the two other children the siblings in order, \
         or their midstate.\n\
         8. The hash reached is `accounts`, and the sum of the topmost node (of the end if there are no levels) is `supply`.\n\
         9. Tag 1: the value has exactly 16 bytes and its balance is the leaf's sum. Otherwise nobody had paid the address up to that \
         epoch.\n",
        table(ACCOUNT_PROOF),
        table(TRIE_PROOF),
        table(TRIE_LEVEL),
        table(ACCOUNT),
        smt_trie::ROOT_DEPTH_MAX,
    )
}

/// The example of an account proof, for the worked example.
pub(super) fn example() -> String {
    let mut text = String::from(
        "\nA proof of the payer's account in a shard (level 0) with three accounts: the payer's with balance 5000 and next seq 1, the \
         payee's with balance 1000 and next seq 0, and a third; the other parts of the state are the bytes 0a, 0b and 0c 32 times. \
         The same proof form shows that the address of 32 bytes ee is absent; its path goes to child 2, so its level is in \
         midstate form:\n\n| value | |\n| --- | --- |\n",
    );
    let (parts, present, absent) = vector::account_proofs();
    for (name, value) in [
        ("state root", parts.digest().to_hex()),
        ("account proof", hex::encode(present.to_bytes())),
        ("absence proof", hex::encode(absent.to_bytes())),
    ] {
        row(&mut text, &[name, &format!("`{value}`")]);
    }
    text
}

/// Kinds of evidence: byte, word, records, what convicts beside the signatures.
const EVIDENCE: &[(&str, &str, &str, &str)] = &[
    (
        "0",
        "two_batches",
        "2 × (batch header, signature 64)",
        "same gateway and number, different headers. Signed: header digest, by the gateway",
    ),
    ("1", "two_votes", "2 × vote", "same replica, gateway and number, different digests"),
    (
        "2",
        "two_acceptances",
        "2 × (vote, batch header, signed payment, path)",
        "same replica, same payer and seq, different payment ids; each vote names its header's digest and has the payment's bit set, \
         each path leads to the header's root",
    ),
    (
        "3",
        "two_headers",
        "2 × (snapshot header, replica u8, ed25519 64, jub 64)",
        "same replica and epoch, different headers, both signatures of each valid",
    ),
    ("4", "two_cut_votes", "2 × cut vote", "same replica, epoch, view and phase, different values"),
    (
        "5",
        "omission",
        "applied record, batch header, signed payment, path, report",
        "one replica signed the payment as applied with an open epoch not above the report's, and its report does not list the bit. \
         Convicts only if the cut that the report extends does not hold the payment either",
    ),
    (
        "6",
        "bad_payment",
        "batch header, signature 64, signed payment, path",
        "the gateway signed a batch with a payment whose own signature does not verify",
    ),
];

/// The records inside evidence, with their domains. `committee` is a digest of 32 bytes, `signature` 64 bytes of ed25519.
const RECORDS: &[(&str, &str, &str)] = &[
    (
        "vote",
        "committee, gateway u8, number u64, batch header digest 32, replica u8, bits, signature",
        "`Vote`: all fields before the signature",
    ),
    (
        "applied record",
        "committee, batch header digest 32, replica u8, bits, open epoch u64, signature",
        "`Applied`: all fields before the signature",
    ),
    (
        "cut vote",
        "committee, epoch u64, view u32, phase u8 (0 prepare, 1 commit), value 32, replica u8, signature",
        "`CutVote`: all fields before the signature",
    ),
    (
        "report",
        "network u32, shard 5, committee, epoch u64, view u32, replica u8, base 32, list of {gateway u8, number u64, batch header \
         digest 32, bits}, list of {payer 32, seq u64, two payment ids 64, list of {payment id 32, batch header digest 32, index u16}}, \
         list of {shard 5, count u64, epoch u64, header digest 32}, lamport u64, dense time 17, signature",
        "`Report`: network, shard, committee, epoch, view, replica, base, the three lists, lamport, dense time",
    ),
];

/// The section on evidence.
pub(super) fn evidence() -> String {
    let mut text = String::from(
        "\n### Evidence\n\n\
         `record` of `smt_getEvidence` is one byte for the kind and then signed records that no honest replica can have produced; its \
         `id` is `H(Evidence, record)`. Anyone can check it against the committee of the shard:\n\n\
         | byte | kind | records | convicts if, beside valid signatures under the committee's keys and its digest in each record |\n\
         | --- | --- | --- | --- |\n",
    );
    for (byte, kind, records, rule) in EVIDENCE {
        row(&mut text, &[byte, &format!("`{kind}`"), records, rule]);
    }
    text.push_str(
        "\nBatch header, signed payment and path (index, list of siblings) are as in a receipt, bits too. The other records:\n\n\
         | record | fields | signed is `H` of this domain over |\n| --- | --- | --- |\n",
    );
    for (name, fields, signed) in RECORDS {
        row(&mut text, &[name, fields, signed]);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use smt_types::evidence::{Acceptance, BadPayment, Evidence, Omission, SignedBatchHeader, SignedHeader};
    use smt_types::report::{BatchBits, ContestedSlot, SourceCount};
    use smt_types::vote::{Applied, Vote};
    use smt_types::{
        Bitmap, Bounded, Digest, Domain, Epoch, Lamport, PaymentId, ReplicaIndex, Signature, View, hash,
        receipt::Receipt,
    };

    fn vote(receipt: &Receipt) -> Vote {
        Vote {
            committee: receipt.header.committee,
            gateway: receipt.header.gateway,
            number: receipt.header.number,
            header: receipt.header.digest(),
            replica: ReplicaIndex(2),
            bits: Bitmap::from_fn(2, |_| true),
            signature: Signature([9; 64]),
        }
    }

    /// Fields of a vote before its signature, along the table.
    fn vote_fields(vote: &Vote) -> Vec<u8> {
        [
            &vote.committee.0[..],
            &[vote.gateway.0],
            &vote.number.0.to_le_bytes(),
            &vote.header.0,
            &[vote.replica.0],
            &vote.bits.to_bytes(),
        ]
        .concat()
    }

    #[test]
    fn evidence_tables_are_the_encoding() {
        let receipt = vector::receipt();
        let (header, payment, path) = (receipt.header.clone(), receipt.payment.clone(), receipt.path.clone());
        let vote = vote(&receipt);
        let fields = vote_fields(&vote);
        assert_eq!(vote.to_bytes(), [&fields[..], &[9; 64]].concat());
        assert_eq!(vote.digest(), hash::hash(Domain::Vote, &fields));
        let carried = [header.to_bytes(), payment.to_bytes(), path.to_bytes()].concat();
        let signed = SignedBatchHeader { header: header.clone(), signature: Signature([8; 64]) };
        let acceptance =
            Acceptance { vote: vote.clone(), header: header.clone(), payment: payment.clone(), path: path.clone() };
        let applied = Applied {
            committee: header.committee,
            header: header.digest(),
            replica: ReplicaIndex(2),
            bits: vote.bits.clone(),
            open_epoch: Epoch(4),
            signature: Signature([7; 64]),
        };
        let applied_fields =
            [&header.committee.0[..], &header.digest().0, &[2], &vote.bits.to_bytes(), &4u64.to_le_bytes()].concat();
        assert_eq!(applied.to_bytes(), [&applied_fields[..], &[7; 64]].concat());
        assert_eq!(applied.digest(), hash::hash(Domain::Applied, &applied_fields));
        let report = smt_types::report::Report {
            network: header.network,
            shard: header.shard,
            committee: header.committee,
            epoch: Epoch(5),
            view: View(1),
            replica: ReplicaIndex(2),
            base: Digest([1; 32]),
            bits: Bounded::truncated(vec![BatchBits {
                gateway: header.gateway,
                number: header.number,
                header: header.digest(),
                bits: vote.bits.clone(),
            }]),
            contested: Bounded::truncated(vec![ContestedSlot {
                slot: payment.payment.slot(),
                payments: [PaymentId(Digest([2; 32])), PaymentId(Digest([3; 32]))],
                certified: Bounded::truncated(vec![(PaymentId(Digest([2; 32])), Digest([4; 32]), 6)]),
            }]),
            sources: Bounded::truncated(vec![SourceCount {
                source: header.shard,
                count: 11,
                epoch: Epoch(3),
                header: Digest([5; 32]),
            }]),
            lamport: Lamport(12),
            dense: header.dense,
            signature: Signature([6; 64]),
        };
        let one = 1u32.to_le_bytes();
        let report_fields = [
            &header.network.0.to_le_bytes()[..],
            &header.shard.to_bytes(),
            &header.committee.0,
            &5u64.to_le_bytes(),
            &1u32.to_le_bytes(),
            &[2],
            &[1; 32],
            &one,
            &[header.gateway.0],
            &header.number.0.to_le_bytes(),
            &header.digest().0,
            &vote.bits.to_bytes(),
            &one,
            &payment.payment.payer.address().0,
            &payment.payment.seq.0.to_le_bytes(),
            &[2; 32],
            &[3; 32],
            &one,
            &[2; 32],
            &[4; 32],
            &6u16.to_le_bytes(),
            &one,
            &header.shard.to_bytes(),
            &11u64.to_le_bytes(),
            &3u64.to_le_bytes(),
            &[5; 32],
            &12u64.to_le_bytes(),
            &header.dense.to_bytes(),
        ]
        .concat();
        assert_eq!(report.to_bytes(), [&report_fields[..], &[6; 64]].concat());
        assert_eq!(report.digest(), hash::hash(Domain::Report, &report_fields));
        let cut_vote = smt_types::cut::CutVote {
            committee: header.committee,
            epoch: Epoch(5),
            view: View(1),
            phase: smt_types::cut::Phase::Commit,
            value: Digest([3; 32]),
            replica: ReplicaIndex(2),
            signature: Signature([5; 64]),
        };
        let cut_fields =
            [&header.committee.0[..], &5u64.to_le_bytes(), &1u32.to_le_bytes(), &[1], &[3; 32], &[2]].concat();
        assert_eq!(cut_vote.to_bytes(), [&cut_fields[..], &[5; 64]].concat());
        assert_eq!(cut_vote.digest(), hash::hash(Domain::CutVote, &cut_fields));
        let snapshot = smt_types::Header {
            network: header.network,
            shard: header.shard,
            epoch: Epoch(6),
            predecessor: Digest([1; 32]),
            state: Digest([2; 32]),
            supply: smt_types::Amount(7),
            vector: Digest([3; 32]),
            lamport: Lamport(8),
            dense: header.dense,
            committee: header.committee,
            levels: smt_types::clock::SierpinskiClock::new(0),
            links: Digest([5; 32]),
        };
        let signed_snapshot = SignedHeader {
            header: snapshot.clone(),
            signature: smt_types::header::HeaderSignature {
                replica: ReplicaIndex(2),
                ed25519: Signature([1; 64]),
                jub: smt_types::JubSignature([2; 64]),
            },
        };
        let twice = |bytes: Vec<u8>| [bytes.clone(), bytes].concat();
        let records: Vec<(Evidence, Vec<u8>)> = vec![
            (
                Evidence::Batches(Box::new([signed.clone(), signed.clone()])),
                twice([header.to_bytes(), vec![8; 64]].concat()),
            ),
            (Evidence::Votes(Box::new([vote.clone(), vote.clone()])), twice(vote.to_bytes())),
            (
                Evidence::Acceptances(Box::new([acceptance.clone(), acceptance])),
                twice([vote.to_bytes(), carried.clone()].concat()),
            ),
            (
                Evidence::Headers(Box::new([signed_snapshot.clone(), signed_snapshot])),
                twice([snapshot.to_bytes(), vec![2], vec![1; 64], vec![2; 64]].concat()),
            ),
            (Evidence::CutVotes(Box::new([cut_vote.clone(), cut_vote.clone()])), twice(cut_vote.to_bytes())),
            (
                Evidence::Omission(Box::new(Omission {
                    applied: applied.clone(),
                    header: header.clone(),
                    payment: payment.clone(),
                    path: path.clone(),
                    report: report.clone(),
                })),
                [applied.to_bytes(), carried.clone(), report.to_bytes()].concat(),
            ),
            (
                Evidence::BadPayment(Box::new(BadPayment {
                    batch: signed,
                    payment: payment.clone(),
                    path: path.clone(),
                })),
                [header.to_bytes(), vec![8; 64], payment.to_bytes(), path.to_bytes()].concat(),
            ),
        ];
        assert_eq!(records.len(), EVIDENCE.len());
        for ((evidence, bytes), (byte, kind, ..)) in records.iter().zip(EVIDENCE) {
            assert_eq!(evidence.kind(), *kind);
            let whole = [vec![byte.parse().unwrap()], bytes.clone()].concat();
            assert_eq!(evidence.to_bytes(), whole, "{kind}");
            assert_eq!(evidence.id(), hash::hash(Domain::Evidence, &whole), "{kind}");
        }
    }

    #[test]
    fn account_proof_tables_are_the_encoding() {
        let (parts, present, absent) = vector::account_proofs();
        let bytes = present.to_bytes();
        let proof = &bytes[140..];
        let head = [
            &parts.accounts.0[..],
            &parts.supply.0.to_le_bytes(),
            &parts.outbox.0,
            &parts.cursors.0,
            &parts.history.0,
            &u32::try_from(proof.len()).unwrap().to_le_bytes(),
        ]
        .concat();
        assert_eq!(&bytes[..140], &head[..]);
        assert_eq!(parts.digest(), hash::hash(Domain::State, &bytes[..136]));
        // The end is the payer's leaf: tag, sum, length, balance and next seq.
        let end =
            [&[1][..], &5_000u64.to_le_bytes(), &16u16.to_le_bytes(), &5_000u64.to_le_bytes(), &1u64.to_le_bytes()]
                .concat();
        assert!(proof.ends_with(&end));
        assert_eq!(proof[..2], [0, 1], "root depth of a network of level 0, one level");
        let sum = 6_007u64.to_le_bytes();
        assert_eq!(proof[2..12], [&[0, 3][..], &sum].concat(), "no skip, sibling form with both siblings");
        assert_eq!(proof.len(), 2 + 10 + 64 + end.len());
        // The other proof: midstate form, then the third account's leaf with its value.
        let bytes = absent.to_bytes();
        let proof = &bytes[140..];
        assert_eq!(proof[..12], [&[0, 1, 0, 128][..], &sum].concat());
        let end = [&7u64.to_le_bytes()[..], &16u16.to_le_bytes(), &7u64.to_le_bytes(), &[0; 8]].concat();
        assert_eq!(proof[44], 2, "tag, after a midstate of 32 bytes");
        assert_eq!(proof[77..], end, "after the key of 32 bytes");
    }
}
