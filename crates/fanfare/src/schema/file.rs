//! A file of schemas: read and compiled once.
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

/// Bytes that a file of schemas may have.
const BYTES: u64 = 1 << 20;

/// The schemas of one namespace. Equal when path and text are.
pub struct SchemaFile {
    path: PathBuf,
    text: String,
    pub(super) events: BTreeMap<String, Validator>,
    /// Events without a schema are refused.
    pub(super) strict: bool,
}

/// What is wrong with a file of schemas.
#[derive(Debug, thiserror::Error)]
pub enum SchemaFault {
    /// The file cannot be read.
    #[error("{path} cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is too large.
    #[error("{path} has more than {BYTES} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not JSON.
    #[error("{path}, line {line}: {what}")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        what: String,
    },
    /// It is JSON and no schema.
    #[error("{path}, at {pointer}: {what}")]
    NotASchema {
        /// The file.
        path: PathBuf,
        /// The place in it, as a JSON pointer (RFC 6901).
        pointer: String,
        /// What is wrong there.
        what: String,
    },
}

impl SchemaFile {
    /// Reads and compiles.
    ///
    /// # Errors
    /// The file cannot be read, or is no file of schemas; with the place.
    pub fn read(path: &Path) -> Result<Self, SchemaFault> {
        let unreadable = |error| SchemaFault::Unreadable { path: path.to_owned(), error };
        if std::fs::metadata(path).map_err(unreadable)?.len() > BYTES {
            return Err(SchemaFault::TooLarge { path: path.to_owned() });
        }
        Self::compile(path, std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// Compiles a text; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`SchemaFile::read`].
    pub fn compile(path: &Path, text: String) -> Result<Self, SchemaFault> {
        let wrong = |pointer: &str, what: String| {
            let pointer = if pointer.is_empty() { "/" } else { pointer }.to_owned();
            SchemaFault::NotASchema { path: path.to_owned(), pointer, what }
        };
        let document: Value = serde_json::from_str(&text).map_err(|error| {
            let (path, line, what) = (path.to_owned(), error.line(), error.to_string());
            SchemaFault::NotJson { path, line, what }
        })?;
        let Value::Object(root) = &document else {
            return Err(wrong("", "expected an object with the field `events`".into()));
        };
        let strict = match root.get("others").map(Value::as_str) {
            None | Some(Some("allow")) => false,
            Some(Some("refuse")) => true,
            Some(_) => return Err(wrong("/others", "expected \"allow\" or \"refuse\"".into())),
        };
        if let Some(unknown) = root.keys().find(|key| !is_known(key)) {
            let what =
                "there is no such field: a file of schemas has `events`, `others`, `$defs` and `$schema`";
            return Err(wrong(&pointer(&[unknown]), what.into()));
        }
        let Some(Value::Object(schemas)) = root.get("events") else {
            return Err(wrong("/events", "expected an object of schemas by the names of events".into()));
        };
        let mut events = BTreeMap::new();
        for event in schemas.keys() {
            let validator = one(root, event)
                .map_err(|(inside, what)| wrong(&format!("{}{inside}", pointer(&["events", event])), what))?;
            events.insert(event.clone(), validator);
        }
        Ok(Self { path: path.to_owned(), text, events, strict })
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was read.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn is_known(key: &str) -> bool {
    key.starts_with('$') || matches!(key, "events" | "others" | "definitions" | "title" | "description")
}

/// The validator of one event. The error's place is inside its schema, if that is where it is.
fn one(root: &Map<String, Value>, event: &str) -> Result<Validator, (String, String)> {
    let told = |error: jsonschema::ValidationError<'_>| {
        (error.instance_path().to_string(), shortened(&error.masked().to_string()))
    };
    let schema = root.get("events").and_then(|events| events.get(event)).cloned().unwrap_or_default();
    let draft = root.get("$schema").cloned();
    // By itself first, against the draft's own schema, so that an error's place is in it.
    let mut alone = schema;
    if let (Value::Object(alone), Some(draft)) = (&mut alone, &draft) {
        alone.entry("$schema").or_insert_with(|| draft.clone());
    }
    jsonschema::meta::validate(&alone).map_err(told)?;
    // Then within the whole file, which its references are to.
    let mut whole: Map<String, Value> = root
        .iter()
        .filter(|(key, _)| *key != "$ref")
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    whole.insert("allOf".into(), Value::Array(vec![reference(event)]));
    jsonschema::options()
        // Linear in what a stranger sends, whatever the pattern.
        .with_pattern_options(PatternOptions::regex())
        .build(&Value::Object(whole))
        .map_err(|error| (String::new(), shortened(&error.to_string())))
}

/// `{"$ref": "#/events/NAME"}`: a JSON pointer, percent-encoded as a fragment (RFC 6901 section 6).
fn reference(event: &str) -> Value {
    let fragment: String = pointer(&["events", event])
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    serde_json::json!({ "$ref": format!("#{fragment}") })
}

/// A JSON pointer.
fn pointer(steps: &[&str]) -> String {
    steps.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
}

/// At most 200 characters.
pub(super) fn shortened(text: &str) -> String {
    if text.chars().count() <= 200 {
        return text.to_owned();
    }
    text.chars().take(199).chain(['…']).collect()
}

impl PartialEq for SchemaFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.text == other.text
    }
}
impl Eq for SchemaFile {}

impl fmt::Debug for SchemaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaFile").field("path", &self.path).field("events", &self.events.len()).finish()
    }
}
