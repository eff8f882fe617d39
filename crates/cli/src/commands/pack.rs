//! `tessera pack`: every file that a .blend needs, shown, or put into one folder or archive.

use anyhow::Result;
use tessera_client::{Bundle, BundleForm, Closure, ClosureFile, all_there, bundle, closure};
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::PackFlags;
use crate::output::Output;
use crate::progress::Progress;
use crate::render::{prepare, tell};
use crate::table::Table;
use crate::units::Bytes;

/// Users of a file that are shown to people; programs are told of all.
const USERS_SHOWN: usize = 2;

pub(super) async fn run(context: &Context, flags: &PackFlags) -> Result<Status> {
    if let Some(target) = &flags.output
        && BundleForm::of(target.clone()).is_none()
    {
        let message = format!(
            "cannot make {}: only .zip and .tar.zst archives can be made, and folders under other names",
            target.display()
        );
        return Err(stop(Status::Usage, message));
    }
    let mut progress = Progress::new(&context.output);
    let mut prepared = prepare(context, &flags.file, context.look(), &progress).await?;
    prepared.options.frames = flags.frames.clone();
    let outcome = async {
        let options = &prepared.options;
        let needed = closure(options, tell(&flags.file, &progress)).await?;
        show(&context.output, &needed);
        if !flags.allow_missing {
            all_there(&needed, &options.maps)?;
        }
        let Some(target) = flags.output.clone() else {
            return Ok(None);
        };
        let form = BundleForm::of(target).expect("it was looked at before");
        let tell = tell(&flags.file, &progress);
        bundle(&needed, options, form, flags.pack_textures, tell)
            .await
            .map(Some)
    }
    .await;
    let made = prepared.keep_logs_of(outcome)?;
    progress.end();
    if let Some(made) = made {
        say_made(&context.output, &made);
    }
    Ok(Status::Done)
}

fn show(output: &Output, needed: &Closure) {
    let mut table = Table::new(&[">SIZE", "FILE", "FRAMES", "USED BY"]);
    for file in &needed.files {
        let frames = file.frames.as_ref().map(ToString::to_string);
        table.row([
            size(file),
            file.path.display().to_string(),
            frames.clone().unwrap_or_default(),
            users(file),
        ]);
        output.line(LineKind::Needed {
            path: file.path.clone(),
            kind: kind(file),
            bytes: file.bytes,
            used_by: file.used_by.clone(),
            frames,
            missing: file.is_missing(),
        });
    }
    for note in &needed.notes {
        output.warn(note.clone());
    }
    for line in table.lines() {
        output.text(&line);
    }
    let missing = needed.missing().count() as u64;
    let there = needed.files.iter().filter(|file| file.bytes.is_some());
    let (files, bytes) = (there.count() as u64, needed.bytes());
    let lacking = match missing {
        0 => String::new(),
        missing => format!(", and {missing} missing"),
    };
    output.text(&format!("{files} files, {}{lacking}", Bytes(bytes)));
    output.line(LineKind::Closure {
        files,
        bytes,
        missing,
    });
}

fn size(file: &ClosureFile) -> String {
    match file.bytes {
        Some(bytes) => Bytes(bytes).to_string(),
        None if file.optional => "absent".to_owned(),
        None => "MISSING".to_owned(),
    }
}

/// As the scan names it.
fn kind(file: &ClosureFile) -> String {
    let name = file.kind.and_then(|kind| serde_json::to_value(kind).ok());
    let name = name.as_ref().and_then(serde_json::Value::as_str);
    name.unwrap_or("blend").to_owned()
}

fn users(file: &ClosureFile) -> String {
    let mut text: Vec<_> = file.used_by.iter().take(USERS_SHOWN).cloned().collect();
    if file.used_by.len() > USERS_SHOWN {
        text.push(format!("and {} more", file.used_by.len() - USERS_SHOWN));
    }
    text.join(", ")
}

fn say_made(output: &Output, made: &Bundle) {
    for path in &made.saved_anew {
        output.note(format!(
            "{} was saved anew in it, by {}",
            path.display(),
            made.saved_by
        ));
    }
    let unpacked = match made.main.is_absolute() {
        true => "",
        false => "unpacked, ",
    };
    output.note(format!(
        "{} files, {}; {unpacked}open {} in Blender",
        made.files,
        Bytes(made.bytes),
        made.main.display()
    ));
    output.result(made.path.display().to_string(), || LineKind::Bundled {
        path: made.path.clone(),
        main: made.main.clone(),
        files: made.files,
        bytes: made.bytes,
        saved_anew: made.saved_anew.clone(),
        inside: made.inside,
    });
}
