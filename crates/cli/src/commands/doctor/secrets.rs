//! Files that hold keys and tokens: whether others on this machine can read them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Report;
use crate::context::Context;

pub(super) fn check(context: &Context, report: &mut Report<'_>) {
    let folders = &context.folders;
    let worker = context.settings.worker.data.value.clone();
    let manager = context.settings.manager.data.value.clone();
    let mut files = vec![
        folders.config.join("local-manager.json"),
        tessera_worker::identity_path(&worker.unwrap_or_else(|| folders.data.join("worker"))),
    ];
    files.extend(files_in(&folders.config.join("farms"), "json"));
    files.extend(manager_secrets(
        &manager.unwrap_or_else(|| folders.data.join("manager")),
    ));
    let mut kept = 0;
    for file in files {
        let Ok(facts) = file.metadata() else { continue };
        let mode = facts.permissions().mode() & 0o777;
        if mode & 0o077 == 0 {
            kept += 1;
        } else {
            report.broken(
                "secrets",
                format!("{} can be read by others (mode {mode:o})", file.display()),
                format!("chmod 600 {}", file.display()),
            );
        }
    }
    match kept {
        0 => report.plain("secrets", "there are none yet", ""),
        1 => report.good("secrets", "one file, readable by you alone"),
        kept => report.good("secrets", format!("{kept} files, readable by you alone")),
    }
}

/// Keys and records of the manager; its folder may keep them in folders of its own.
fn manager_secrets(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in [
        folder.to_owned(),
        folder.join("identity"),
        folder.join("tls"),
    ] {
        for ending in ["key", "pem", "json"] {
            found.extend(files_in(&place, ending).filter(|file| holds_key(file)));
        }
    }
    found
}

/// Certificates are for everyone; what has a private key in it is not. Only the beginning is looked at.
fn holds_key(file: &Path) -> bool {
    use std::io::Read;
    let mut beginning = Vec::new();
    let read =
        std::fs::File::open(file).and_then(|file| file.take(64 << 10).read_to_end(&mut beginning));
    read.is_ok() && String::from_utf8_lossy(&beginning).contains("PRIVATE KEY")
}

fn files_in(folder: &Path, ending: &'static str) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(move |path| path.extension().is_some_and(|found| found == ending))
}
