//! Who runs the tasks: threads of this process, each with a child, and the other ranks of a parallel job.

use crate::Result;
use crate::attempt::{self, Job, Outcome};
use crate::child::Children;
use crate::production::Production;
use crate::ranks::{Others, POLL};
use crate::seats::Offer;
use serde::{Deserialize, Serialize};
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
    /// The program of a task has ended: another one can start while the record is written.
    Idle(u32),
    /// A task has ended.
    Ended(u32, Result<Outcome>),
}

/// Tasks of this process.
pub struct Local<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    production: &'env Production,
    children: &'env Children,
    sender: Sender<News>,
    receiver: Receiver<News>,
    open: usize,
}

impl<'scope, 'env> Local<'scope, 'env> {
    /// None yet.
    pub fn new(scope: &'scope Scope<'scope, 'env>, production: &'env Production, children: &'env Children) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { scope, production, children, sender, receiver, open: 0 }
    }

    /// Starts a task.
    pub fn start(&mut self, order: Order) {
        self.open += 1;
        let (sender, production, children) = (self.sender.clone(), self.production, self.children);
        // a thread a task: the child dies with the thread that started it
        self.scope.spawn(move || {
            let idle = || _ = sender.send(News::Idle(order.task));
            let outcome = attempt::run(&order.job, production, children, idle);
            let _ = sender.send(News::Ended(order.task, outcome));
        });
    }

    /// What a task has to say, within this time: that it is idle, or has ended.
    pub fn news(&mut self, within: Duration) -> Option<News> {
        let news = self.receiver.recv_timeout(within).ok()?;
        self.open -= usize::from(matches!(news, News::Ended(..)));
        Some(news)
    }

    /// Whether none runs.
    pub fn is_idle(&self) -> bool {
        self.open == 0
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
        let start = Instant::now();
        loop {
            let within = if self.others.is_some() { POLL } else { PATIENCE };
            let mut news: Vec<News> = Vec::new();
            let mut said = self.local.news(within);
            while let Some(one) = said {
                news.push(one);
                said = self.local.news(Duration::ZERO);
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
