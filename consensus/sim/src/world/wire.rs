//! The network between them, and the owners who submit.

use super::*;

impl World {
    pub(super) fn send(&mut self, from: usize, to: usize, message: &Rc<Message>) {
        self.counts.messages += 1;
        if self.blocked.contains_key(&(from, to)) {
            self.count("message into a partition");
            return;
        }
        if !self.calm && self.random.chance(self.faults.loss) {
            self.count("loss");
            return;
        }
        if let Some((kind, share)) = self.faults.mute
            && !self.calm
            && message.kind() == kind
            && self.random.chance(share)
        {
            self.count("loss of one kind");
            return;
        }
        let copies = if !self.calm && self.random.chance(self.faults.duplicate) {
            self.count("duplicate");
            2
        } else {
            1
        };
        for _ in 0..copies {
            let delay = self.delay(from, to);
            let event = Event::Deliver { to, from: self.nodes[from].id, message: message.clone() };
            self.at(delay, event);
        }
    }

    pub(super) fn delay(&mut self, from: usize, to: usize) -> u64 {
        let (base, spread) = self.faults.delay;
        let mut delay = base + self.random.below(spread);
        if self.nodes[from].id.shard != self.nodes[to].id.shard {
            delay += self.faults.far;
        }
        if self.calm {
            return delay;
        }
        if let Some((slow, wait)) = self.faults.slow
            && (slow == from || slow == to)
        {
            self.count("slow");
            delay += self.random.between(wait / 2, wait);
        }
        if self.random.chance(self.faults.straggle) {
            self.count("straggler");
            delay += self.random.below(1_000_000);
        }
        delay
    }

    pub(super) fn deliver(&mut self, to: usize, from: NodeId, message: &Message) -> Result<(), Broken> {
        if self.nodes[to].replica.is_none() {
            return Ok(());
        }
        match self.nodes[to].gate.message(from, message.clone()) {
            Ok(verified) => {
                self.note(|w| format!("{} <- {from}: {}", w.nodes[to].id, brief(message)));
                self.step(to, Input::Message(from, verified))
            }
            Err(Refused::Convicts(evidence)) => Err((
                "no honest replica is convicted",
                format!("the gate of {} finds {}", self.nodes[to].id, evidence.kind()),
            )),
            Err(error) => Err((
                "an honest message is accepted",
                format!("{} refuses {} of {from}: {error}", self.nodes[to].id, message.kind()),
            )),
        }
    }

    pub(super) fn submit(&mut self, to: usize, payment: SignedPayment) -> Result<(), Broken> {
        let verified = self.nodes[to].gate.payment(payment);
        match verified {
            Ok(payment) => self.step(to, Input::Submit(0, payment)),
            Err(error) => Err(("an honest message is accepted", format!("a payment: {error}"))),
        }
    }

    pub(super) fn burst(&mut self, client: usize) {
        let sent = if self.calm {
            self.clients[client].again(&self.shape, &self.watch, &mut self.random, 4)
        } else {
            self.clients[client].burst(&self.shape, &self.faults, &mut self.watch, &mut self.random)
        };
        for (gateway, payment) in sent {
            let to = self.place(gateway);
            let delay = self.random.between(100, 5_000);
            self.at(delay, Event::Submit { to, payment });
        }
        let wait = self.random.wait(if self.calm { 900_000 } else { self.faults.burst_every });
        self.at(wait, Event::Burst { client });
    }
}
