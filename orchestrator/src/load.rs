//! A production as it is on disk: where it is, its tasks, its options.

use crate::disk::{self, Glance};
use crate::graph::Graph;
use crate::options::Options;
use crate::plan::NightPlan;
use crate::production::{Place, Production};
use crate::table::Table;
use crate::{Result, graph_build};
use std::sync::atomic::AtomicBool;

/// What desi_pipe_run and desi_pipe_status start from.
#[derive(Debug)]
pub struct Loaded {
    /// Where.
    pub production: Production,
    /// Its nights.
    pub nights: Vec<String>,
    /// Its tasks.
    pub graph: Graph,
    /// Options of its steps.
    pub options: Options,
    /// What was seen of its raw data on the way.
    pub raw: Glance,
}

/// Reads a production that desi_pipe has made.
///
/// # Errors
/// If it is not there or one of its files is damaged.
pub fn load(place: &Place) -> Result<Loaded> {
    let production = Production::open(place)?;
    let (table, space) = Table::load(production.pipeline().as_deref())?;
    let plans = NightPlan::read_all(&production)?;
    let options = Options::of(&production, &table, &space)?;
    let look = |raw: &Graph, stop: &AtomicBool| disk::glance(&production, raw, stop);
    let (graph, raw) = graph_build::build(table, space, &plans, look)?;
    let nights = plans.iter().map(|plan| plan.night.clone()).collect();
    // hundreds of thousands of small pieces, which take a while to give back
    std::thread::spawn(|| drop(plans));
    Ok(Loaded { production, nights, graph, options, raw })
}
