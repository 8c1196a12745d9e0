//! The orchestrator: plans a production from the files that exist, runs its tasks, shows their states.
