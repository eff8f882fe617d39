//! Finds the files of two folders that belong together and compares each pair.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use walkdir::WalkDir;

use super::formats::Format;
use super::pictures::{self, Found};
use super::report::{Difference, FileReport, Report, Side};

/// Why two paths could not be compared at all. What is wrong with a single file of a folder is in its [`FileReport`].
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A path does not exist or cannot be looked into.
    #[error("cannot read {}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be compared with a folder.
    #[error("{} is a file and {} is a folder: name two files or two folders", file.display(), folder.display())]
    FileAndFolder {
        /// The file.
        file: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// Comparing a thing with itself says nothing.
    #[error("{} and {} are the same place: nothing can differ", a.display(), b.display())]
    SamePlace {
        /// The first path as given.
        a: PathBuf,
        /// The second path as given.
        b: PathBuf,
    },
}

/// Compares two files or two folders.
pub fn paths(a: &Path, b: &Path) -> Result<Report, CompareError> {
    match (is_folder(a)?, is_folder(b)?) {
        (true, true) => folders(a, b),
        (false, false) => files(a, b),
        (false, true) => Err(CompareError::FileAndFolder {
            file: a.to_owned(),
            folder: b.to_owned(),
        }),
        (true, false) => Err(CompareError::FileAndFolder {
            file: b.to_owned(),
            folder: a.to_owned(),
        }),
    }
}

/// Compares two files, whatever their names.
pub fn files(a: &Path, b: &Path) -> Result<Report, CompareError> {
    refuse_same_place(a, b)?;
    let name = b
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(Report {
        a: a.to_owned(),
        b: b.to_owned(),
        files: vec![compare_files(name, a, b)],
    })
}

/// Compares all files of two folders and their subfolders, matched by relative name.
pub fn folders(a: &Path, b: &Path) -> Result<Report, CompareError> {
    refuse_same_place(a, b)?;
    let (in_a, in_b) = (names_in(a)?, names_in(b)?);
    let compare = |name: &PathBuf| {
        let shown = name
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join("/");
        match (in_a.contains(name), in_b.contains(name)) {
            (true, true) => compare_files(shown, &a.join(name), &b.join(name)),
            (false, _) => report_of(shown, Difference::FileMissing { missing: Side::A }),
            (_, false) => report_of(shown, Difference::FileMissing { missing: Side::B }),
        }
    };
    let files = in_a.union(&in_b).map(compare).collect();
    Ok(Report {
        a: a.to_owned(),
        b: b.to_owned(),
        files,
    })
}

fn compare_files(name: String, a: &Path, b: &Path) -> FileReport {
    let unreadable = |side, error| Difference::Unreadable { side, error };
    let (a_bytes, b_bytes) = match (fs::read(a), fs::read(b)) {
        (Ok(a_bytes), Ok(b_bytes)) => (a_bytes, b_bytes),
        (Err(error), _) => return report_of(name, unreadable(Side::A, error.to_string())),
        (_, Err(error)) => return report_of(name, unreadable(Side::B, error.to_string())),
    };
    let format = Format::of(a, &a_bytes);
    let a_picture = match format.picture(a, &a_bytes) {
        Ok(Some(picture)) => picture,
        Ok(None) => return compare_bytes(name, &a_bytes, &b_bytes),
        Err(error) => return report_of(name, unreadable(Side::A, error)),
    };
    // The same bytes hold the same pixels: the second decoding is most of the work.
    let found = if a_bytes == b_bytes {
        pictures::compare(&a_picture, &a_picture)
    } else {
        let b_format = Format::of(b, &b_bytes);
        let b_picture = b_format.picture(b, &b_bytes);
        drop((a_bytes, b_bytes));
        match b_picture {
            Ok(Some(b_picture)) => pictures::compare(&a_picture, &b_picture),
            Ok(None) => {
                let other = Difference::Format {
                    a: a_picture.format,
                    b: "no known picture".to_owned(),
                };
                return report_of(name, other);
            }
            Err(error) => return report_of(name, unreadable(Side::B, error)),
        }
    };
    let Found {
        passes,
        differences,
        notes,
    } = found;
    FileReport {
        name,
        passes,
        differences,
        notes,
        by_bytes: false,
    }
}

fn compare_bytes(name: String, a: &[u8], b: &[u8]) -> FileReport {
    let equal_bytes = a.iter().zip(b).take_while(|(a, b)| a == b).count() as u64;
    let (a_bytes, b_bytes) = (a.len() as u64, b.len() as u64);
    let differs = a != b;
    let differences = differs
        .then_some(Difference::Bytes {
            equal_bytes,
            a_bytes,
            b_bytes,
        })
        .into_iter()
        .collect();
    FileReport {
        name,
        passes: Vec::new(),
        differences,
        notes: Vec::new(),
        by_bytes: true,
    }
}

fn report_of(name: String, difference: Difference) -> FileReport {
    FileReport {
        name,
        passes: Vec::new(),
        differences: vec![difference],
        notes: Vec::new(),
        by_bytes: false,
    }
}

fn names_in(folder: &Path) -> Result<BTreeSet<PathBuf>, CompareError> {
    let mut names = BTreeSet::new();
    for entry in WalkDir::new(folder).follow_links(true) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            CompareError::Path {
                path,
                source: error.into(),
            }
        })?;
        if !entry.file_type().is_dir() {
            let name = entry
                .path()
                .strip_prefix(folder)
                .expect("what is found in a folder lies in it");
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}

fn is_folder(path: &Path) -> Result<bool, CompareError> {
    let metadata = fs::metadata(path).map_err(|source| CompareError::Path {
        path: path.to_owned(),
        source,
    })?;
    Ok(metadata.is_dir())
}

fn refuse_same_place(a: &Path, b: &Path) -> Result<(), CompareError> {
    let real = |path: &Path| {
        fs::canonicalize(path).map_err(|source| CompareError::Path {
            path: path.to_owned(),
            source,
        })
    };
    if real(a)? == real(b)? {
        return Err(CompareError::SamePlace {
            a: a.to_owned(),
            b: b.to_owned(),
        });
    }
    Ok(())
}
