//! Plans a production, runs its tasks as child processes, and shows their states.
//!
//! The pipeline is a table ([`table`], `pipelines/desi.toml`): kinds of files, and steps that make one kind from
//! others. Joined with what the raw nights hold ([`discover`], [`plan`]) it gives the tasks and what each needs
//! ([`graph`]). What the files, records and claims on disk say of them is their [`state`]; the [`runner`] starts those
//! that are ready ([`attempt`]) until none is left. No science here: a step is a program that reads and writes files.

pub mod ancillary;
pub mod attempt;
pub mod attic;
pub mod board;
pub mod child;
pub mod claim;
pub mod colour;
pub mod command;
pub mod costs;
pub mod create;
pub mod crew;
mod dependents;
pub mod discover;
pub mod disk;
pub mod dry_run;
pub mod error;
pub mod errors;
pub mod fibermap;
pub mod fits;
pub mod graph;
mod graph_build;
pub mod graph_yaml;
pub mod hash;
pub mod history;
pub mod jobs;
pub mod keys;
pub mod load;
pub mod log;
pub mod machine;
#[cfg(feature = "mpi")]
mod mpi;
pub mod names;
pub mod numbers;
pub mod options;
pub mod overrides;
pub mod parallel;
pub mod plan;
pub mod production;
pub mod progress;
pub mod ranks;
pub mod record;
mod resolve;
pub mod runner;
pub mod say;
pub mod scope;
pub mod scripts;
pub mod seats;
pub mod select;
mod shared;
pub mod shell;
pub mod signals;
pub mod slice;
pub mod slurm;
mod spawn;
pub mod state;
pub mod status;
mod summary;
pub mod table;
pub mod upkeep;
pub mod verify;
pub mod why;
mod words;

pub use error::{Error, Result};
