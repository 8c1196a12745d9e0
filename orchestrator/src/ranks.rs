//! The ranks of a parallel job. Rank 0 knows the states of the tasks and hands them out one by one; the others run what
//! they are given. No rank waits for all others: who is silent is given up, and what it worked on has failed.
//!
//! Without MPI (the `mpi` feature) the processes that a launcher starts share the tasks out by claims.

use crate::attempt::{self, Outcome};
use crate::child::Children;
use crate::claim::{self, Owner};
use crate::crew::{Local, News, Order};
use crate::production::Production;
use crate::seats::Offer;
use crate::{Result, signals};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How ranks talk. Messages between two ranks keep their order; neither call waits for the other side.
pub trait Post {
    /// This rank.
    fn rank(&self) -> usize;
    /// How many there are.
    fn size(&self) -> usize;
    /// Sends a message.
    fn send(&mut self, to: usize, message: Vec<u8>);
    /// The next message that has come, and from whom.
    fn receive(&mut self) -> Option<(usize, Vec<u8>)>;
}

#[derive(Serialize, Deserialize)]
enum ToRank {
    Here(Owner),
    Do(Box<Order>),
    Beat,
    Stop(i32),
    // whether all ranks are there to say goodbye to each other
    End { whole: bool },
}

#[derive(Serialize, Deserialize)]
enum ToFirst {
    Here(Offer, Owner),
    Beat,
    Idle(u32),
    Ended(u32, std::result::Result<Outcome, String>),
    Leaving,
}

/// Between signs of life.
const BEAT: Duration = Duration::from_secs(5);
/// A rank that says nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(60);
/// The same for rank 0 while it looks at the whole production first.
const FIRST_SILENCE: Duration = Duration::from_secs(900);
/// Between looks for messages, for which MPI has to be asked.
pub const POLL: Duration = Duration::from_millis(2);
/// Between looks at whether processes on this host still run.
const LOOK: Duration = Duration::from_millis(500);

fn send(post: &mut dyn Post, to: usize, message: &impl Serialize) {
    // strings, numbers and lists: cannot fail
    post.send(to, serde_json::to_vec(message).unwrap_or_default());
}

fn receive<T: DeserializeOwned>(post: &mut dyn Post) -> Option<(usize, Option<T>)> {
    post.receive().map(|(from, bytes)| (from, serde_json::from_slice(&bytes).ok()))
}

struct Other {
    owner: Option<Owner>,
    heard: Instant,
    orders: BTreeMap<u32, Order>,
}

impl Other {
    fn new() -> Self {
        Self { owner: None, heard: Instant::now(), orders: BTreeMap::new() }
    }

    /// Why it is to be given up, if it is.
    fn lost(&self) -> Option<String> {
        let whom = self.owner.as_ref().map_or(String::new(), |o| format!(" (process {} on {})", o.pid, o.host));
        if self.owner.as_ref().and_then(Owner::runs) == Some(false) {
            return Some(format!("died{whom}"));
        }
        (self.heard.elapsed() > SILENCE).then(|| format!("said nothing for {} s{whom}", SILENCE.as_secs()))
    }
}

/// The other ranks, as rank 0 sees them.
pub struct Others<'p> {
    post: &'p mut dyn Post,
    known: BTreeMap<usize, Other>,
    beat: Instant,
    look: Instant,
}

impl<'p> Others<'p> {
    /// Those of a job.
    pub fn new(post: &'p mut dyn Post) -> Self {
        let known: BTreeMap<usize, Other> = (1..post.size()).map(|rank| (rank, Other::new())).collect();
        known.keys().for_each(|rank| send(post, *rank, &ToRank::Here(Owner::this().clone())));
        Self { post, known, beat: Instant::now(), look: Instant::now() }
    }

    /// Gives a task to a rank.
    pub fn hand(&mut self, rank: usize, order: Order) {
        send(self.post, rank, &ToRank::Do(Box::new(order.clone())));
        if let Some(other) = self.known.get_mut(&rank) {
            other.orders.insert(order.task, order);
        }
    }

    /// What the ranks said since the last call, and who was lost.
    pub fn news(&mut self, production: &Production) -> Vec<News> {
        let mut news = Vec::new();
        while let Some((rank, message)) = receive::<ToFirst>(self.post) {
            // who was given up and wakes up is not heard: its tasks are others' now
            let Some(other) = self.known.get_mut(&rank) else { continue };
            other.heard = Instant::now();
            match message {
                Some(ToFirst::Here(offer, owner)) => {
                    other.owner = Some(owner);
                    news.push(News::Came(rank, offer));
                }
                Some(ToFirst::Idle(task)) => news.push(News::Idle(task)),
                Some(ToFirst::Ended(task, outcome)) => {
                    if let Some(order) = other.orders.remove(&task) {
                        news.push(News::Ended(
                            task,
                            outcome.or_else(|why| attempt::lost(&order.job, production, &why)),
                        ));
                    }
                }
                Some(ToFirst::Leaving) => news.push(News::Left(rank, "was told to end".into())),
                Some(ToFirst::Beat) | None => {}
            }
        }
        if self.beat.elapsed() >= BEAT {
            self.beat = Instant::now();
            let ranks: Vec<usize> = self.known.keys().copied().collect();
            ranks.into_iter().for_each(|rank| send(self.post, rank, &ToRank::Beat));
        }
        if self.look.elapsed() >= LOOK {
            self.look = Instant::now();
            self.give_up(production, &mut news);
        }
        news
    }

    fn give_up(&mut self, production: &Production, news: &mut Vec<News>) {
        let lost: Vec<(usize, String)> = self.known.iter().filter_map(|(n, other)| Some((*n, other.lost()?))).collect();
        for (rank, why) in lost {
            let Some(other) = self.known.remove(&rank) else { continue };
            // it must not come back to life and go on with what another rank does by then
            other.owner.iter().for_each(Owner::kill);
            news.push(News::Left(rank, why.clone()));
            for (task, order) in other.orders {
                let outcome = attempt::lost(&order.job, production, &format!("rank {rank} {why}"));
                news.push(News::Ended(task, outcome));
            }
        }
    }

    /// Whether none was given up.
    pub fn are_whole(&self) -> bool {
        self.known.len() + 1 == self.post.size()
    }

    /// Has all ranks send their children a signal.
    pub fn stop(&mut self, signal: i32) {
        self.known.keys().for_each(|rank| send(self.post, *rank, &ToRank::Stop(signal)));
    }
}

impl Drop for Others<'_> {
    /// They end when their tasks have.
    fn drop(&mut self) {
        let whole = self.are_whole();
        (1..self.post.size()).for_each(|rank| send(self.post, rank, &ToRank::End { whole }));
    }
}

/// What a rank that is not the first does: runs what it is given until it is told to end, or until rank 0 is gone and
/// its own tasks have ended. Returns whether all ranks were there at the end.
///
/// # Errors
/// [`crate::Error::Usage`] if signals cannot be watched.
pub fn serve(post: &mut dyn Post, production: &Production, offer: Offer) -> Result<bool> {
    let signals = signals::Watched::new()?;
    let children = Children::default();
    send(post, 0, &ToFirst::Here(offer, Owner::this().clone()));
    let whole = std::thread::scope(|scope| {
        let mut worker = Worker::new(post, Local::new(scope, production, &children));
        loop {
            worker.listen();
            worker.tell(&signals);
            if let Some(whole) = worker.is_over() {
                return whole;
            }
        }
    });
    claim::sweep(production);
    Ok(whole)
}

struct Worker<'p, 'scope, 'env> {
    post: &'p mut dyn Post,
    local: Local<'scope, 'env>,
    // rank 0, when it was last heard, and how long it may be silent
    first: Option<Owner>,
    heard: Instant,
    patience: Duration,
    beat: Instant,
    look: Instant,
    stop: signals::Stop,
    is_leaving: bool,
    end: Option<bool>,
}

impl<'p, 'scope, 'env> Worker<'p, 'scope, 'env> {
    fn new(post: &'p mut dyn Post, local: Local<'scope, 'env>) -> Self {
        let now = Instant::now();
        Self {
            post,
            local,
            first: None,
            heard: now,
            patience: FIRST_SILENCE,
            beat: now,
            look: now,
            stop: signals::Stop::default(),
            is_leaving: false,
            end: None,
        }
    }

    /// Does what rank 0 says.
    fn listen(&mut self) {
        while let Some((_, message)) = receive::<ToRank>(self.post) {
            (self.heard, self.patience) = (Instant::now(), SILENCE);
            match message {
                Some(ToRank::Here(owner)) => self.first = Some(owner),
                Some(ToRank::Do(order)) => self.local.start(*order),
                Some(ToRank::Stop(signal)) => self.local.stop(signal),
                Some(ToRank::End { whole }) => self.end = Some(whole),
                Some(ToRank::Beat) | None => {}
            }
        }
    }

    /// Tells rank 0 what happened.
    fn tell(&mut self, signals: &signals::Watched) {
        while let Some(news) = self.local.news(POLL) {
            match news {
                News::Ended(task, outcome) => {
                    send(self.post, 0, &ToFirst::Ended(task, outcome.map_err(|error| error.to_string())));
                }
                News::Idle(task) => send(self.post, 0, &ToFirst::Idle(task)),
                News::Came(..) | News::Left(..) => {}
            }
        }
        if self.beat.elapsed() >= BEAT {
            self.beat = Instant::now();
            send(self.post, 0, &ToFirst::Beat);
        }
        let local = &self.local;
        self.stop.check(signals, |signal| local.stop(signal));
        if self.stop.takes_no_more() && !self.is_leaving {
            self.is_leaving = true;
            send(self.post, 0, &ToFirst::Leaving);
        }
    }

    /// Whether all ranks are there, once there is no more to do.
    fn is_over(&mut self) -> Option<bool> {
        if !self.local.is_idle() {
            return None;
        }
        let is_dead = self.look.elapsed() >= LOOK && {
            self.look = Instant::now();
            self.first.as_ref().and_then(Owner::runs) == Some(false)
        };
        self.end.or((is_dead || self.heard.elapsed() > self.patience).then_some(false))
    }
}

/// Processes that a launcher (mpirun, srun) started on this host, this one included.
pub fn on_this_host() -> usize {
    // Open MPI; MPICH's hydra and Intel MPI; PMIx servers
    let direct = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PMIX_LOCAL_SIZE"];
    let number = |name: &&str| std::env::var(name).ok()?.parse().ok();
    // Slurm: tasks on each node, "4" or "2(x3),1"; the first will do to share the cores
    let slurm = || {
        let text = std::env::var("SLURM_STEP_TASKS_PER_NODE").ok()?;
        text.split(['(', ',']).next()?.parse().ok()
    };
    direct.iter().find_map(number).or_else(slurm).unwrap_or(1).max(1)
}

/// Joins the parallel job that this process is a rank of; None if it is none, or this program was built without MPI.
pub fn join() -> Option<Box<dyn Job>> {
    #[cfg(feature = "mpi")]
    return crate::mpi::World::join().map(|world| Box::new(world) as Box<dyn Job>);
    #[cfg(not(feature = "mpi"))]
    None
}

/// A parallel job that this process has joined.
pub trait Job: Post {
    /// Leaves it: together with the others if all are there, else by itself.
    fn leave(self: Box<Self>, whole: bool);
}
