//! docs/configuration.md names every setting, as the code defines it.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]
use std::{fs, path::Path};

const HEADING: &str = "# Every setting\n\n";

#[test]
fn the_page_lists_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (written, tables) = page.split_once(HEADING).expect("the page has its heading");
    let made = fanfare::config::reference::markdown();
    assert!(made.contains("`message_bytes`") && made.contains("`[namespaces.NAME.history]`"), "{made}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{written}{HEADING}{made}")).unwrap();
    } else {
        assert!(
            tables == made,
            "docs/configuration.md is stale: UPDATE_DOCS=1 cargo test -p fanfare --test cli_reference"
        );
    }
}

#[test]
fn the_example_of_the_page_is_accepted() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = fs::read_to_string(page).unwrap();
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let example = example.replace("\"...\"", "\"0123456789abcdef0123456789abcdef\"");
    let config = fanfare::config::Config::from_toml(&example).unwrap();
    assert!(config.namespace("chat:1").is_some_and(|chat| chat.presence));
}
