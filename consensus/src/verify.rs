//! The gate: foreign bytes become [`Verified`] values here or nowhere. State machines take only verified input and never
//! check a signature again.

use crate::config::Network;
use smt_types::batch::{Batch, BatchPath};
use smt_types::cut::{CutVote, Decision, PhaseCertificate, Proposal, ViewChange};
use smt_types::evidence::{BadPayment, Evidence, SignedBatchHeader, SignedHeader};
use smt_types::message::{Message, NodeId, Records, Refusal};
use smt_types::report::Report;
use smt_types::vote::{Applied, Certificate, Vote};
use smt_types::{Checker, Committee, Digest, PaymentId, PublicKey, ReplicaIndex, Signature, SignedPayment, Slot};
use std::ops::Deref;
use std::sync::Arc;

/// A value whose signatures have all been checked. Comes only from a [`Gate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A client's payment with the id and the slot that follow from its bytes: hashed once, on the way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    payment: SignedPayment,
    id: PaymentId,
    slot: Slot,
}

impl From<SignedPayment> for Submission {
    fn from(payment: SignedPayment) -> Submission {
        let (id, slot) = (payment.payment.id(), payment.payment.slot());
        Submission { payment, id, slot }
    }
}

impl Submission {
    /// The payment.
    #[must_use]
    pub fn payment(&self) -> &SignedPayment {
        &self.payment
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> PaymentId {
        self.id
    }

    /// The slot it takes.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Payment, id and slot.
    #[must_use]
    pub fn into_parts(self) -> (SignedPayment, PaymentId, Slot) {
        (self.payment, self.id, self.slot)
    }
}

/// Why a message is dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Meant for another network, shard or committee.
    #[error("{0} is of another network, shard or committee")]
    Foreign(&'static str),
    /// Breaks a rule of form.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A signature does not verify.
    #[error("signature of a {0} does not verify")]
    Signature(&'static str),
    /// A gateway signed a batch with an invalid payer signature.
    #[error("a batch carries an invalid payer signature")]
    Convicts(Box<Evidence>),
}

/// Checks what comes in for one replica.
#[derive(Clone)]
pub struct Gate {
    node: NodeId,
    network: Arc<Network>,
    committee: Arc<Committee>,
    checker: Arc<dyn Checker>,
}

type Item = (PublicKey, Digest, Signature);

impl Gate {
    /// A gate for `node`; `None` if the network has no such shard.
    #[must_use]
    pub fn new(node: NodeId, network: Arc<Network>, checker: Arc<dyn Checker>) -> Option<Gate> {
        let committee = network.committee(node.shard)?.clone();
        Some(Gate { node, network, committee, checker })
    }

    /// Checks a client's payment: its signature only; rules that depend on state are the core's.
    ///
    /// # Errors
    /// [`Refused::Signature`].
    pub fn payment(&self, payment: SignedPayment) -> Result<Verified<Submission>, Refused> {
        let submission = Submission::from(payment);
        let signed = &submission.payment;
        if self.checker.check(&signed.payment.payer, &submission.id.0, &signed.signature) {
            Ok(Verified(submission))
        } else {
            Err(Refused::Signature("payment"))
        }
    }

    /// Checks clients' payments together, in order; a false signature costs its own payment only. Cost: one batch check where
    /// all are valid.
    ///
    /// # Errors
    /// [`Refused::Signature`], each payment for itself.
    #[must_use]
    pub fn payments(&self, payments: Vec<Submission>) -> Vec<Result<Verified<Submission>, Refused>> {
        let items: Vec<Item> =
            payments.iter().map(|p| (p.payment.payment.payer, p.id.0, p.payment.signature)).collect();
        let valid = self.checker.check_each(&items);
        let each = payments.into_iter().zip(valid);
        each.map(|(payment, valid)| if valid { Ok(Verified(payment)) } else { Err(Refused::Signature("payment")) })
            .collect()
    }

    /// Checks a message. Cost: every signature in it, in one batch where all must hold.
    ///
    /// # Errors
    /// [`Refused`] naming the first fault.
    pub fn message(&self, from: NodeId, message: Message) -> Result<Verified<Message>, Refused> {
        let own = from.shard == self.node.shard;
        match &message {
            Message::Header(header) => {
                let committee = self.network.committee(header.header.shard).ok_or(Refused::Foreign("header"))?;
                header.verify(committee, self.checker.as_ref()).map_err(|_| Refused::Signature("header"))?;
            }
            Message::Credits(bundle) => {
                let committee =
                    self.network.committee(bundle.header.header.shard).ok_or(Refused::Foreign("credits"))?;
                if bundle.destination != self.node.shard || bundle.header.header.shard == self.node.shard {
                    return Err(Refused::Foreign("credits"));
                }
                bundle.header.verify(committee, self.checker.as_ref()).map_err(|_| Refused::Signature("credits"))?;
            }
            Message::Ask(_) => {}
            _ if !own => return Err(Refused::Foreign("message")),
            Message::Batch(batch) => self.batch(batch)?,
            Message::Vote(vote, advice) => {
                self.vote(vote)?;
                for (_, refusal) in advice.iter() {
                    if let Refusal::Locked(other) = refusal
                        && !self.checker.check(&other.payment.payer, &other.payment.id().0, &other.signature)
                    {
                        return Err(Refused::Signature("locked payment"));
                    }
                }
            }
            Message::Certificate(certificate) => self.certificate(certificate)?,
            Message::Applied(applied) => self.applied(applied)?,
            Message::Report(report) => self.report(report)?,
            Message::Proposal(proposal) => self.proposal(proposal)?,
            Message::CutVote(vote) => self.cut_vote(vote)?,
            Message::ViewChange(change, value) => {
                self.view_change(change)?;
                let named = change.prepared.as_ref().map(|p| p.value);
                if named != value.as_ref().map(|v| v.digest()) {
                    return Err(Refused::Malformed("view change"));
                }
            }
            Message::Decision(decision) => self.decision(decision)?,
            Message::HeaderSignature(signed) => self.signed_header(signed)?,
            Message::Contested(pair) => {
                let [a, b] = pair.as_ref();
                if a.payment.slot() != b.payment.slot() || a.payment.id() == b.payment.id() {
                    return Err(Refused::Malformed("contested pair"));
                }
                let items = [a, b].map(|p| (p.payment.payer, p.payment.id().0, p.signature));
                self.all(&items, "contested pair")?;
            }
            Message::Evidence(evidence) => {
                if evidence.convicts(&self.committee, self.checker.as_ref()).is_none() {
                    return Err(Refused::Signature("evidence"));
                }
            }
            Message::Records(records) => self.records(records)?,
        }
        Ok(Verified(message))
    }

    fn item(&self, replica: ReplicaIndex, digest: Digest, signature: Signature) -> Option<Item> {
        self.committee.keys(replica).map(|keys| (keys.ed25519, digest, signature))
    }

    fn one(
        &self,
        replica: ReplicaIndex,
        digest: Digest,
        signature: Signature,
        what: &'static str,
    ) -> Result<(), Refused> {
        let (key, digest, signature) = self.item(replica, digest, signature).ok_or(Refused::Foreign(what))?;
        if self.checker.check(&key, &digest, &signature) { Ok(()) } else { Err(Refused::Signature(what)) }
    }

    fn all(&self, items: &[Item], what: &'static str) -> Result<(), Refused> {
        if self.checker.check_all(items) { Ok(()) } else { Err(Refused::Signature(what)) }
    }

    fn ours(&self, committee: &Digest, what: &'static str) -> Result<(), Refused> {
        if *committee == self.committee.digest() { Ok(()) } else { Err(Refused::Foreign(what)) }
    }

    fn batch(&self, batch: &Batch) -> Result<(), Refused> {
        let header = &batch.header;
        self.ours(&header.committee, "batch")?;
        if header.network != self.network.id || header.shard != self.node.shard {
            return Err(Refused::Foreign("batch"));
        }
        if !batch.is_consistent() {
            return Err(Refused::Malformed("batch"));
        }
        self.one(header.gateway, header.digest(), batch.signature, "batch")?;
        let items: Vec<Item> =
            batch.payments.iter().map(|p| (p.payment.payer, p.payment.id().0, p.signature)).collect();
        // The gateway has signed for this content: a false signature convicts it.
        let valid = self.checker.check_each(&items);
        let bad = valid.iter().position(|valid| !valid);
        if bad.is_none() {
            return Ok(());
        }
        let leaves: Vec<Digest> = batch.payments.iter().map(SignedPayment::leaf).collect();
        let evidence = bad.and_then(|index| {
            Some(Evidence::BadPayment(Box::new(BadPayment {
                batch: SignedBatchHeader { header: header.clone(), signature: batch.signature },
                payment: batch.payments.get(index)?.clone(),
                path: BatchPath::of(&leaves, u16::try_from(index).ok()?)?,
            })))
        });
        Err(evidence.map_or(Refused::Signature("payment"), |e| Refused::Convicts(Box::new(e))))
    }

    fn vote(&self, vote: &Vote) -> Result<(), Refused> {
        self.ours(&vote.committee, "vote")?;
        self.one(vote.replica, vote.digest(), vote.signature, "vote")
    }

    fn certificate(&self, certificate: &Certificate) -> Result<(), Refused> {
        self.ours(&certificate.committee, "certificate")?;
        let count = certificate.votes.first().map_or(0, |part| part.bits.count());
        if !certificate.is_well_formed(&self.committee, count) {
            return Err(Refused::Malformed("certificate"));
        }
        let items: Option<Vec<Item>> =
            certificate.votes().map(|v| self.item(v.replica, v.digest(), v.signature)).collect();
        self.all(&items.ok_or(Refused::Foreign("certificate"))?, "certificate")
    }

    fn applied(&self, applied: &Applied) -> Result<(), Refused> {
        self.ours(&applied.committee, "applied")?;
        self.one(applied.replica, applied.digest(), applied.signature, "applied")
    }

    fn report(&self, report: &Report) -> Result<(), Refused> {
        self.ours(&report.committee, "report")?;
        if !report.is_well_formed() || report.network != self.network.id || report.shard != self.node.shard {
            return Err(Refused::Malformed("report"));
        }
        self.one(report.replica, report.digest(), report.signature, "report")
    }

    fn proposal(&self, proposal: &Proposal) -> Result<(), Refused> {
        self.ours(&proposal.committee, "proposal")?;
        let value = &proposal.value;
        if !value.is_well_formed()
            || value.network != self.network.id
            || value.shard != self.node.shard
            || value.epoch != proposal.epoch
        {
            return Err(Refused::Malformed("proposal"));
        }
        self.one(proposal.replica, proposal.digest(), proposal.signature, "proposal")?;
        proposal.reports.iter().try_for_each(|report| self.report(report))?;
        proposal.view_changes.iter().try_for_each(|change| self.view_change(change))
    }

    fn cut_vote(&self, vote: &CutVote) -> Result<(), Refused> {
        self.ours(&vote.committee, "cut vote")?;
        self.one(vote.replica, vote.digest(), vote.signature, "cut vote")
    }

    fn phase_certificate(&self, certificate: &PhaseCertificate) -> Result<(), Refused> {
        self.ours(&certificate.committee, "phase certificate")?;
        if !certificate.is_well_formed(self.committee.quorum()) {
            return Err(Refused::Malformed("phase certificate"));
        }
        let items: Option<Vec<Item>> =
            certificate.votes().map(|v| self.item(v.replica, v.digest(), v.signature)).collect();
        self.all(&items.ok_or(Refused::Foreign("phase certificate"))?, "phase certificate")
    }

    fn view_change(&self, change: &ViewChange) -> Result<(), Refused> {
        self.ours(&change.committee, "view change")?;
        if let Some(prepared) = &change.prepared {
            let right = prepared.epoch == change.epoch
                && prepared.view < change.view
                && prepared.phase == smt_types::cut::Phase::Prepare;
            if !right {
                return Err(Refused::Malformed("view change"));
            }
            self.phase_certificate(prepared)?;
        }
        self.one(change.replica, change.digest(), change.signature, "view change")
    }

    fn decision(&self, decision: &Decision) -> Result<(), Refused> {
        let value = &decision.value;
        if !decision.is_well_formed(self.committee.quorum())
            || value.network != self.network.id
            || value.shard != self.node.shard
        {
            return Err(Refused::Malformed("decision"));
        }
        self.phase_certificate(&decision.commits)
    }

    fn signed_header(&self, signed: &SignedHeader) -> Result<(), Refused> {
        let header = &signed.header;
        self.ours(&header.committee, "header signature")?;
        let (digest, poseidon) = (header.digest(), header.poseidon());
        if signed.signature.is_valid(&self.committee, &digest, &poseidon, self.checker.as_ref()) {
            Ok(())
        } else {
            Err(Refused::Signature("header signature"))
        }
    }

    /// Records count only with our own signature on them: a bare number proves nothing.
    fn records(&self, records: &Records) -> Result<(), Refused> {
        let me = self.node.replica;
        let mine = |replica: ReplicaIndex| if replica == me { Ok(()) } else { Err(Refused::Foreign("records")) };
        for vote in records.votes.iter() {
            mine(vote.replica)?;
            self.vote(vote)?;
        }
        if let Some(applied) = &records.applied {
            mine(applied.replica)?;
            self.applied(applied)?;
        }
        if let Some(report) = &records.report {
            mine(report.replica)?;
            self.report(report)?;
        }
        for vote in records.cut_votes.iter() {
            mine(vote.replica)?;
            self.cut_vote(vote)?;
        }
        if let Some(change) = &records.view_change {
            mine(change.replica)?;
            self.view_change(change)?;
        }
        if let Some(batch) = &records.batch {
            mine(batch.header.gateway)?;
            self.one(batch.header.gateway, batch.header.digest(), batch.signature, "records")?;
        }
        Ok(())
    }
}
