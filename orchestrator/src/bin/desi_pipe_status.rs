//! `desi_pipe_status`: shows the states of a production's tasks.

use clap::{Parser, Subcommand};
use orchestrator::load::{Loaded, load};
use orchestrator::production::Place;
use orchestrator::runner::{self, Settings};
use orchestrator::slice::Slice;
use orchestrator::state::{Board, Retry, Scope};
use orchestrator::{Result, colour, status};
use std::io::Write;
use std::process::ExitCode;

/// Shows the states of a production's tasks, as its files tell them now.
#[derive(Parser)]
#[command(name = "desi_pipe_status", version)]
struct Args {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every step: its tasks by state
    All {
        /// As JSON: {step: {state: count}}
        #[arg(long)]
        json: bool,
    },
    /// The tasks of a step by state, with reasons
    Step {
        /// Name of the step
        step: String,
        /// Only this state: done, running, ready, stale, waiting, blocked, failed
        #[arg(long)]
        state: Option<String>,
    },
    /// All about a task: state, reason, files, command, inputs, what needs it
    Task {
        /// Name of the task, as `step` shows it
        task: String,
        /// Print the log of its last attempt
        #[arg(long)]
        log: bool,
        /// Run it now, even if its last attempt failed
        #[arg(long)]
        retry: bool,
    },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("desi_pipe_status: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: Args) -> Result<u8> {
    let loaded = load(&args.place)?;
    let board = Board::survey(&loaded.production, &loaded.graph, &loaded.options, Scope::whole(&loaded.graph));
    let colour = colour::wanted();
    match args.what {
        What::All { json: true } => print(&(status::counts_json(&board) + "\n")),
        What::All { json: false } => print(&status::all(&board, colour)),
        What::Step { step, state } => {
            let step = loaded.graph.table.step(&step)?;
            let states = state.map(|name| status::parse_state(&name)).transpose()?;
            print(&status::step(&board, step, states.as_deref(), colour));
        }
        What::Task { task, log, retry } => {
            let task = loaded.graph.find(&task)?;
            if retry {
                return run_task(&loaded, task);
            }
            print(&status::task(&board, task, colour));
            if log {
                print(&status::log_text(&board, task));
            }
        }
    }
    Ok(0)
}

fn run_task(loaded: &Loaded, task: orchestrator::graph::TaskId) -> Result<u8> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let settings = Settings {
        steps: (0, loaded.graph.table.steps.len() - 1),
        slice: Slice::whole(&loaded.graph),
        only: Some(task),
        jobs: 1,
        cores,
        retry: Retry::All,
        log: None,
    };
    Ok(runner::run(loaded, &settings)?.exit_code())
}

/// Prints; a reader that went away (`| head`) is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
