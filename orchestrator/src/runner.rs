//! Runs tasks: each starts as soon as its inputs are there, as many at once as there are cores, until none is left.

use crate::attempt::{self, Job, Outcome};
use crate::board::Board;
use crate::child::Children;
use crate::costs::Costs;
use crate::crew::{Crew, Local, News, Order};
use crate::graph::{Graph, TaskId};
use crate::load::Loaded;
use crate::progress::Progress;
use crate::ranks::{Others, Post};
use crate::record::Ending;
use crate::resolve::Inputs;
use crate::scope::{Retry, Scope};
use crate::seats::{Grant, Offer, Seats};
use crate::signals::{Stop, Watched};
use crate::slice::Slice;
use crate::state::State;
use crate::{Error, Result, claim, command, graph_yaml, history, production};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to run and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Indices of the steps.
    pub steps: BTreeSet<usize>,
    /// Nights, exposures and spectrographs.
    pub slice: Slice,
    /// Only this task, whatever its last attempt gave.
    pub only: Option<TaskId>,
    /// Tasks at once in this process.
    pub jobs: usize,
    /// Cores that they share.
    pub cores: usize,
    /// Failures to try again.
    pub retry: Retry,
    /// How often a task is tried again in this run whose attempt the system failed.
    pub retries: u32,
    /// Time without a sign of life after which a claim from another host is dead.
    pub lease: Duration,
    /// A file for the lines that the run says.
    pub log: Option<PathBuf>,
}

impl Settings {
    fn describe(&self, graph: &Graph) -> String {
        let names: Vec<&str> = self.steps.iter().map(|step| graph.table.steps[*step].name.as_str()).collect();
        let in_a_row = self.steps.iter().zip(self.steps.iter().skip(1)).all(|(a, b)| a + 1 == *b);
        match (self.only, &names[..]) {
            (Some(task), _) => graph.name(task),
            (None, [first, .., last]) if in_a_row => format!("{first} to {last}"),
            (None, names) => names.join(", "),
        }
    }

    /// What the run is about.
    pub fn scope(&self, graph: &Graph) -> Scope {
        let is_asked = |task| self.steps.contains(&usize::from(graph.task(task).step)) && self.slice.holds(task);
        let wanted = match self.only {
            Some(only) => graph.ids().map(|task| task == only).collect(),
            None => graph.ids().map(is_asked).collect(),
        };
        Scope { slice: self.slice.clone(), retry: self.retry, retries: self.retries, lease: self.lease, wanted }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Tasks by state at the end, of those asked for.
    pub states: BTreeMap<State, usize>,
    /// Tasks that this process ran.
    pub ran: usize,
    /// Signal that stopped the run.
    pub stopped: Option<i32>,
    /// Whether no rank was lost.
    pub whole: bool,
}

impl Summary {
    /// 0 if all that was asked for is done, 128 + signal if the run was stopped, else 1.
    pub fn exit_code(&self) -> u8 {
        let all_done = self.states.keys().all(|state| *state == State::Done);
        match self.stopped {
            Some(signal) => (128 + signal) as u8,
            None => u8::from(!all_done),
        }
    }
}

struct Runner<'a> {
    board: Board<'a>,
    graph: &'a Graph,
    settings: &'a Settings,
    // tasks that may start, the longest first; those that this run works on, with their seats until the program has
    // ended; those that others run
    ready: BTreeSet<(Reverse<u64>, TaskId)>,
    running: HashMap<TaskId, Option<Grant>>,
    elsewhere: BTreeSet<TaskId>,
    // tasks that the system failed, and when they are tried again
    paused: HashMap<TaskId, Instant>,
    seats: Seats,
    costs: Costs,
    // whether a task is asked for or leads to one that is
    matters: Vec<bool>,
    tried: BTreeSet<TaskId>,
    progress: Progress,
    // for each step: tasks in `ready`; whether one was tried since the states were last written down; whether they were
    queued: Vec<usize>,
    undumped: Vec<bool>,
    dumped: Vec<bool>,
    ran: usize,
}

/// Runs what is not done of what was asked for; as rank 0 of a parallel job, with the other ranks.
///
/// # Errors
/// If the production cannot be written to.
pub fn run(loaded: &Loaded, settings: &Settings, job: Option<&mut dyn Post>) -> Result<Summary> {
    for folder in [loaded.production.claims(), loaded.production.logs(), loaded.production.records()] {
        production::make_folder(&folder)?;
    }
    let signals = Watched::new()?;
    let board = Board::survey(loaded, settings.scope(&loaded.graph));
    let children = Children::default();
    let mut runner = Runner::new(board, settings)?;
    let (stop, whole) = std::thread::scope(|scope| -> Result<(Stop, bool)> {
        let local = Local::new(scope, &loaded.production, &children);
        let mut crew = Crew::new(local, job.map(Others::new));
        let mut stop = Stop::default();
        let mut clock = Clock::new();
        while runner.has_work(stop.takes_no_more()) {
            while !stop.takes_no_more()
                && let Some((rank, order)) = runner.next_order()
            {
                crew.start(rank, order);
            }
            for news in crew.news() {
                // what this process cannot write down it must not go on with
                runner.take(news).inspect_err(|_| crew.stop(libc::SIGTERM))?;
            }
            stop.check(&signals, |signal| crew.stop(signal));
            clock.tick(&mut runner);
        }
        Ok((stop, crew.is_whole()))
    })?;
    runner.finish(&stop, whole)
}

/// What is done now and then.
struct Clock {
    look: Instant,
}

impl Clock {
    fn new() -> Self {
        Self { look: Instant::now() }
    }

    fn tick(&mut self, runner: &mut Runner) {
        if self.look.elapsed() >= Duration::from_millis(500) {
            self.look = Instant::now();
            runner.look_elsewhere();
            runner.end_pauses();
        }
    }
}

/// Seconds before a task is tried again that the system failed this often.
fn pause_after(failures: u32) -> Duration {
    Duration::from_secs(4u64.saturating_pow(failures.min(6) - 1))
}

impl<'a> Runner<'a> {
    fn new(board: Board<'a>, settings: &'a Settings) -> Result<Self> {
        let graph = board.graph;
        let of = |test: &dyn Fn(TaskId) -> bool| graph.ids().filter(|t| test(*t)).collect::<BTreeSet<TaskId>>();
        let costs = Costs::of(board.production, graph);
        let ready = of(&|t| board.is_wanted(t) && board.verdict(t).runnable);
        let mut seats = Seats::default();
        seats.add(0, Offer::own(settings.jobs, settings.cores));
        let matters = matters(&board);
        let elsewhere = of(&|t| matters[t.0 as usize] && board.verdict(t).state == State::Running);
        let is_open = |t: &TaskId| !matches!(board.verdict(*t).state, State::Done | State::Failed);
        let open = graph.ids().filter(|task| board.is_wanted(*task) && is_open(task)).count();
        let log = settings
            .log
            .as_ref()
            .map(|path| std::fs::File::options().create(true).append(true).open(path).map_err(Error::io("open", path)));
        let progress = Progress::new(open as u64, log.transpose()?);
        let mut runner = Self {
            graph,
            settings,
            ready: BTreeSet::new(),
            elsewhere,
            matters,
            seats,
            costs,
            progress,
            running: HashMap::new(),
            paused: HashMap::new(),
            tried: BTreeSet::new(),
            queued: vec![0; graph.table.steps.len()],
            undumped: vec![false; graph.table.steps.len()],
            dumped: vec![false; graph.table.steps.len()],
            ran: 0,
            board,
        };
        ready.into_iter().for_each(|task| runner.queue(task));
        Ok(runner)
    }

    fn has_work(&self, stopping: bool) -> bool {
        let open = !self.ready.is_empty() || !self.elsewhere.is_empty() || !self.paused.is_empty();
        !self.running.is_empty() || (open && !stopping)
    }

    /// Takes the next task that may start, if there are seats for it; on which rank.
    fn next_order(&mut self) -> Option<(usize, Order)> {
        loop {
            let (_, task) = *self.ready.first()?;
            let Some(inputs) = self.board.inputs(task) else {
                self.unqueue(task);
                continue;
            };
            let contenders = (self.running.len() + self.ready.len()).min(self.seats.total());
            let grant = self.seats.take(self.graph.step(task).cores, contenders)?;
            self.unqueue(task);
            let number = self.board.history(task).last + 1;
            self.board.start(task);
            let order = Order { task: task.0, job: self.job(task, number, &inputs, &grant) };
            let rank = grant.rank;
            self.running.insert(task, Some(grant));
            self.show_running();
            return Some((rank, order));
        }
    }

    fn job(&self, task: TaskId, number: u32, inputs: &Inputs, grant: &Grant) -> Job {
        let (graph, production) = (self.graph, self.board.production);
        let step = graph.step(task);
        let planned = inputs.files.iter().map(|(_, file)| graph.portable(*file));
        let ancillary = self.board.ancillary(task).into_iter().map(|(path, _)| path);
        Job {
            task: graph.name(task),
            step: step.name.clone(),
            program: step.program.clone(),
            number,
            arguments: command::arguments(graph, self.board.options, task, &inputs.files),
            extra: graph.table.threads.iter().flat_map(|flag| [flag.clone(), grant.threads.to_string()]).collect(),
            cpus: grant.cpus.clone(),
            inputs: planned.chain(ancillary).collect(),
            output: graph.portable(graph.task(task).output),
            log: history::log_path(production, graph, task, number),
            record: history::record_path(production, graph, task, number),
        }
    }

    /// Takes note of what happened.
    fn take(&mut self, news: News) -> Result<()> {
        match news {
            News::Came(rank, offer) => self.seats.add(rank, offer),
            News::Left(rank, why) => {
                self.seats.remove(rank);
                self.progress.say(&format!("rank {rank} {why}"));
            }
            News::Idle(task) => self.idle(TaskId(task)),
            News::Ended(task, outcome) => return self.ended(TaskId(task), outcome?),
        }
        Ok(())
    }

    /// Gives back the seats of a task whose program has ended.
    fn idle(&mut self, task: TaskId) {
        if let Some(grant) = self.running.get_mut(&task).and_then(Option::take) {
            self.seats.give_back(&grant);
        }
    }

    fn ended(&mut self, task: TaskId, outcome: Outcome) -> Result<()> {
        self.idle(task);
        self.running.remove(&task);
        if let Outcome::Ran(..) = outcome {
            self.tried.insert(task);
            let step = usize::from(self.graph.task(task).step);
            self.undumped[step] = !self.dumped[step];
        }
        self.update(task);
        if let Outcome::Ran(ending @ (Ending::Done | Ending::Failed | Ending::System), reason, seconds) = outcome {
            self.ran += 1;
            let state = if ending == Ending::Done { "done" } else { "failed" };
            self.progress.ended(&self.graph.name(task), state, seconds, &reason);
        }
        self.show_running();
        self.dump_ended_steps()
    }

    /// Judges a task and what follows from it anew, and queues what may start.
    fn update(&mut self, task: TaskId) {
        for task in self.board.refresh(task) {
            let verdict = self.board.verdict(task);
            let runs_elsewhere = verdict.state == State::Running && !self.running.contains_key(&task);
            if runs_elsewhere && self.matters[task.0 as usize] {
                self.elsewhere.insert(task);
            } else {
                self.elsewhere.remove(&task);
            }
            match self.board.pauses(task) {
                Some(failures) => _ = self.paused.entry(task).or_insert_with(|| Instant::now() + pause_after(failures)),
                None => _ = self.paused.remove(&task),
            }
            if verdict.runnable && self.board.is_wanted(task) && !self.tried.contains(&task) {
                self.queue(task);
            } else {
                self.unqueue(task);
            }
        }
    }

    /// Looks at the tasks that other processes have.
    fn look_elsewhere(&mut self) {
        for task in self.elsewhere.clone() {
            self.update(task);
        }
    }

    /// Queues the tasks whose pause after a failure of the system is over.
    fn end_pauses(&mut self) {
        let over: Vec<TaskId> =
            self.paused.iter().filter(|(_, end)| **end <= Instant::now()).map(|(task, _)| *task).collect();
        for task in over {
            self.board.rest(task);
            self.tried.remove(&task);
            self.update(task);
        }
    }

    fn show_running(&self) {
        let tasks: BTreeSet<TaskId> = self.running.keys().copied().collect();
        let names: Vec<String> = tasks.into_iter().map(|task| self.graph.name(task)).collect();
        self.progress.running(&names);
    }

    /// Writes the states down when a step that had tasks has none left.
    fn dump_ended_steps(&mut self) -> Result<()> {
        let step_of = |task: &TaskId| usize::from(self.graph.task(*task).step);
        let queued = self.queued.iter().position(|tasks| *tasks > 0);
        let earliest = self.running.keys().chain(&self.elsewhere).map(step_of).chain(queued).min();
        let Some(earliest) = earliest else { return Ok(()) };
        let ended: Vec<usize> = (0..earliest).filter(|step| std::mem::take(&mut self.undumped[*step])).collect();
        ended.iter().for_each(|step| self.dumped[*step] = true);
        if ended.is_empty() { Ok(()) } else { self.dump() }
    }

    fn queue(&mut self, task: TaskId) {
        let is_new = self.ready.insert(rank_of(&self.costs, self.graph, task));
        self.queued[usize::from(self.graph.task(task).step)] += usize::from(is_new);
    }

    fn unqueue(&mut self, task: TaskId) {
        let was_there = self.ready.remove(&rank_of(&self.costs, self.graph, task));
        self.queued[usize::from(self.graph.task(task).step)] -= usize::from(was_there);
    }

    fn dump(&self) -> Result<()> {
        let id = std::env::var("SLURM_JOB_ID").map_or_else(
            |_| std::process::id().to_string(),
            |job| match std::env::var("SLURM_PROCID").unwrap_or_default().as_str() {
                "" | "0" => format!("slurm-{job}"),
                rank => format!("slurm-{job}.{rank}"),
            },
        );
        let folder = self.board.production.run();
        production::write_atomically(&folder.join(format!("state_{id}.yaml")), &graph_yaml::states(&self.board))?;
        graph_yaml::prune_states(&folder);
        Ok(())
    }

    fn finish(mut self, stop: &Stop, whole: bool) -> Result<Summary> {
        self.progress.finish();
        self.sweep_claims();
        if self.ran > 0 {
            self.dump()?;
        }
        let wanted: Vec<TaskId> = self.graph.ids().filter(|task| self.board.is_wanted(*task)).collect();
        let mut states = BTreeMap::new();
        for task in &wanted {
            *states.entry(self.board.verdict(*task).state).or_default() += 1;
        }
        self.report_open(&wanted);
        let counts: Vec<String> = states.iter().map(|(state, n)| format!("{n} {}", state.name())).collect();
        let counts = if counts.is_empty() { "nothing to do".into() } else { counts.join(", ") };
        let stopped = match (stop.signal, stop.late) {
            (Some(_), _) => "; stopped by a signal",
            (None, true) => "; time was nearly up",
            (None, false) => "",
        };
        let what = self.settings.describe(self.graph);
        self.progress.say(&format!("{what}: {} tasks, {counts}; this run ran {}{stopped}", wanted.len(), self.ran));
        Ok(Summary { states, ran: self.ran, stopped: stop.signal, whole })
    }

    /// Removes the claims of processes that died after their task was done, and what they were writing. A claim whose log
    /// exists can go: its number is never taken again.
    fn sweep_claims(&self) {
        let production = self.board.production;
        for task in self.graph.ids() {
            let dead = self.board.history(task).claim.as_ref().filter(|claim| !claim.alive);
            let Some(number) = dead.map(|claim| claim.number) else { continue };
            attempt::remove_record_leftovers(&history::record_path(production, self.graph, task, number));
            attempt::remove_leftovers(&self.board.path(self.graph.task(task).output));
            if history::log_path(production, self.graph, task, number).exists() {
                claim::release(production, &self.graph.name(task), number);
            }
        }
        claim::sweep(production);
        for folder in [self.board.production.run(), self.board.production.summaries()] {
            production::sweep(&folder);
        }
    }

    /// Says why tasks are not done: failures one by one, others by their reason.
    fn report_open(&mut self, wanted: &[TaskId]) {
        const MOST: usize = 20;
        let mut reasons: BTreeMap<(State, String), Vec<TaskId>> = BTreeMap::new();
        for task in wanted {
            let verdict = self.board.verdict(*task);
            if verdict.state != State::Done {
                reasons.entry((verdict.state, self.board.explain(verdict))).or_default().push(*task);
            }
        }
        let left = reasons.len().saturating_sub(MOST);
        for ((state, reason), tasks) in reasons.into_iter().take(MOST) {
            let more = if tasks.len() > 1 { format!(" and {} more", tasks.len() - 1) } else { String::new() };
            self.progress.say(&format!("{}: {}{more}: {reason}", state.name(), self.graph.name(tasks[0])));
            if state == State::Failed {
                let last = self.board.history(tasks[0]).last;
                let log = history::log_path(self.board.production, self.graph, tasks[0], last);
                self.progress.say(&format!("    log: {}", log.display()));
                self.progress
                    .say(&format!("    try again: desi_pipe_status task {} --retry", self.graph.name(tasks[0])));
            }
        }
        if left > 0 {
            self.progress.say(&format!("and {left} more reasons: see desi_pipe_status"));
        }
    }
}

/// A task in the order in which tasks start: by core-minutes, the longest first.
fn rank_of(costs: &Costs, graph: &Graph, task: TaskId) -> (Reverse<u64>, TaskId) {
    (Reverse((costs.minutes(graph, task) * 60e3) as u64), task)
}

/// Which tasks are asked for or lead to one that is.
fn matters(board: &Board) -> Vec<bool> {
    let tasks: Vec<TaskId> = board.graph.ids().collect();
    let mut matters = vec![false; tasks.len()];
    for task in tasks.into_iter().rev() {
        let leads = board.graph.dependents(task).iter().any(|next| matters[next.0 as usize]);
        matters[task.0 as usize] = leads || board.is_wanted(task);
    }
    matters
}
