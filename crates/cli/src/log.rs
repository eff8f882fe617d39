//! The program's own log, on standard error, around progress bars, and what is said when the program itself is broken.

use std::io;

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, Uptime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::exit::{Status, one_line, stop};
use crate::output::Output;

/// What is logged unless told otherwise: what the owner of the machine should look at.
const FILTER: &str = "warn";

/// The same where manager and worker are parts of a command that tells what matters of them itself.
const FILTER_ALONE: &str = "warn,tessera_manager=error,tessera_worker=error";

/// Who reads along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Somebody who typed a command and waits for it: sentences.
    User,
    /// Whoever looks after a program that stays: lines with their time.
    Keeper,
}

/// Starts logging.
///
/// # Errors
/// If the filter can not be read.
pub(crate) fn start(filter: Option<&str>, reader: Reader, output: &Output) -> Result<()> {
    let default = match reader {
        Reader::User => FILTER_ALONE,
        Reader::Keeper => FILTER,
    };
    let filter = EnvFilter::builder()
        .parse(filter.unwrap_or(default))
        .context("the log filter is wrong: write error, warn, info, debug or trace")
        .map_err(|error| stop(Status::Usage, one_line(&error)))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(AroundBars(output.clone()));
    match reader {
        Reader::User => log
            .with_ansi(false)
            .event_format(Sentences(Uptime::default()))
            .init(),
        Reader::Keeper => log.with_target(false).with_ansi(output.live()).init(),
    }
    Ok(())
}

/// `tessera: warning: what happened, where=there`; what is only for finding faults, with the seconds since the start.
struct Sentences(Uptime);

impl<S, N> FormatEvent<S, N> for Sentences
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let level = *event.metadata().level();
        if level > tracing::Level::INFO {
            self.0.format_time(&mut writer)?;
            write!(writer, " ")?;
        }
        let level = match level {
            tracing::Level::ERROR => "error: ",
            tracing::Level::WARN => "warning: ",
            tracing::Level::INFO => "info: ",
            _ => "",
        };
        write!(writer, "tessera: {level}")?;
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
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
