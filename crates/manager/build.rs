//! Builds the page of `web/` that the manager serves, so that a plain `cargo build` makes the whole program.
//!
//! Where there is no npm, `TESSERA_WEB_DIST` names a folder with a page that was built elsewhere (`npm run build` in `web/`).

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What the page is made of.
const SOURCES: [&str; 8] = [
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "svelte.config.js",
    "tsconfig.json",
    "vite.config.ts",
];

const DIST: &str = "TESSERA_WEB_DIST";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("the manager's page cannot be built: {why}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let variable = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .ok_or_else(|| format!("cargo did not set {name}"))
    };
    let web = variable("CARGO_MANIFEST_DIR")?.join("../../web");
    let out = variable("OUT_DIR")?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={DIST}");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", web.join(source).display());
    }
    let dist = match env::var_os(DIST).filter(|folder| !folder.is_empty()) {
        Some(folder) => {
            let folder = PathBuf::from(folder);
            println!("cargo::rerun-if-changed={}", folder.display());
            folder
        }
        None => {
            let dist = out.join("web");
            if !is_installed(&web) {
                npm(&web, &["ci", "--no-audit", "--no-fund"])?;
            }
            let to = dist
                .to_str()
                .ok_or("the target folder is not valid Unicode")?;
            npm(
                &web,
                &["run", "build", "--", "--emptyOutDir", "--outDir", to],
            )?;
            dist
        }
    };
    let list = out.join("page.rs");
    fs::write(&list, embedded(&dist)?)
        .map_err(|error| format!("cannot write {}: {error}", list.display()))
}

/// Whether npm has installed what the lock file names, and that has not changed since.
fn is_installed(web: &Path) -> bool {
    let changed = |path: &str| {
        fs::metadata(web.join(path))
            .and_then(|file| file.modified())
            .ok()
    };
    let installed = changed("node_modules/.package-lock.json");
    installed.is_some() && installed >= changed("package-lock.json")
}

fn npm(web: &Path, arguments: &[&str]) -> Result<(), String> {
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let output = Command::new(program).args(arguments).current_dir(web).output().map_err(|error| {
        format!(
            "`npm {}` cannot be started in {}: {error}. Install Node.js 18.19 or newer with npm (`scripts/setup`; on Debian \
             `apt-get install nodejs npm`), or set {DIST} to the folder of a page that was built elsewhere by `npm ci && npm run build`",
            arguments.join(" "),
            web.display()
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "`npm {}` failed in {}:\n{}{}",
        arguments.join(" "),
        web.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// The built page as Rust: the document, and its other files by name.
fn embedded(dist: &Path) -> Result<String, String> {
    let missing = |path: &Path, error: &dyn std::fmt::Display| {
        format!("cannot read {}: {error}", path.display())
    };
    let page = dist.join("index.html");
    let page = page
        .canonicalize()
        .map_err(|error| missing(&page, &error))?;
    let assets = dist.join("assets");
    let mut files = Vec::new();
    for entry in fs::read_dir(&assets).map_err(|error| missing(&assets, &error))? {
        let entry = entry.map_err(|error| missing(&assets, &error))?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| missing(Path::new(&name), &"it is not valid Unicode"))?;
        files.push((name, entry.path()));
    }
    files.sort();
    let mut text = format!(
        "const PAGE: &str = include_str!({page:?});\nconst ASSETS: &[(&str, &[u8])] = &[\n"
    );
    for (name, path) in files {
        let path = path
            .canonicalize()
            .map_err(|error| missing(&path, &error))?;
        writeln!(text, "    ({name:?}, include_bytes!({path:?})),")
            .map_err(|error| error.to_string())?;
    }
    text.push_str("];\n");
    Ok(text)
}
