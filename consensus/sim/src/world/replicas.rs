//! Replicas as the driver runs them: steps, group commit, crash and restart.

use super::*;

impl World {
    pub(super) fn local(&self, node: usize) -> u64 {
        self.now + self.nodes[node].offset - self.faults.skew
    }

    pub(super) fn params(&self) -> Params {
        Params { batch_max: self.faults.batch_max, batch_delay_us: self.faults.batch_delay, ..Params::default() }
    }

    pub(super) fn restart(&mut self, node: usize, life: u64) -> Result<(), Broken> {
        if self.nodes[node].life != life || self.nodes[node].replica.is_some() {
            return Ok(());
        }
        let (now, params) = (self.local(node), self.params());
        // A crash before the sync may keep a record nonetheless, and the replica goes on from there.
        for fact in std::mem::take(&mut self.nodes[node].overtaken) {
            let (id, store) = (self.nodes[node].id, &self.nodes[node].store);
            if fact.is_in(store) {
                self.watch.fact(id, &fact, store)?;
            }
        }
        let place = &mut self.nodes[node];
        let config = Config { node: place.id, network: self.shape.network.clone(), params };
        let ledger = ShardLedger::open(place.id.shard, &place.store)
            .map_err(|error| ("7 trie root independent of order", format!("{} does not open: {error}", place.id)))?;
        let signer = Box::new(StandIn::new(place.number));
        place.replica = Replica::recover(config, signer, ledger, &place.store, now);
        place.tick_at = u64::MAX;
        place.doom = None;
        self.note(|w| format!("{} starts", w.nodes[node].id));
        self.arm(node);
        Ok(())
    }

    pub(super) fn stop(&mut self, node: usize, down: u64) {
        let place = &mut self.nodes[node];
        if place.replica.take().is_none() {
            return;
        }
        place.life += 1;
        place.overtaken.extend(place.waiting.drain(..).flat_map(|group| group.facts));
        place.flushing = false;
        place.doom = None;
        let lost = place.store.crash(&mut self.random);
        let (id, life) = (place.id, place.life);
        if self.faults.skew > 0 && self.random.chance(300) {
            self.nodes[node].offset = self.random.between(0, 2 * self.faults.skew);
        }
        self.watch.stopped(id);
        self.count("crash");
        if lost > 0 {
            self.count("crash that lost writes");
        }
        self.note(|_| format!("{id} crashes and loses {lost} write sets"));
        self.at(down, Event::Restart { node, life });
    }

    pub(super) fn step(&mut self, node: usize, input: Input) -> Result<(), Broken> {
        let now = self.local(node);
        let place = &mut self.nodes[node];
        let Some(replica) = &mut place.replica else { return Ok(()) };
        let mut effects = Effects::default();
        replica.step(now, input, &place.store, &mut effects);
        self.done(node, effects);
        self.arm(node);
        Ok(())
    }

    /// The one rule of the driver, with group commit: writes now, and everything waits for the same sync.
    pub(super) fn done(&mut self, node: usize, effects: Effects) {
        self.counts.steps += 1;
        self.digest_effects(node, &effects);
        let Effects { writes, sync, out } = effects;
        if self.log.is_some() {
            for effect in &out {
                let text = describe(effect);
                self.note(|w| format!("{} {text}", w.nodes[node].id));
            }
        }
        let place = &mut self.nodes[node];
        place.store.write(&writes);
        if !sync && out.is_empty() {
            return;
        }
        place.waiting.push_back(Waiting { sync, facts: watch::facts(&writes), out });
        let (doomed, life) = (place.doom.is_some() && sync, place.life);
        let flushing = std::mem::replace(&mut place.flushing, true);
        if doomed && place.doom == Some(Doom::Before) {
            let down = self.random.below(self.faults.down);
            self.count("crash before a sync");
            self.stop(node, down);
            return;
        }
        if !flushing {
            let wait = if sync { self.random.between(20, self.faults.sync) } else { 0 };
            self.at(wait, Event::Flush { node, life });
        }
    }

    pub(super) fn flush(&mut self, node: usize, life: u64) -> Result<(), Broken> {
        if self.nodes[node].life != life || self.nodes[node].replica.is_none() {
            return Ok(());
        }
        let place = &mut self.nodes[node];
        place.flushing = false;
        let groups: Vec<Waiting> = place.waiting.drain(..).collect();
        let sync = groups.iter().any(|group| group.sync);
        if sync {
            place.store.sync();
        }
        let id = place.id;
        let mut left = usize::MAX;
        if sync && place.doom == Some(Doom::After) {
            let all = groups.iter().map(|group| group.out.len()).sum::<usize>();
            left = self.random.index(all + 1);
        }
        for group in groups {
            for fact in &group.facts {
                self.watch.fact(id, fact, &self.nodes[node].store)?;
            }
            for effect in group.out {
                if left == 0 {
                    break;
                }
                left -= 1;
                self.leave(node, effect)?;
            }
        }
        if left < usize::MAX && self.nodes[node].doom == Some(Doom::After) {
            let down = self.random.below(self.faults.down);
            self.count("crash while sending");
            self.stop(node, down);
        }
        Ok(())
    }

    pub(super) fn leave(&mut self, node: usize, effect: Effect) -> Result<(), Broken> {
        let id = self.nodes[node].id;
        match effect {
            Effect::Send(to, message) => {
                self.watch.leaves(id, &message, &self.nodes[node].store)?;
                let to = self.place(to);
                self.send(node, to, &Rc::new(message));
            }
            Effect::Broadcast(message) => {
                self.watch.leaves(id, &message, &self.nodes[node].store)?;
                let message = Rc::new(message);
                let first = self.watch.place(id.shard) * self.shape.replicas;
                for to in (first..first + self.shape.replicas).filter(|to| *to != node) {
                    self.send(node, to, &message);
                }
            }
            Effect::Publish(header) => {
                let message = Rc::new(Message::Header(header));
                for to in (0..self.nodes.len()).filter(|to| *to != node) {
                    self.send(node, to, &message);
                }
            }
            Effect::Event(event) => self.watch.event(id, &event, &self.nodes[node].store)?,
            Effect::Reply(..) => {}
        }
        Ok(())
    }

    pub(super) fn arm(&mut self, node: usize) {
        let Some(deadline) = self.nodes[node].replica.as_ref().and_then(Replica::deadline) else { return };
        // The node's clock runs as fast as ours, only from another start.
        let at = (deadline + self.faults.skew).saturating_sub(self.nodes[node].offset).max(self.now);
        if at < self.nodes[node].tick_at {
            self.nodes[node].tick_at = at;
            self.at(at - self.now, Event::Tick { node });
        }
    }

    pub(super) fn tick(&mut self, node: usize) -> Result<(), Broken> {
        if self.nodes[node].tick_at > self.now {
            return Ok(());
        }
        self.nodes[node].tick_at = u64::MAX;
        let now = self.local(node);
        let due = self.nodes[node].replica.as_ref().and_then(Replica::deadline).is_some_and(|at| at <= now);
        if due {
            return self.step(node, Input::Tick);
        }
        self.arm(node);
        Ok(())
    }

    pub(super) fn place(&self, id: NodeId) -> usize {
        self.watch.place(id.shard) * self.shape.replicas + usize::from(id.replica.0)
    }
}
