//! The program's own log, on standard error, around progress bars, and what is said when the program itself is broken.

use std::io;

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::output::Output;

/// What is logged unless told otherwise: what an owner of the machine should look at.
const FILTER: &str = "warn";

/// Starts logging.
///
/// # Errors
/// If the filter can not be read.
pub(crate) fn start(filter: Option<&str>, output: &Output) -> Result<()> {
    let filter = EnvFilter::builder()
        .parse(filter.unwrap_or(FILTER))
        .context("the log filter is wrong: write error, warn, info, debug or trace")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(output.live())
        .with_writer(AroundBars(output.clone()))
        .init();
    Ok(())
}

struct AroundBars(Output);

impl<'a> MakeWriter<'a> for AroundBars {
    type Writer = AroundBarsWriter;
    fn make_writer(&'a self) -> AroundBarsWriter {
        AroundBarsWriter(self.0.clone())
    }
}

struct AroundBarsWriter(Output);

impl io::Write for AroundBarsWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.error_bytes(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says that the program is at fault, in one line that can be reported.
pub(crate) fn panicked(info: &std::panic::PanicHookInfo<'_>) {
    let what = info
        .payload()
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| info.payload().downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given");
    let place = info
        .location()
        .map(|place| format!(" at {}:{}", place.file(), place.line()))
        .unwrap_or_default();
    // The last thing that can be tried; nobody is left to hear of its failure.
    let _ = io::Write::write_fmt(
        &mut io::stderr(),
        format_args!(
            "tessera: this is a fault of Tessera itself, please report it: {}{place} (version {})\n",
            what.replace('\n', " "),
            env!("CARGO_PKG_VERSION"),
        ),
    );
}
