//! `tessera merge`: one frame out of files that hold tiles of it, or ranges of its samples.

use anyhow::{Context as _, Result};
use tessera_merge::{Class, MergeError, MergeOptions, Missing, ReadError, merge};
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::MergeFlags;

pub(super) async fn run(context: &Context, flags: MergeFlags) -> Result<Status> {
    let own = |names: &[String], class: Class| {
        let names = names.iter().cloned();
        names.map(move |name| (name, class)).collect::<Vec<_>>()
    };
    let passes = [
        own(&flags.average, Class::Average),
        own(&flags.first, Class::First),
    ];
    let options = MergeOptions {
        size: flags.size.map(|size| (size.0, size.1)),
        samples: flags.samples,
        passes: passes.into_iter().flatten().collect(),
        others: None,
        missing: match flags.partial {
            true => Missing::Allowed,
            false => Missing::Refused,
        },
    };
    let ending = flags.output.extension().unwrap_or_default();
    if !ending.eq_ignore_ascii_case("exr") {
        let message = format!(
            "the frame is an EXR file: '{}' has to end in .exr",
            flags.output.display()
        );
        return Err(stop(Status::Usage, message));
    }
    let slices: Vec<_> = flags.parts.into_iter().map(|part| part.0).collect();
    let (count, output) = (slices.len(), flags.output);
    let to = output.clone();
    let merged = tokio::task::spawn_blocking(move || merge(&slices, &to, &options))
        .await
        .context("the merging was ended from inside")?
        .map_err(said)?;
    let (fewest, most) = merged.samples;
    let samples = match (fewest == most, most) {
        (true, 1) => "1 sample".to_owned(),
        (true, _) => format!("{most} samples"),
        (false, _) => format!("{fewest} to {most} samples"),
    };
    let files = match count {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    context.output.text(&format!(
        "{}: {}×{} pixels, {} channels, {samples}, from {files}",
        output.display(),
        merged.frame.width,
        merged.frame.height,
        merged.channels,
    ));
    context.output.line(LineKind::Merged {
        output: output.display().to_string(),
        width: merged.frame.width,
        height: merged.frame.height,
        channels: merged.channels,
        tiles: merged.tiles,
        samples_min: fewest,
        samples_max: most,
    });
    Ok(Status::Done)
}

/// What is wrong with what was typed is told from what is wrong with the files.
fn said(error: MergeError) -> anyhow::Error {
    let typed = match &error {
        MergeError::Read(ReadError::Io { .. }) => true,
        MergeError::Read(_)
        | MergeError::Write { .. }
        | MergeError::Decoder { .. }
        | MergeError::TooManyChannels { .. } => false,
        _ => true,
    };
    let how = match &error {
        MergeError::SamplesMissing { .. } | MergeError::TilesMissing { .. } => {
            " (--partial makes a frame of what there is)"
        }
        MergeError::Size { .. } | MergeError::Outside { .. } => {
            " (--size WxH says how large the frame is, FILE@X,Y,WxH where a part lies)"
        }
        MergeError::TilesOverlap { .. } => " (FILE@X,Y,WxH@X,Y,WxH: the second is what is kept)",
        MergeError::Unknown { .. } => " (--average PASS, --first PASS)",
        _ => "",
    };
    match typed {
        true => stop(Status::Usage, format!("{}{how}", with_causes(&error))),
        false => error.into(),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}
