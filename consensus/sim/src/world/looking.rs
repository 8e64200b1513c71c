//! What is still open, and the digest of a run.

use super::*;

impl World {
    pub(super) fn look(&mut self) -> Result<(), Broken> {
        let ledgers: Vec<(NodeId, &ShardLedger)> =
            self.nodes.iter().filter_map(|node| Some((node.id, node.replica.as_ref()?.ledger()))).collect();
        self.watch.live_states(&ledgers)?;
        // A step's facts are told when they are durable; a ledger ahead of that is looked at later.
        for node in self.nodes.iter().filter(|node| node.waiting.is_empty()) {
            if let Some(replica) = &node.replica {
                self.watch.ledger(node.id, replica.ledger())?;
            }
        }
        let node = self.random.index(self.nodes.len());
        let place = &self.nodes[node];
        if let Some(replica) = &place.replica {
            self.watch.trie(place.id, replica.ledger(), &place.store, &mut self.random)?;
        }
        Ok(())
    }

    /// What has not come to its end yet.
    pub(super) fn open(&self) -> Option<String> {
        for (place, shard) in self.shape.shards.iter().enumerate() {
            let epoch = self.watch.model.epoch(*shard);
            if epoch.0 < self.calm_epochs[place].0 + 2 {
                return Some(format!("shard {shard} stands at epoch {epoch}"));
            }
        }
        for node in &self.nodes {
            let Some(replica) = &node.replica else { return Some(format!("{} is down", node.id)) };
            if *replica.voting() != smt_consensus::replica::Voting::Yes {
                return Some(format!("{} does not vote: {:?}", node.id, replica.voting()));
            }
            let epoch = self.watch.model.epoch(node.id.shard);
            if replica.decided().0 + 2 < epoch.0 {
                return Some(format!("{} has carried out cut {} of {epoch}", node.id, replica.decided()));
            }
            for (shard, active) in &self.watch.model.active {
                let at = replica.global_cut().headers.iter().find(|h| h.shard == *shard).map_or(Epoch(0), |h| h.epoch);
                if at < *active {
                    return Some(format!(
                        "{}'s global cut has {shard} at {at}, which moved money at {active}",
                        node.id
                    ));
                }
            }
        }
        if let Some((from, to)) = self.watch.model.in_flight().first() {
            return Some(format!("credits from {from} to {to} are in flight"));
        }
        for client in &self.clients {
            let (next, balance) = self.watch.spendable(&client.owner.address);
            let open = client.signed.get(next as usize).filter(|_| client.spoiled.is_none_or(|seq| next < seq));
            if let Some(payment) = open.filter(|p| p.payment.amount <= balance) {
                return Some(format!(
                    "payment {next} of {:?} over {} of {} is in no cut: {}",
                    client.owner.address,
                    payment.payment.amount.0,
                    balance.0,
                    self.where_is(payment)
                ));
            }
        }
        let lost = self.watch.certified.iter().find(|(slot, id)| {
            !self.watch.contested.contains(slot)
                && !self.watch.model.joined.contains_key(id)
                && !self.behind_contested(slot)
        });
        lost.map(|(slot, id)| format!("{id} at {} of {:?} is certified and in no cut", slot.seq, slot.payer))
    }

    /// A payment behind a slot that its owner spoiled, or behind one that it cannot fund, may wait for ever.
    pub(super) fn behind_contested(&self, slot: &smt_types::Slot) -> bool {
        self.clients.iter().any(|c| c.owner.address == slot.payer && c.spoiled.is_some_and(|seq| slot.seq.0 > seq))
    }

    pub(super) fn where_is(&self, payment: &SignedPayment) -> String {
        let (slot, id) = (payment.payment.slot(), payment.payment.id());
        let shard = slot.payer.shard(self.shape.level);
        let of = |node: &Node| {
            let replica = node.replica.as_ref()?;
            let live = replica.ledger().account(&slot.payer);
            Some(format!("{}: {:?}, live {live:?}", node.id, replica.stage(&node.store, &slot, &id)))
        };
        self.nodes.iter().filter(|node| node.id.shard == shard).filter_map(of).collect::<Vec<_>>().join("; ")
    }

    pub(super) fn finish(&mut self) -> Result<(), Broken> {
        self.counts.certified = self.watch.certified.len() as u64;
        self.counts.joined = self.watch.model.joined.len() as u64;
        self.counts.credited = self.watch.model.credited.len() as u64;
        self.counts.cuts = self.shape.shards.iter().map(|shard| self.watch.model.epoch(*shard).0).sum();
        for node in 0..self.nodes.len() {
            let place = &self.nodes[node];
            if let Some(replica) = &place.replica {
                self.watch.ledger(place.id, replica.ledger())?;
                self.watch.trie(place.id, replica.ledger(), &place.store, &mut self.random)?;
            }
        }
        Ok(())
    }

    pub(super) fn digest_effects(&mut self, node: usize, effects: &Effects) {
        let mut hasher = hash::hasher(Domain::DevelopmentSeed);
        hasher.update(&self.digest.0);
        hasher.update(&self.now.to_le_bytes());
        hasher.update(&[node as u8, u8::from(effects.sync)]);
        for write in &effects.writes {
            hasher.update(&[write.column as u8]);
            hasher.update(&write.key);
            hasher.update(write.value.as_deref().unwrap_or_default());
        }
        for effect in &effects.out {
            match effect {
                Effect::Send(to, message) => {
                    hasher.update(&to.to_bytes());
                    hasher.update(&message.to_bytes());
                }
                Effect::Broadcast(message) => {
                    hasher.update(&message.to_bytes());
                }
                Effect::Publish(header) => {
                    hasher.update(&header.to_bytes());
                }
                Effect::Reply(_, id, answer) => {
                    hasher.update(&id.0.0);
                    hasher.update(&[u8::from(answer.is_ok())]);
                }
                Effect::Event(event) => {
                    hasher.update(describe_event(event).as_bytes());
                }
            }
        }
        self.digest = Digest(*hasher.finalize().as_bytes());
    }
}
