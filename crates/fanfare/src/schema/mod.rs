//! What clients may say in a namespace, without code: a JSON Schema for each event.
//!
//! The file of `[namespaces.x] schema` is an object: `events` has a schema for each event by name, `others` says what becomes of events that
//! have none (`"allow"`, the default, or `"refuse"`), `$schema` names the draft (2020-12 without), and `$defs` holds what several schemas
//! refer to as `"$ref": "#/$defs/NAME"`. Nothing is fetched from elsewhere.
mod file;
mod fit;

pub use file::{SchemaFault, SchemaFile};
