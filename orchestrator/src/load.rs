//! A production as it is on disk: where it is, its tasks, its options.

use crate::Result;
use crate::graph::Graph;
use crate::options::Options;
use crate::plan::NightPlan;
use crate::production::{Place, Production};
use crate::table::Table;

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
    let graph = Graph::build(table, space, &plans)?;
    Ok(Loaded { nights: plans.into_iter().map(|plan| plan.night).collect(), production, graph, options })
}
