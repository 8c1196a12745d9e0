//! Runs tasks: each starts as soon as its inputs are there, as many at once as there are cores, until none is left.

use crate::attempt::{self, Job, Outcome};
use crate::child::Children;
use crate::graph::{Graph, TaskId};
use crate::load::Loaded;
use crate::progress::Progress;
use crate::record::Ending;
use crate::slice::Slice;
use crate::state::{Board, Inputs, Retry, Scope, State};
use crate::{Error, Result, claim, command, graph_yaml, history, production};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// What to run and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Indices of the first and last step.
    pub steps: (usize, usize),
    /// Nights and spectrographs.
    pub slice: Slice,
    /// Only this task, whatever its last attempt gave.
    pub only: Option<TaskId>,
    /// Tasks at once.
    pub jobs: usize,
    /// Cores to share among them.
    pub cores: usize,
    /// Failures to try again.
    pub retry: Retry,
    /// A file for the lines that the run says.
    pub log: Option<PathBuf>,
}

impl Settings {
    fn describe(&self, graph: &Graph) -> String {
        let (first, last) = self.steps;
        let name = |step: usize| graph.table.steps[step].name.clone();
        match self.only {
            Some(task) => graph.name(task),
            None if first == last => name(first),
            None => format!("{} to {}", name(first), name(last)),
        }
    }

    fn scope(&self, graph: &Graph) -> Scope {
        let (first, last) = self.steps;
        let in_range = |task| (first..=last).contains(&usize::from(graph.task(task).step)) && self.slice.holds(task);
        let wanted = match self.only {
            Some(only) => graph.ids().map(|task| task == only).collect(),
            None => graph.ids().map(in_range).collect(),
        };
        Scope { slice: self.slice.clone(), retry: self.retry, wanted }
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

type Message = (TaskId, Result<Outcome>);

struct Runner<'a> {
    board: Board<'a>,
    graph: &'a Graph,
    settings: &'a Settings,
    // tasks that may start; those that this process runs; those that others run
    ready: BTreeSet<TaskId>,
    running: HashMap<TaskId, u32>,
    elsewhere: BTreeSet<TaskId>,
    // whether a task is asked for or leads to one that is
    matters: Vec<bool>,
    tried: BTreeSet<TaskId>,
    children: &'a Children,
    progress: Progress,
    dumped: Vec<bool>,
    ran: usize,
}

/// Runs what is not done of what was asked for.
///
/// # Errors
/// If the production cannot be written to.
pub fn run(loaded: &Loaded, settings: &Settings) -> Result<Summary> {
    for folder in [loaded.production.claims(), loaded.production.logs(), loaded.production.records()] {
        production::make_folder(&folder)?;
    }
    let signal = watch_signals()?;
    let board = Board::survey(&loaded.production, &loaded.graph, &loaded.options, settings.scope(&loaded.graph));
    let children = Children::default();
    let mut runner = Runner::new(board, settings, &children)?;
    let (sender, receiver) = mpsc::channel::<Message>();
    let stopped = std::thread::scope(|scope| -> Result<Option<i32>> {
        let mut stop = Stop::default();
        let mut clock = Clock::new();
        while runner.has_work(stop.signal.is_some()) {
            while stop.signal.is_none()
                && let Some(job) = runner.next_job()
            {
                let sender = sender.clone();
                let children = runner.children;
                // a thread a task: the child dies with the thread that started it
                scope.spawn(move || {
                    let outcome = attempt::run(&job.1, &loaded.production, children);
                    let _ = sender.send((job.0, outcome));
                });
            }
            if let Ok(message) = receiver.recv_timeout(Duration::from_millis(100)) {
                // what this process cannot write down it must not go on with
                runner.take(message).inspect_err(|_| children.stop(libc::SIGTERM))?;
            }
            stop.check(signal.load(Ordering::SeqCst), &children);
            clock.tick(&mut runner);
        }
        Ok(stop.signal)
    });
    runner.finish(stopped?)
}

/// The number of the last of SIGINT and SIGTERM that came; 0: none.
fn watch_signals() -> Result<Arc<AtomicUsize>> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [libc::SIGINT, libc::SIGTERM] {
        signal_hook::flag::register_usize(number, signal.clone(), number as usize)
            .map_err(|e| Error::Usage(format!("cannot watch signals: {e}")))?;
    }
    Ok(signal)
}

/// Stopping: first asks the children to end, later kills them.
#[derive(Default)]
struct Stop {
    signal: Option<i32>,
    since: Option<Instant>,
}

impl Stop {
    fn check(&mut self, signal: usize, children: &Children) {
        const GRACE: Duration = Duration::from_secs(5);
        match self.since {
            None if signal != 0 => {
                self.signal = Some(signal as i32);
                self.since = Some(Instant::now());
                children.stop(libc::SIGTERM);
            }
            Some(since) if since.elapsed() > GRACE => children.stop(libc::SIGKILL),
            _ => {}
        }
    }
}

/// What is done now and then.
struct Clock {
    beat: Instant,
    look: Instant,
}

impl Clock {
    fn new() -> Self {
        Self { beat: Instant::now(), look: Instant::now() }
    }

    fn tick(&mut self, runner: &mut Runner) {
        if self.beat.elapsed() >= Duration::from_secs(claim::HEARTBEAT) {
            self.beat = Instant::now();
            runner.touch_claims();
        }
        if self.look.elapsed() >= Duration::from_millis(500) {
            self.look = Instant::now();
            runner.look_elsewhere();
        }
    }
}

impl<'a> Runner<'a> {
    fn new(board: Board<'a>, settings: &'a Settings, children: &'a Children) -> Result<Self> {
        let graph = board.graph;
        let of = |test: &dyn Fn(TaskId) -> bool| graph.ids().filter(|t| test(*t)).collect::<BTreeSet<TaskId>>();
        let ready = of(&|t| board.is_wanted(t) && board.verdict(t).runnable);
        let matters = matters(&board);
        let elsewhere = of(&|t| matters[t.0 as usize] && board.verdict(t).state == State::Running);
        let open = of(&|t| board.is_wanted(t) && !matches!(board.verdict(t).state, State::Done | State::Failed)).len();
        let log = settings
            .log
            .as_ref()
            .map(|path| std::fs::File::options().create(true).append(true).open(path).map_err(Error::io("open", path)));
        let progress = Progress::new(open as u64, log.transpose()?);
        Ok(Self {
            graph,
            settings,
            ready,
            elsewhere,
            matters,
            children,
            progress,
            running: HashMap::new(),
            tried: BTreeSet::new(),
            dumped: vec![false; graph.table.steps.len()],
            ran: 0,
            board,
        })
    }

    fn has_work(&self, stopping: bool) -> bool {
        let open = !self.ready.is_empty() || !self.elsewhere.is_empty();
        !self.running.is_empty() || (open && !stopping)
    }

    /// Takes the next task that may start, if a place is free.
    fn next_job(&mut self) -> Option<(TaskId, Job)> {
        while self.running.len() < self.settings.jobs.max(1) {
            let task = self.ready.pop_first()?;
            let Some(inputs) = self.board.inputs(task) else { continue };
            let contenders = (self.running.len() + 1 + self.ready.len()).min(self.settings.jobs.max(1));
            let threads = (self.settings.cores / contenders).max(1);
            let number = self.board.history(task).last + 1;
            self.board.start(task);
            self.running.insert(task, number);
            self.show_running();
            return Some((task, self.job(task, number, &inputs, threads)));
        }
        None
    }

    fn job(&self, task: TaskId, number: u32, inputs: &Inputs, threads: usize) -> Job {
        let (graph, production) = (self.graph, self.board.production);
        let step = graph.step(task);
        Job {
            task: graph.name(task),
            step: step.name.clone(),
            program: step.program.clone(),
            number,
            arguments: command::arguments(graph, self.board.options, task, &inputs.files),
            extra: graph.table.threads.iter().flat_map(|flag| [flag.clone(), threads.to_string()]).collect(),
            inputs: inputs.files.iter().map(|(_, file)| graph.portable(*file)).collect(),
            output: graph.portable(graph.task(task).output),
            log: history::log_path(production, graph, task, number),
            record: history::record_path(production, graph, task, number),
        }
    }

    /// Takes note of a task that ended.
    fn take(&mut self, (task, outcome): Message) -> Result<()> {
        self.running.remove(&task);
        let outcome = outcome?;
        if let Outcome::Ran(..) = outcome {
            self.tried.insert(task);
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
            if verdict.runnable && self.board.is_wanted(task) && !self.tried.contains(&task) {
                self.ready.insert(task);
            } else {
                self.ready.remove(&task);
            }
        }
    }

    /// Looks at the tasks that other processes have.
    fn look_elsewhere(&mut self) {
        for task in self.elsewhere.clone() {
            self.update(task);
        }
    }

    fn touch_claims(&self) {
        for (task, number) in &self.running {
            claim::touch(&claim::path(self.board.production, &self.graph.name(*task), *number));
        }
    }

    fn show_running(&self) {
        let tasks: BTreeSet<TaskId> = self.running.keys().copied().collect();
        let names: Vec<String> = tasks.into_iter().map(|task| self.graph.name(task)).collect();
        self.progress.running(&names);
    }

    /// Writes the states down when a step that had tasks has none left.
    fn dump_ended_steps(&mut self) -> Result<()> {
        let open = self.ready.iter().chain(self.running.keys()).chain(&self.elsewhere);
        let earliest = open.map(|task| usize::from(self.graph.task(*task).step)).min();
        let Some(earliest) = earliest else { return Ok(()) };
        let ended: Vec<usize> = self.tried.iter().map(|task| usize::from(self.graph.task(*task).step)).collect();
        let newly: Vec<usize> = ended.into_iter().filter(|step| *step < earliest && !self.dumped[*step]).collect();
        if newly.is_empty() {
            return Ok(());
        }
        newly.into_iter().for_each(|step| self.dumped[step] = true);
        self.dump()
    }

    fn dump(&self) -> Result<()> {
        let id = std::env::var("SLURM_JOB_ID").map_or_else(
            |_| std::process::id().to_string(),
            |job| match std::env::var("SLURM_PROCID").unwrap_or_default().as_str() {
                "" | "0" => format!("slurm-{job}"),
                rank => format!("slurm-{job}.{rank}"),
            },
        );
        let path = self.board.production.run().join(format!("state_{id}.yaml"));
        production::write_atomically(&path, &graph_yaml::states(&self.board))
    }

    fn finish(mut self, stopped: Option<i32>) -> Result<Summary> {
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
        let stop = if stopped.is_some() { "; stopped by a signal" } else { "" };
        let what = self.settings.describe(self.graph);
        self.progress.say(&format!("{what}: {} tasks, {counts}; this run ran {}{stop}", wanted.len(), self.ran));
        Ok(Summary { states, ran: self.ran, stopped })
    }

    /// Removes the claims of processes that died after their task was done. A claim whose log exists can go: its number
    /// is never taken again.
    fn sweep_claims(&self) {
        for task in self.graph.ids() {
            let dead = self.board.history(task).claim.as_ref().filter(|claim| !claim.alive);
            let Some(number) = dead.map(|claim| claim.number) else { continue };
            if history::log_path(self.board.production, self.graph, task, number).exists() {
                claim::release(self.board.production, &self.graph.name(task), number);
            }
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
