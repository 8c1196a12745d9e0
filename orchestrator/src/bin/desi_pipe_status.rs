//! `desi_pipe_status`: shows the states of a production's tasks.

use clap::{Parser, Subcommand};
use orchestrator::board::Board;
use orchestrator::graph::TaskId;
use orchestrator::load::{Loaded, load};
use orchestrator::numbers::positive;
use orchestrator::production::Place;
use orchestrator::runner::{self, Settings};
use orchestrator::scope::{Retry, Scope};
use orchestrator::slice::{self, Slice};
use orchestrator::status::{self, View};
use orchestrator::{Result, claim, colour, errors, say, why};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Shows the states of a production's tasks, as its files tell them now.
#[derive(Parser)]
#[command(name = "desi_pipe_status", version)]
struct Args {
    #[command(flatten)]
    place: Place,
    /// Only tasks of these states: done, running, ready, stale, waiting, blocked, failed
    #[arg(long, global = true, value_delimiter = ',', value_name = "STATE,..")]
    state: Vec<String>,
    /// Only tasks of these nights
    #[arg(long, global = true, value_delimiter = ',', value_name = "NIGHT,..")]
    nights: Vec<String>,
    /// As JSON
    #[arg(long, global = true)]
    json: bool,
    /// Look again every so many seconds until interrupted
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "5", value_name = "SECONDS", value_parser = positive)]
    watch: Option<f64>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every step: its tasks by state
    All,
    /// The tasks of a step by state, with reasons
    Step {
        /// Name of the step
        step: String,
    },
    /// All about a task: state, reason, files, command, inputs, what needs it
    Task(TaskArgs),
    /// Why a task is not done: what it waits for, and what that waits for, down to the causes
    Why {
        /// Name of the task
        task: String,
    },
    /// Failures by cause, the most frequent first
    Errors,
}

#[derive(clap::Args)]
struct TaskArgs {
    /// Name of the task, as `step` shows it
    task: String,
    /// Print the log of its last attempt
    #[arg(long)]
    log: bool,
    /// Run it now, even if its last attempt failed
    #[arg(long)]
    retry: bool,
    /// With --retry: options of its step for this once, as YAML
    #[arg(long, value_name = "FILE", requires = "retry")]
    opts: Option<PathBuf>,
    /// Print why it is not done, as `why` does
    #[arg(long)]
    why: bool,
    /// Print nothing but its command line
    #[arg(long)]
    command: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say::err(format_args!("desi_pipe_status: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: &Args) -> Result<u8> {
    if let What::Task(of @ TaskArgs { retry: true, .. }) = &args.what {
        return retry(load(&args.place)?, of);
    }
    loop {
        let (text, warnings) = text(args)?;
        let clear = if args.watch.is_some() && std::io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
        // a reader that went away (`| head`) is no error
        let there = std::io::stdout().write_all(format!("{clear}{text}").as_bytes()).is_ok();
        say::warn("desi_pipe_status", &warnings);
        match args.watch.filter(|_| there) {
            Some(seconds) => std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.1, 86400.0))),
            None => return Ok(0),
        }
    }
}

/// What is asked for, and what is to be said beside it.
fn text(args: &Args) -> Result<(String, Vec<String>)> {
    let loaded = load(&args.place)?;
    let graph = &loaded.graph;
    let board = Board::survey(&loaded, Scope::whole(graph));
    let nights = slice::nights(&args.nights, &loaded.nights)?;
    let limits = [("night", &nights)];
    let states = args.state.iter().map(|name| status::parse_state(name)).collect::<Result<Vec<_>>>()?.concat();
    let view = View {
        states: Some(states).filter(|states| !states.is_empty()),
        slice: Slice::new(graph, if nights.is_empty() { &[] } else { &limits })?,
    };
    let colour = colour::wanted();
    let text = match (&args.what, args.json) {
        (What::All, false) => status::all(&board, &view, colour),
        (What::All, true) => format!("{}\n", status::counts_json(&board, &view)),
        (What::Step { step }, false) => status::step(&board, graph.table.step(step)?, &view, colour),
        (What::Step { step }, true) => format!("{}\n", status::step_json(&board, graph.table.step(step)?, &view)),
        (What::Task(of), json) => text_of_task(&board, graph.find(&of.task)?, of, json, colour),
        (What::Why { task }, _) => why::text(&board, graph.find(task)?),
        (What::Errors, false) => errors::text(&errors::groups(&board, &view)),
        (What::Errors, true) => format!("{}\n", serde_json::json!(errors::groups(&board, &view))),
    };
    let warnings = loaded.options.idle_overrides(&loaded.production, graph);
    if args.watch.is_none() {
        // the process ends: to give back millions of small pieces one by one takes a while
        std::mem::forget(board);
        std::mem::forget(loaded);
    }
    Ok((text, warnings))
}

fn text_of_task(board: &Board, task: TaskId, of: &TaskArgs, json: bool, colour: bool) -> String {
    if of.command {
        return format!("{}\n", status::command_line(board, task));
    }
    if json {
        return format!("{}\n", status::task_json(board, task));
    }
    let mut text = status::task(board, task, colour);
    if of.why {
        text.push_str(&why::text(board, task));
    }
    if of.log {
        text.push_str(&status::log_text(board, task));
    }
    text
}

fn retry(mut loaded: Loaded, of: &TaskArgs) -> Result<u8> {
    let task = loaded.graph.find(&of.task)?;
    if let Some(path) = &of.opts {
        loaded.options.replace(path, &loaded.graph.table, usize::from(loaded.graph.task(task).step))?;
    }
    let settings = Settings {
        steps: (0..loaded.graph.table.steps.len()).collect(),
        slice: Slice::whole(&loaded.graph),
        only: Some(task),
        jobs: 1,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        retry: Retry::All,
        retries: 0,
        lease: claim::LEASE,
        log: None,
    };
    Ok(runner::run(&loaded, &settings, None)?.exit_code())
}
