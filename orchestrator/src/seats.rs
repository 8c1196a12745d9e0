//! Seats: the places where tasks run, by host and rank. A process that runs alone is rank 0 of one host.
//!
//! A rank offers as many seats as it has cores to itself. A task that wants several cores takes the seats of a group of
//! ranks on one host; the first of them runs it, the others stand still meanwhile.

use crate::{child, claim};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a rank has to give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its host.
    pub host: String,
    /// Tasks at once.
    pub seats: usize,
    /// Cores that these share.
    pub cores: usize,
    /// The cores by number.
    pub cpus: BTreeSet<usize>,
}

impl Offer {
    /// Of this process.
    pub fn own(seats: usize, cores: usize) -> Self {
        Self { host: claim::hostname(), seats: seats.max(1), cores, cpus: child::own_cpus() }
    }
}

/// Seats given to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The rank that runs it.
    pub rank: usize,
    /// Threads that it may use.
    pub threads: usize,
    /// Cores to bind it to, where they are not those of the rank; empty: leave it as it is.
    pub cpus: BTreeSet<usize>,
    parts: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Rank {
    number: usize,
    offer: Offer,
    free: usize,
}

/// All seats.
#[derive(Debug, Default)]
pub struct Seats {
    ranks: Vec<Rank>,
}

impl Seats {
    /// A rank has come.
    pub fn add(&mut self, number: usize, offer: Offer) {
        self.remove(number);
        self.ranks.push(Rank { number, free: offer.seats, offer });
    }

    /// A rank has gone.
    pub fn remove(&mut self, number: usize) {
        self.ranks.retain(|rank| rank.number != number);
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.ranks.iter().map(|rank| rank.offer.seats).sum()
    }

    /// Seats for a task that wants `cores`; it gets more threads where it contends with fewer tasks than there are
    /// cores. None until that many are free on one host (a host that is smaller gives all that it has).
    pub fn take(&mut self, cores: usize, contenders: usize) -> Option<Grant> {
        let hosts: BTreeSet<&str> = self.ranks.iter().map(|rank| rank.offer.host.as_str()).collect();
        let wanted = |host: &str| {
            let (seats, all_cores) = (self.sum(host, |r| r.offer.seats), self.sum(host, |r| r.offer.cores).max(1));
            (cores * seats).div_ceil(all_cores).clamp(1, seats.max(1))
        };
        let roomy = hosts.iter().filter(|host| self.sum(host, |r| r.free) >= wanted(host));
        let host = roomy.max_by_key(|host| self.sum(host, |r| r.free))?.to_string();
        let mut open = wanted(&host);
        let (seats, host_cores) = (self.sum(&host, |r| r.offer.seats), self.sum(&host, |r| r.offer.cores));
        let all_cores: usize = self.ranks.iter().map(|rank| rank.offer.cores).sum();
        let threads = (open * host_cores / seats.max(1)).max(all_cores / contenders.max(1)).clamp(1, host_cores.max(1));
        let mut group: Vec<&mut Rank> = self.ranks.iter_mut().filter(|rank| rank.offer.host == host).collect();
        group.sort_by_key(|rank| (std::cmp::Reverse(rank.free), rank.number));
        let alone = group.first().is_some_and(|leader| threads <= leader.offer.cores);
        let cpus = group.iter().filter(|_| !alone).flat_map(|rank| rank.offer.cpus.iter().copied()).collect();
        let mut parts = Vec::new();
        for rank in group {
            let part = open.min(rank.free);
            rank.free -= part;
            open -= part;
            parts.extend((part > 0).then_some((rank.number, part)));
        }
        Some(Grant { rank: parts.first()?.0, threads, cpus, parts })
    }

    /// A task has ended.
    pub fn give_back(&mut self, grant: &Grant) {
        for (number, part) in &grant.parts {
            if let Some(rank) = self.ranks.iter_mut().find(|rank| rank.number == *number) {
                rank.free = (rank.free + part).min(rank.offer.seats);
            }
        }
    }

    fn sum(&self, host: &str, of: impl Fn(&Rank) -> usize) -> usize {
        self.ranks.iter().filter(|rank| rank.offer.host == host).map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(host: &str, seats: usize, cpu: usize) -> Offer {
        Offer { host: host.into(), seats, cores: seats, cpus: (cpu..cpu + seats).collect() }
    }

    #[test]
    fn few_tasks_share_all_cores() {
        let mut seats = Seats::default();
        seats.add(0, offer("a", 4, 0));
        assert_eq!(seats.take(1, 2).unwrap().threads, 2);
        assert_eq!(seats.take(1, 9).unwrap().threads, 1);
        seats.take(1, 9).unwrap();
        let last = seats.take(1, 9).unwrap();
        assert_eq!(seats.take(1, 9), None);
        seats.give_back(&last);
        assert_eq!(seats.take(1, 9), Some(last));
    }

    #[test]
    fn a_task_of_several_cores_takes_a_group_of_ranks_on_one_host() {
        let mut seats = Seats::default();
        for rank in 0..6 {
            seats.add(rank, offer(if rank < 3 { "a" } else { "b" }, 1, rank % 3));
        }
        let first = seats.take(2, 99).unwrap();
        let second = seats.take(2, 99).unwrap();
        assert_eq!((first.threads, second.threads), (2, 2));
        assert_ne!(first.rank / 3, second.rank / 3, "each on a host of its own");
        assert_eq!(first.cpus, BTreeSet::from([0, 1, 2]));
        // one seat is left on each host: none for two cores, one for a single
        assert_eq!(seats.take(2, 99), None);
        assert!(seats.take(1, 99).unwrap().cpus.is_empty());
        // more than a host has: all of it
        seats.give_back(&first);
        seats.give_back(&second);
        assert_eq!(seats.take(20, 99).unwrap().threads, 3);
    }

    #[test]
    fn the_seats_of_a_lost_rank_are_gone() {
        let mut seats = Seats::default();
        seats.add(0, offer("a", 1, 0));
        seats.add(1, offer("a", 1, 1));
        let both = seats.take(2, 1).unwrap();
        seats.remove(1);
        seats.give_back(&both);
        assert_eq!((seats.total(), seats.take(1, 9).map(|g| g.rank)), (1, Some(0)));
    }
}
