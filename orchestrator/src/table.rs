//! The pipeline as data: kinds of files, and steps that make one kind from others (`pipelines/desi.toml`).

use crate::keys::{Dims, Key, Space};
use crate::{Error, Result, names};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The table that is built in.
pub const DESI: &str = include_str!("../pipelines/desi.toml");

/// Values of a step's options by name, as in run/options.yaml.
pub type OptionMap = BTreeMap<String, serde_json::Value>;

/// A folder that paths start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Root {
    /// `{rawdir}`: the raw data; read only.
    Raw,
    /// `{prod}`: the production.
    Production,
}

impl Root {
    /// How it is written in patterns and records.
    pub fn symbol(self) -> &'static str {
        match self {
            Root::Raw => "{rawdir}",
            Root::Production => "{prod}",
        }
    }

    /// The root that stands between braces.
    pub fn named(name: &str) -> Option<Self> {
        [Root::Raw, Root::Production].into_iter().find(|root| root.symbol().trim_matches(['{', '}']) == name)
    }
}

/// A piece of a pattern.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// What stands between braces.
    Name(String),
    /// The value of a key.
    Key(usize),
}

/// A path pattern: a root and a relative path with keys.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Where it starts.
    pub root: Root,
    /// The path relative to the root.
    pub pieces: Vec<Piece>,
    /// Its last component.
    pub name: Vec<Piece>,
    /// The keys that its folder depends on.
    pub folder: Dims,
}

/// What a raw file tells of its exposure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// Flavour and bricks, from a fibermap.
    Fibermap,
    /// The cameras, from the names of its HDUs.
    Cameras,
}

/// A kind of file.
#[derive(Debug, Clone)]
pub struct FileKind {
    /// Its name in the table.
    pub name: String,
    /// Where a step writes it (or, for raw data, where it is).
    pub path: Pattern,
    /// Where it is if it comes with the raw data.
    pub raw: Option<Pattern>,
    /// What it tells of its exposure.
    pub reads: Option<Reads>,
    /// Its keys, with those that follow from them.
    pub dims: Dims,
}

/// Which of the matching files an input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Pick {
    /// All of them.
    #[default]
    All,
    /// The exposure with the smallest number.
    First,
    /// The most recent exposure before the task's own, else the first after it.
    Recent,
}

/// An input of a step.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Its name in the argument template.
    pub name: String,
    /// Index of its kind of file.
    pub file: usize,
    /// Exposures' flavours that count; empty: any.
    pub flavor: Vec<String>,
    /// Which of the matching files.
    pub pick: Pick,
    /// Whether the task may go on without those that failed (at least one is needed).
    pub partial: bool,
}

/// A file, a folder, or the files of a folder that match (`*`), which a step reads if they are there.
#[derive(Debug, Clone)]
pub struct Aid {
    /// The path, with roots, keys and, at its start, a `$VARIABLE`.
    pub place: Vec<Piece>,
    /// Does not count where the task has this option.
    pub unless: Option<String>,
}

/// A step: makes one file from others with one run of a program.
#[derive(Debug, Clone)]
pub struct Step {
    /// The name that users type.
    pub name: String,
    /// Other names that are accepted.
    pub aliases: Vec<String>,
    /// The script that it belongs to.
    pub group: String,
    /// The program.
    pub program: String,
    /// Its inputs; a task exists for each key of the output that the first one covers.
    pub inputs: Vec<Slot>,
    /// Index of the kind of file that it makes.
    pub output: usize,
    /// The argument template: one list of pieces an argument.
    pub arguments: Vec<Vec<Piece>>,
    /// Where files may be that it reads beside its inputs.
    pub ancillary: Vec<Aid>,
    /// Default options.
    pub options: OptionMap,
    /// A key by whose value options are told apart: `wavelength_b` is `wavelength` of the tasks of band b.
    pub options_by: Option<usize>,
    /// Inputs left out take with them the other inputs that have the same value of this key.
    pub together: Option<usize>,
    /// Cores that a task is to have.
    pub cores: usize,
    /// Memory of a task, 10^6 bytes; 0: not known.
    pub memory_mb: f64,
    /// Core-minutes of a task on the reference machine.
    pub minutes: f64,
    /// Core-minutes for each target of the task's brick.
    pub minutes_per_target: f64,
}

/// The pipeline.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The flag that sets a program's threads; None if the programs have none.
    pub threads: Option<String>,
    /// The kinds of files.
    pub files: Vec<FileKind>,
    /// The steps, in an order in which each comes after those that make its inputs.
    pub steps: Vec<Step>,
    /// Order in which keys sort tasks.
    pub order: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableToml {
    name: String,
    threads: Option<String>,
    order: Vec<String>,
    keys: BTreeMap<String, String>,
    files: BTreeMap<String, FileToml>,
    step: Vec<StepToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileToml {
    path: String,
    raw: Option<String>,
    reads: Option<Reads>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepToml {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    group: Option<String>,
    program: String,
    inputs: Vec<SlotToml>,
    output: String,
    arguments: Vec<String>,
    #[serde(default)]
    ancillary: Vec<AidToml>,
    #[serde(default)]
    options: OptionMap,
    options_by: Option<String>,
    together: Option<String>,
    cores: Option<usize>,
    #[serde(default)]
    memory_mb: f64,
    #[serde(default)]
    minutes: f64,
    #[serde(default)]
    minutes_per_target: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AidToml {
    path: String,
    unless: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotToml {
    name: Option<String>,
    file: String,
    #[serde(default)]
    flavor: Vec<String>,
    #[serde(default)]
    pick: Pick,
    #[serde(default)]
    partial: bool,
}

impl Table {
    /// Reads a table from its text, with the keys that it declares.
    ///
    /// # Errors
    /// [`Error::Table`] says what contradicts what.
    pub fn parse(text: &str) -> Result<(Self, Space)> {
        let toml: TableToml = toml::from_str(text).map_err(|e| Error::Table(e.to_string()))?;
        let space = Space::new(&toml.keys)?;
        let mut files = Vec::new();
        for (name, file) in toml.files {
            files.push(file_kind(name, file, &space)?);
        }
        let order = toml.order.iter().map(|name| space.dim(name)).collect::<Result<Vec<usize>>>()?;
        let mut table = Self { name: toml.name, threads: toml.threads, files, steps: Vec::new(), order };
        for step in toml.step {
            let step = table.step_of(step, &space)?;
            table.steps.push(step);
        }
        Ok((table, space))
    }

    /// The built-in table, or the one of a file.
    ///
    /// # Errors
    /// If the file cannot be read or contradicts itself.
    pub fn load(path: Option<&Path>) -> Result<(Self, Space)> {
        match path {
            None => Self::parse(DESI),
            Some(path) => Self::parse(&std::fs::read_to_string(path).map_err(Error::io("read", path))?)
                .map_err(|e| Error::content(path, e)),
        }
    }

    /// The step of this name, 2016 names included.
    ///
    /// # Errors
    /// [`Error::Usage`] with the names that come close.
    pub fn step(&self, name: &str) -> Result<usize> {
        let matches = |s: &Step| s.name == name || s.aliases.iter().any(|alias| alias == name);
        self.steps.iter().position(matches).ok_or_else(|| {
            let known = self.steps.iter().map(|s| s.name.as_str());
            Error::Usage(format!("no step is called '{name}'{}", names::hint(name, known, self.steps.len())))
        })
    }

    fn file(&self, name: &str) -> Result<usize> {
        let found = self.files.iter().position(|f| f.name == name);
        found.ok_or_else(|| Error::Table(format!("no kind of file is called {name}")))
    }

    fn step_of(&self, toml: StepToml, space: &Space) -> Result<Step> {
        let complain = |e: Error| Error::Table(format!("step {}: {e}", toml.name));
        let mut inputs = Vec::new();
        for slot in toml.inputs {
            let file = self.file(&slot.file).map_err(complain)?;
            let made_later =
                self.files[file].path.root == Root::Production && !self.steps.iter().any(|s| s.output == file);
            if made_later {
                return Err(complain(Error::Table(format!("no earlier step makes {}", slot.file))));
            }
            let name = slot.name.unwrap_or(slot.file);
            inputs.push(Slot { name, file, flavor: slot.flavor, pick: slot.pick, partial: slot.partial });
        }
        if inputs.is_empty() {
            return Err(complain(Error::Table("it has no input".into())));
        }
        let known = |name: &str| {
            name == "output"
                || Root::named(name).is_some()
                || inputs.iter().any(|slot| slot.name == name)
                || space.dim(name).is_ok()
        };
        let mut arguments = Vec::new();
        for argument in &toml.arguments {
            let pieces = pieces(argument).map_err(complain)?;
            for piece in &pieces {
                if let Piece::Name(name) = piece
                    && !known(name)
                {
                    return Err(complain(Error::Table(format!("'{argument}' names neither an input nor a key"))));
                }
            }
            arguments.push(pieces);
        }
        let aid = |aid: AidToml| Ok(Aid { place: pieces(&aid.path)?, unless: aid.unless });
        let ancillary = toml.ancillary.into_iter().map(aid).collect::<Result<Vec<Aid>>>().map_err(complain)?;
        let dim = |name: Option<String>| name.map(|n| space.dim(&n)).transpose();
        Ok(Step {
            output: self.file(&toml.output).map_err(complain)?,
            options_by: dim(toml.options_by).map_err(complain)?,
            together: dim(toml.together).map_err(complain)?,
            group: toml.group.unwrap_or_else(|| toml.name.clone()),
            name: toml.name,
            aliases: toml.aliases,
            program: toml.program,
            inputs,
            arguments,
            ancillary,
            options: toml.options,
            cores: toml.cores.unwrap_or(1).max(1),
            memory_mb: toml.memory_mb,
            minutes: toml.minutes,
            minutes_per_target: toml.minutes_per_target,
        })
    }
}

fn file_kind(name: String, toml: FileToml, space: &Space) -> Result<FileKind> {
    let pattern = |text: &str| Pattern::parse(text, space).map_err(|e| Error::Table(format!("file {name}: {e}")));
    let path = pattern(&toml.path)?;
    let raw = toml.raw.as_deref().map(pattern).transpose()?;
    let dims = space.closure(path.dims());
    Ok(FileKind { path, raw, reads: toml.reads, dims, name })
}

/// Cuts `text{name}text` at its braces.
fn pieces(text: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            pieces.push(Piece::Text(rest[..open].to_string()));
        }
        let length = rest[open..].find('}').ok_or_else(|| Error::Table(format!("'{text}' lacks a closing brace")))?;
        pieces.push(Piece::Name(rest[open + 1..open + length].to_string()));
        rest = &rest[open + length + 1..];
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest.to_string()));
    }
    Ok(pieces)
}

fn dims_of(pieces: &[Piece]) -> Dims {
    pieces.iter().fold(Dims::default(), |set, piece| match piece {
        Piece::Key(dim) => set.or(Dims::one(*dim)),
        _ => set,
    })
}

impl Pattern {
    fn parse(text: &str, space: &Space) -> Result<Self> {
        let roots = [Root::Raw, Root::Production].map(|root| (root, text.strip_prefix(root.symbol())));
        let start = roots.into_iter().find_map(|(root, rest)| Some((root, rest?.strip_prefix('/')?)));
        let (root, rest) =
            start.ok_or_else(|| Error::Table(format!("'{text}' must start with {{rawdir}}/ or {{prod}}/")))?;
        let mut keyed = Vec::new();
        for piece in pieces(rest)? {
            keyed.push(if let Piece::Name(name) = piece { Piece::Key(space.dim(&name)?) } else { piece });
        }
        let slash = keyed.iter().rposition(|piece| matches!(piece, Piece::Text(text) if text.contains('/')));
        let folder = dims_of(&keyed[..slash.unwrap_or(0)]);
        let mut name = keyed[slash.unwrap_or(0)..].to_vec();
        if let Some(Piece::Text(text)) = name.first_mut() {
            text.drain(..text.rfind('/').map_or(0, |slash| slash + 1));
        }
        Ok(Self { root, pieces: keyed, name, folder })
    }

    fn dims(&self) -> Dims {
        dims_of(&self.pieces)
    }

    /// The path relative to the root.
    pub fn render(&self, space: &Space, key: &Key) -> String {
        let mut path = String::with_capacity(64);
        self.render_onto(space, key, &mut path);
        path
    }

    /// The path relative to the root, at the end of a text.
    pub fn render_onto(&self, space: &Space, key: &Key, text: &mut String) {
        render(&self.pieces, space, key, text);
    }

    /// The last component of the path, at the end of a text.
    pub fn name_onto(&self, space: &Space, key: &Key, text: &mut String) {
        render(&self.name, space, key, text);
    }

    /// A regular expression for the last component of the path, with a group for each key in it.
    pub fn file_name_expression(&self, space: &Space) -> String {
        let mut expression = String::from("^");
        for piece in &self.name {
            match piece {
                Piece::Text(text) | Piece::Name(text) => expression.push_str(&regex::escape(text)),
                Piece::Key(dim) => expression.push_str(&format!("(?<k{dim}>{})", space.form(*dim))),
            }
        }
        expression + "$"
    }
}

fn render(pieces: &[Piece], space: &Space, key: &Key, text: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(piece) | Piece::Name(piece) => text.push_str(piece),
            Piece::Key(dim) => text.push_str(space.text(key, *dim)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_sound() {
        let (table, _) = Table::parse(DESI).unwrap();
        let names: Vec<&str> = table.steps.iter().map(|s| s.name.as_str()).collect();
        let mission = "preproc bootcalib specex psfcombine extract fiberflat sky stdstars fluxcal procexp bricks zfind";
        assert_eq!(names.join(" "), mission);
        for (old, new) in
            [("bootstrap", "bootcalib"), ("psf", "specex"), ("calibrate", "procexp"), ("redshift", "zfind")]
        {
            assert_eq!(table.step(old).unwrap(), table.step(new).unwrap());
        }
        assert!(table.step("extrat").unwrap_err().to_string().contains("extract"));
    }

    #[test]
    fn an_input_that_no_earlier_step_makes_is_refused() {
        let text = DESI.replace("file = \"psfnight\"", "file = \"zbest\"");
        assert!(Table::parse(&text).unwrap_err().to_string().contains("no earlier step makes zbest"));
    }
}
