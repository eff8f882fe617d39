//! `cargo xtask openapi > FILE`: the document that a manager gives at `/api/v1/openapi.json`, for those who generate code from it.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use tessera_wire::openapi::document;

/// Prints it, one member a line, so that a change of the API is a small difference of the file.
pub fn run() -> Result<ExitCode> {
    let text = serde_json::to_string_pretty(&document()).context("cannot write JSON")?;
    writeln!(std::io::stdout(), "{text}").context("cannot print the document")?;
    Ok(ExitCode::SUCCESS)
}
