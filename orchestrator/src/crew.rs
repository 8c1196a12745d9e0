//! Who runs the tasks: threads of this process, each with a child, and the other ranks of a parallel job.

use crate::attempt::{self, Job, Outcome};
use crate::child::Children;
use crate::production::Production;
use crate::ranks::Others;
use crate::seats::Offer;
use crate::{Result, claim};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// A task to run; `task` is the number by which the one who ordered it knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Number.
    pub task: u32,
    /// What to run.
    pub job: Job,
}

/// What a crew has to say.
#[derive(Debug)]
pub enum News {
    /// A rank has come, with its seats.
    Came(usize, Offer),
    /// A rank takes no more tasks: dead, or told to end.
    Left(usize, String),
    /// A task has ended.
    Ended(u32, Result<Outcome>),
}

/// Tasks of this process.
pub struct Local<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    production: &'env Production,
    children: &'env Children,
    sender: Sender<(u32, Result<Outcome>)>,
    receiver: Receiver<(u32, Result<Outcome>)>,
    claims: HashMap<u32, PathBuf>,
    beat: Instant,
}

impl<'scope, 'env> Local<'scope, 'env> {
    /// None yet.
    pub fn new(scope: &'scope Scope<'scope, 'env>, production: &'env Production, children: &'env Children) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { scope, production, children, sender, receiver, claims: HashMap::new(), beat: Instant::now() }
    }

    /// Starts a task.
    pub fn start(&mut self, order: Order) {
        self.claims.insert(order.task, claim::path(self.production, &order.job.task, order.job.number));
        let (sender, production, children) = (self.sender.clone(), self.production, self.children);
        // a thread a task: the child dies with the thread that started it
        self.scope.spawn(move || {
            let outcome = attempt::run(&order.job, production, children);
            let _ = sender.send((order.task, outcome));
        });
    }

    /// The next task that ends within this time.
    pub fn ended(&mut self, within: Duration) -> Option<(u32, Result<Outcome>)> {
        if self.beat.elapsed() >= Duration::from_secs(claim::HEARTBEAT) {
            self.beat = Instant::now();
            self.claims.values().for_each(|path| claim::touch(path));
        }
        let ended = self.receiver.recv_timeout(within).ok()?;
        self.claims.remove(&ended.0);
        Some(ended)
    }

    /// Whether none runs.
    pub fn is_idle(&self) -> bool {
        self.claims.is_empty()
    }

    /// Sends the children a signal; none starts from now on.
    pub fn stop(&self, signal: i32) {
        self.children.stop(signal);
    }
}

/// This process and the ranks that follow it.
pub struct Crew<'scope, 'env, 'p> {
    local: Local<'scope, 'env>,
    others: Option<Others<'p>>,
}

impl<'scope, 'env, 'p> Crew<'scope, 'env, 'p> {
    /// From both.
    pub fn new(local: Local<'scope, 'env>, others: Option<Others<'p>>) -> Self {
        Self { local, others }
    }

    /// Starts a task on a rank; 0 is this process.
    pub fn start(&mut self, rank: usize, order: Order) {
        match &mut self.others {
            Some(others) if rank > 0 => others.hand(rank, order),
            _ => self.local.start(order),
        }
    }

    /// What happened, at the latest after a tenth of a second.
    pub fn news(&mut self) -> Vec<News> {
        const PATIENCE: Duration = Duration::from_millis(100);
        // MPI has to be asked
        const POLL: Duration = Duration::from_millis(2);
        let start = Instant::now();
        loop {
            let within = if self.others.is_some() { POLL } else { PATIENCE };
            let mut news: Vec<News> = Vec::new();
            let mut ended = self.local.ended(within);
            while let Some((task, outcome)) = ended {
                news.push(News::Ended(task, outcome));
                ended = self.local.ended(Duration::ZERO);
            }
            let production = self.local.production;
            news.extend(self.others.iter_mut().flat_map(|others| others.news(production)));
            if !news.is_empty() || start.elapsed() >= PATIENCE {
                return news;
            }
        }
    }

    /// Whether no rank was given up.
    pub fn is_whole(&self) -> bool {
        self.others.as_ref().is_none_or(Others::are_whole)
    }

    /// Sends all children a signal; none starts from now on.
    pub fn stop(&mut self, signal: i32) {
        self.local.stop(signal);
        self.others.iter_mut().for_each(|others| others.stop(signal));
    }
}
