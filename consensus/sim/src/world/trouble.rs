//! Crashes and partitions, and their end.

use super::*;

impl World {
    pub(super) fn crashes(&mut self) {
        if self.calm {
            return;
        }
        let victims: Vec<usize> = if self.random.chance(self.faults.all_crash) {
            self.count("crash of the network");
            (0..self.nodes.len()).collect()
        } else if self.random.chance(self.faults.shard_crash) {
            self.count("crash of a shard");
            let first = self.random.index(self.shape.shards.len()) * self.shape.replicas;
            (first..first + self.shape.replicas).collect()
        } else {
            vec![self.random.index(self.nodes.len())]
        };
        for node in victims {
            if self.random.chance(self.faults.aimed) && self.nodes[node].replica.is_some() {
                self.nodes[node].doom = Some(if self.random.chance(500) { Doom::Before } else { Doom::After });
            } else {
                let down = self.random.below(self.faults.down);
                self.stop(node, down);
            }
        }
        let wait = self.random.wait(self.faults.crash);
        self.at(wait, Event::Crash);
    }

    pub(super) fn partition(&mut self) {
        if self.calm {
            return;
        }
        self.count("partition");
        let all = self.nodes.len();
        let inside: Vec<bool> = match self.random.below(3) {
            // One replica alone.
            0 => {
                let node = self.random.index(all);
                (0..all).map(|n| n == node).collect()
            }
            // One shard from the others.
            1 if self.shape.shards.len() > 1 => {
                let shard = self.random.index(self.shape.shards.len());
                (0..all).map(|n| n / self.shape.replicas == shard).collect()
            }
            _ => (0..all).map(|_| self.random.chance(500)).collect(),
        };
        let oneway = self.random.chance(300);
        let mut pairs = Vec::new();
        for from in 0..all {
            for to in 0..all {
                if inside[from] && !inside[to] {
                    pairs.push((from, to));
                    if !oneway {
                        pairs.push((to, from));
                    }
                }
            }
        }
        for pair in &pairs {
            *self.blocked.entry(*pair).or_default() += 1;
        }
        self.note(|_| format!("partition of {} pairs", pairs.len()));
        let (length, wait) = (self.random.between(100_000, 4_000_000), self.random.wait(self.faults.partition));
        self.at(length, Event::Heal { pairs });
        self.at(wait, Event::Partition);
    }

    pub(super) fn heal(&mut self, pairs: &[(usize, usize)]) {
        for pair in pairs {
            if let Some(count) = self.blocked.get_mut(pair) {
                *count -= 1;
                if *count == 0 {
                    self.blocked.remove(pair);
                }
            }
        }
        self.note(|_| "a partition ends".into());
    }

    pub(super) fn calm_down(&mut self) {
        self.calm = true;
        self.blocked.clear();
        for node in 0..self.nodes.len() {
            self.nodes[node].doom = None;
            if self.nodes[node].replica.is_none() {
                let life = self.nodes[node].life;
                self.at(1_000, Event::Restart { node, life });
            }
        }
        self.calm_epochs = self.shape.shards.iter().map(|shard| self.watch.model.epoch(*shard)).collect();
        self.note(|_| "faults end".into());
    }
}
