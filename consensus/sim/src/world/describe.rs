//! Effects and messages in a line, for the event log.

use super::*;

pub(super) fn describe_event(event: &smt_consensus::Event) -> String {
    use smt_consensus::Event;
    match event {
        Event::Header(header) => format!("header {}", header.header.epoch),
        Event::GlobalCut(cut) => format!("global cut {} {}", cut.epoch, cut.root),
        Event::Evidence(evidence, replica) => format!("evidence {} against {replica}", evidence.kind()),
        other => format!("{other:?}"),
    }
}

pub(super) fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Send(to, message) => format!("-> {to}: {}", brief(message)),
        Effect::Broadcast(message) => format!("-> all: {}", brief(message)),
        Effect::Publish(header) => format!("publishes header {}", header.header.epoch),
        Effect::Reply(_, id, answer) => format!("answers {id:?}: {answer:?}"),
        Effect::Event(event) => describe_event(event),
    }
}

pub(super) fn brief(message: &Message) -> String {
    let bits = |bits: &smt_types::Bitmap| bits.iter().map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    match message {
        Message::Batch(b) => {
            let ids = b.payments.iter().map(|p| format!("{:?}", p.payment.id())).collect::<Vec<_>>().join(" ");
            format!("batch {}/{} {:?}: {ids}", b.header.gateway, b.header.number, b.header.digest())
        }
        Message::Vote(v, _) => format!("vote {:?} [{}]", v.header, bits(&v.bits)),
        Message::Certificate(c) => format!("certificate {:?} of {}", c.header, c.votes.len()),
        Message::Applied(a) => {
            format!("applied {:?} by {} [{}] open {}", a.header, a.replica, bits(&a.bits), a.open_epoch)
        }
        Message::Report(r) => format!("report {}/{} of {} batches", r.epoch, r.view, r.bits.len()),
        Message::Proposal(p) => {
            format!("proposal {}/{} {:?}, {} reports", p.epoch, p.view, p.value.digest(), p.reports.len())
        }
        Message::CutVote(v) => format!("{:?} {}/{} {:?} by {}", v.phase, v.epoch, v.view, v.value, v.replica),
        Message::ViewChange(c, _) => format!("view change {}/{} by {}", c.epoch, c.view, c.replica),
        Message::Decision(d) => format!("decision {}", d.value.epoch),
        Message::HeaderSignature(s) => format!("header signature {} by {}", s.header.epoch, s.signature.replica),
        Message::Header(h) => format!("header {} of {}", h.header.epoch, h.header.shard),
        Message::Credits(b) => {
            format!("credits {}+{} under header {}", b.first, b.credits.len(), b.header.header.epoch)
        }
        Message::Ask(ask) => format!("{ask:?}"),
        other => other.kind().into(),
    }
}
