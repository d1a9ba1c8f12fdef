//! `fanfare check`: reads the configuration as a start would, and says what it means.
use super::{Settings, exit::Failure, output};
use crate::config::{Sources, check::warnings};

/// Prints `ok` and a summary.
///
/// # Errors
/// Everything that is wrong with the configuration.
pub fn run(settings: Settings) -> Result<(), Failure> {
    let sources = Sources::of_process(settings.config, settings.flags);
    let config = sources.load()?;
    let file =
        sources.file().map_or_else(|| "no file: built-in settings".into(), |path| path.display().to_string());
    output::line(&format!("ok ({file})\n\n{}", config.summary().trim_end()))?;
    for warning in warnings(&config).into_iter().chain(config.auth.to_auth().warnings()) {
        output::note(&format!("warning: {warning}"));
    }
    Ok(())
}
