//! Colour on terminals, plain text elsewhere.

use crate::state::State;
use std::io::IsTerminal;

/// Whether to colour standard output: it is a terminal and NO_COLOR (no-color.org) is not set.
pub fn wanted() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// ANSI colours (ECMA-48 SGR codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Bright red: failed.
    Red,
    /// Bright green: done.
    Green,
    /// Bright yellow: under way.
    Yellow,
    /// Bright blue: where things are.
    Blue,
    /// As it is: not started.
    Plain,
}

impl Colour {
    /// The colour of a state.
    pub fn of(state: State) -> Self {
        match state {
            State::Done => Self::Green,
            State::Failed | State::Blocked => Self::Red,
            State::Running | State::Stale => Self::Yellow,
            State::Ready | State::Waiting => Self::Plain,
        }
    }

    /// The text in this colour, if colour is wanted.
    pub fn paint(self, text: &str, wanted: bool) -> String {
        let code = match self {
            Self::Red => 91,
            Self::Green => 92,
            Self::Yellow => 93,
            Self::Blue => 94,
            Self::Plain => return text.to_string(),
        };
        if wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}
