//! Writes what is made from the code or by an encoder of its own: the code table of `docs/protocol.md`,
//! `docs/vectors/codes.json`, and in the other vectors the MessagePack beside each JSON text.
//!
//! `cargo run -p fanfare-protocol --example generate` writes; with `-- --check` it writes nothing, names the files that are
//! stale, and then exits with 1.
use std::{error::Error, fs, path::Path, process::ExitCode};

use fanfare_protocol::code::TABLE;
use tree::Tree;

#[path = "../tests/support/tree.rs"]
mod tree;

const BEGIN: &str = "<!-- begin generated: codes -->\n";
const END: &str = "<!-- end generated: codes -->";
/// Vectors written by hand, in which only `msgpack` is filled in.
const VECTORS: [&str; 3] = ["commands.json", "events.json", "data.json"];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let check = std::env::args().any(|argument| argument == "--check");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut files = vec![
        (docs.join("protocol.md"), with_table(&fs::read_to_string(docs.join("protocol.md"))?)?),
        (docs.join("vectors/codes.json"), codes()),
    ];
    for name in VECTORS {
        let path = docs.join("vectors").join(name);
        let text = filled(&fs::read_to_string(&path)?).map_err(|error| format!("{name}: {error}"))?;
        files.push((path, text));
    }
    let mut stale = false;
    for (path, text) in files {
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        let name = path.strip_prefix(&docs)?.display();
        if check {
            println!("stale: docs/{name}");
            stale = true;
        } else {
            fs::write(&path, text)?;
            println!("wrote docs/{name}");
        }
    }
    Ok(if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The document with the table of codes between its markers.
fn with_table(document: &str) -> Result<String, Box<dyn Error>> {
    let (before, rest) = document.split_once(BEGIN).ok_or("docs/protocol.md has lost its begin marker")?;
    let (_, after) = rest.split_once(END).ok_or("docs/protocol.md has lost its end marker")?;
    let mut table =
        String::from("| Code | HTTP | WebSocket | Retryable | What to do |\n|---|---|---|---|---|\n");
    for row in TABLE {
        let status = row.status.map_or("-".to_owned(), |status| status.to_string());
        let retryable = if row.retryable { "yes" } else { "no" };
        table.push_str(&format!(
            "| `{}` | {status} | {} | {retryable} | {} |\n",
            row.name, row.close, row.remedy
        ));
    }
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// The table for SDKs.
fn codes() -> String {
    let text = |text: &str| Tree::Text(text.to_owned());
    let code = |row: &fanfare_protocol::code::Row| {
        Tree::Map(vec![
            ("code".to_owned(), text(row.name)),
            ("title".to_owned(), text(row.title)),
            ("status".to_owned(), row.status.map_or(Tree::Null, |status| Tree::Uint(status.into()))),
            ("close".to_owned(), Tree::Uint(row.close.into())),
            ("retryable".to_owned(), Tree::Bool(row.retryable)),
            ("remedy".to_owned(), text(row.remedy)),
        ])
    };
    let about = "Generated from the table in the code. status: HTTP, null where a code only ends connections. close: WebSocket.";
    laid_out(&[
        ("about".to_owned(), text(about)),
        ("codes".to_owned(), Tree::List(TABLE.iter().map(code).collect())),
    ])
}

/// The vectors with `msgpack` (hexadecimal) in every case that has `json`, from `msgpack_of` or else from `json`. A case
/// whose JSON no encoder reads keeps what it has.
fn filled(text: &str) -> Result<String, Box<dyn Error>> {
    let Tree::Map(mut sections) = serde_json::from_str(text)? else { return Err("not an object".into()) };
    for (_, section) in &mut sections {
        let Tree::List(cases) = section else { continue };
        for case in cases {
            fill(case)?;
        }
    }
    Ok(laid_out(&sections))
}

fn fill(case: &mut Tree) -> Result<(), Box<dyn Error>> {
    let value = match (case.get("msgpack_of"), case.get("json").and_then(Tree::text)) {
        (Some(value), _) => value.clone(),
        (None, Some(json)) => match serde_json::from_str(json) {
            Ok(value) => value,
            Err(_) => return Ok(()),
        },
        (None, None) => return Ok(()),
    };
    let hex = value.to_msgpack().iter().map(|byte| format!("{byte:02x}")).collect();
    let Tree::Map(entries) = case else { return Err("a case is no object".into()) };
    match entries.iter_mut().find(|(name, _)| name == "msgpack") {
        Some((_, found)) => *found = Tree::Text(hex),
        None => {
            let after_json = entries.iter().position(|(name, _)| name == "json").map_or(0, |at| at + 1);
            entries.insert(after_json, ("msgpack".to_owned(), Tree::Text(hex)));
        }
    }
    Ok(())
}

/// An object with one line for each element of its arrays.
fn laid_out(sections: &[(String, Tree)]) -> String {
    let section = |(name, value): &(String, Tree)| {
        let name = Tree::Text(name.clone()).to_json();
        match value.list() {
            Some(items) => {
                let lines: Vec<_> = items.iter().map(|item| format!("    {}", item.to_json())).collect();
                format!("  {name}: [\n{}\n  ]", lines.join(",\n"))
            }
            None => format!("  {name}: {}", value.to_json()),
        }
    };
    format!("{{\n{}\n}}\n", sections.iter().map(section).collect::<Vec<_>>().join(",\n"))
}
