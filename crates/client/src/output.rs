//! Where a job's frames go: folder, names, the folders of file-output nodes.
//!
//! The plan is made when a file is packed, travels with the job as its `client_note`, and can be pointed elsewhere by whoever
//! fetches. `-o` is Blender's: a last component with `#` is a pattern. Anything else is a folder, which takes the file's own name
//! pattern; so `-o out` and `-o out/` mean the same whether or not the folder exists.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use tessera_blender::{NamePattern, OutputName};

use crate::node_name;

/// Largest note that a job carries, in bytes; see [`Submit`](tessera_wire::api::Submit).
const NOTE_MAX_BYTES: usize = 64 << 10;

/// Extensions that Blender knows as images and replaces by the right one.
pub(crate) const IMAGE_EXTENSIONS: &[&str] = &[
    "png", "jpg", "jpeg", "exr", "tif", "tiff", "bmp", "tga", "webp", "hdr", "dpx", "cin", "jp2",
    "j2c", "rgb", "rgba", "sgi", "iris", "bw",
];

/// What `-o` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputChoice {
    /// Nothing: where the file itself says.
    File,
    /// A folder, absolute; names as the file makes them.
    Folder(PathBuf),
    /// A folder, absolute, and a pattern with `#` for the names in it.
    Pattern(PathBuf, String),
}

impl OutputChoice {
    /// Reads `-o` as typed: relative to `cwd`; a leading `//` is the .blend's folder, as in Blender.
    ///
    /// # Errors
    /// If the path is not text: it travels with the job.
    pub fn read(typed: Option<&str>, cwd: &Path, blend_folder: &Path) -> Result<Self, OutputError> {
        let Some(typed) = typed else {
            return Ok(Self::File);
        };
        let path = match typed.strip_prefix("//") {
            Some(rest) => blend_folder.join(rest.trim_start_matches('/')),
            None => cwd.join(typed),
        };
        if path.to_str().is_none() {
            return Err(OutputError::NotText { path });
        }
        let is_folder = typed.ends_with(['/', std::path::MAIN_SEPARATOR]);
        Ok(match path.file_name() {
            Some(name) if !is_folder && name.to_string_lossy().contains('#') => {
                let folder = path.parent().unwrap_or(Path::new("/"));
                Self::Pattern(plain(folder), name.to_string_lossy().into_owned())
            }
            _ => Self::Folder(plain(&path)),
        })
    }

    /// The path to ask Blender for names with, if it is not the file's own.
    pub(crate) fn for_blender(&self) -> Option<String> {
        match self {
            Self::Pattern(folder, name) => Some(folder.join(name).to_string_lossy().into_owned()),
            Self::File | Self::Folder(_) => None,
        }
    }
}

/// Takes `.` and `..` out by their letters, so that a path reads the same everywhere it is said.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// A file-output node's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFolder {
    /// The node's name.
    pub name: String,
    /// Its folder, absolute.
    pub directory: PathBuf,
    /// Names of its files as Blender stores them: `depth_##`. None if they are not known: then any name below the folder is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<String>,
}

/// Where frames go. Serialised it is the job's `client_note`: fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputPlan {
    /// The output folder, absolute.
    pub directory: PathBuf,
    /// Names of a frame's files, as predicted by Blender, one or one for each view; a received file gets that of its view.
    pub names: Vec<OutputName>,
    /// Views and what their names get: `_L`.
    #[serde(default)]
    pub views: BTreeMap<String, String>,
    /// Folders of file-output nodes, by the node's number.
    #[serde(default)]
    pub nodes: Vec<NodeFolder>,
    /// Whether frames that are there are rendered again.
    pub overwrite: bool,
    /// Whether an empty file marks a frame in work.
    pub placeholder: bool,
}

/// An output folder that cannot be used, or a plan that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It cannot be made.
    #[error("the output folder {} cannot be made ({source}): choose another one with -o", path.display())]
    Make {
        /// The folder.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// Nothing can be written in it.
    #[error("the output folder {} cannot be written to ({source}): change its permissions, or choose another one with -o", path.display())]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// Its path is not text.
    #[error("the path {} is not valid text (UTF-8): choose another folder with -o", path.display())]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// The job does not say where its frames belong.
    #[error("this job does not say where its frames belong: choose a folder with -o")]
    NoPlan,
}

impl OutputPlan {
    /// As a job's `client_note`. Folders of nodes are left out where they would make it too long.
    #[must_use]
    pub fn to_note(&self) -> String {
        let write = |plan: &Self| {
            serde_json::to_string(plan).expect("a plan has no maps with keys that JSON lacks")
        };
        let note = write(self);
        if note.len() <= NOTE_MAX_BYTES {
            note
        } else {
            write(&Self {
                nodes: Vec::new(),
                ..self.clone()
            })
        }
    }

    /// Out of a job's `client_note`. It comes from whoever submitted: its paths are only used by that user's own wish.
    ///
    /// # Errors
    /// If the job was not submitted by this program.
    pub fn from_note(note: &str) -> Result<Self, OutputError> {
        let plan: Self = serde_json::from_str(note).map_err(|_| OutputError::NoPlan)?;
        if plan.directory.is_absolute()
            && plan.nodes.iter().all(|node| node.directory.is_absolute())
        {
            Ok(plan)
        } else {
            Err(OutputError::NoPlan)
        }
    }

    /// The same frames elsewhere, as `fetch -o` asks. Files of nodes go to folders named like the nodes in it.
    ///
    /// # Errors
    /// If the path is not text.
    pub fn redirect(&self, typed: &str, cwd: &Path) -> Result<Self, OutputError> {
        let mut plan = self.clone();
        plan.directory = match OutputChoice::read(Some(typed), cwd, cwd)? {
            OutputChoice::File => return Ok(plan),
            OutputChoice::Folder(folder) => folder,
            OutputChoice::Pattern(folder, pattern) => {
                for name in &mut plan.names {
                    let view = name
                        .view
                        .as_ref()
                        .and_then(|view| self.views.get(view))
                        .map_or("", String::as_str);
                    name.name = renamed(&pattern, view, &name.name);
                }
                folder
            }
        };
        let mut taken = Vec::new();
        for (index, node) in plan.nodes.iter_mut().enumerate() {
            let mut folder = folder_name(&node.name);
            if folder.is_empty() || taken.contains(&folder) {
                folder = format!("{folder}{}", index + 1);
            }
            node.directory = plan.directory.join(&folder);
            taken.push(folder);
        }
        Ok(plan)
    }

    /// The folder of a file-output node; one below the output folder if the plan does not know the node.
    #[must_use]
    pub fn node_directory(&self, index: u32) -> PathBuf {
        let known = usize::try_from(index)
            .ok()
            .and_then(|index| self.nodes.get(index));
        known.map_or_else(
            || {
                self.directory
                    .join(format!("node-{}", u64::from(index) + 1))
            },
            |node| node.directory.clone(),
        )
    }

    /// Whether a file-output node can have called a frame's file so.
    pub(crate) fn node_makes(&self, index: u32, frame: i32, name: &str) -> bool {
        let node = usize::try_from(index)
            .ok()
            .and_then(|index| self.nodes.get(index));
        node.is_none_or(|node| {
            node.slots.is_empty() || node_name::fits(&node.slots, &self.views, frame, name)
        })
    }

    /// The files that a frame makes in the output folder, those of nodes left out.
    #[must_use]
    pub fn expected(&self, frame: i32) -> Vec<PathBuf> {
        self.names
            .iter()
            .map(|name| self.directory.join(name.name.at(frame)))
            .collect()
    }

    /// Makes the output folder and tries whether it can be written to.
    ///
    /// # Errors
    /// If it cannot be made, or nothing can be written in it.
    pub fn check_writable(&self) -> Result<(), OutputError> {
        let path = self.directory.clone();
        if let Err(source) = std::fs::create_dir_all(&path) {
            return Err(OutputError::Make { path, source });
        }
        let probe = crate::place::Temporary::new(&path).and_then(|(file, temporary)| {
            drop(file);
            temporary.discard()
        });
        probe.map_err(|source| OutputError::NotWritable { path, source })
    }
}

/// A typed pattern with the extension of the file's own name, as Blender makes it: `shot_####` for `a_0001_L.png` gives `shot_0001_L.png`.
fn renamed(typed: &str, view_suffix: &str, own: &NamePattern) -> NamePattern {
    let extension = own.suffix.rfind('.').map_or("", |at| &own.suffix[at..]);
    let stem = match typed.rsplit_once('.') {
        Some((stem, known)) if IMAGE_EXTENSIONS.contains(&known.to_ascii_lowercase().as_str()) => {
            stem
        }
        _ => typed,
    };
    // Blender numbers the last run of #.
    let end = stem.rfind('#').map_or(stem.len(), |at| at + 1);
    let start = stem[..end].trim_end_matches('#').len();
    NamePattern {
        prefix: stem[..start].to_owned(),
        digits: u32::try_from(end - start).unwrap_or(4).max(1),
        suffix: format!("{}{view_suffix}{extension}", &stem[end..]),
    }
}

/// A node's name as one folder's name.
fn folder_name(node: &str) -> String {
    let name: String = node
        .chars()
        .map(|letter| {
            if letter.is_alphanumeric() || " ._-".contains(letter) {
                letter
            } else {
                '_'
            }
        })
        .take(60)
        .collect();
    name.trim_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clear_placeholder, put_placeholder, skipped};

    fn pattern(prefix: &str, digits: u32, suffix: &str) -> NamePattern {
        NamePattern {
            prefix: prefix.into(),
            digits,
            suffix: suffix.into(),
        }
    }

    fn plan() -> OutputPlan {
        OutputPlan {
            directory: "/own".into(),
            names: vec![OutputName {
                view: None,
                name: pattern("a_", 4, ".png"),
            }],
            views: BTreeMap::new(),
            nodes: vec![
                NodeFolder {
                    name: "Group/File Output".into(),
                    directory: "/deep/x".into(),
                    slots: Vec::new(),
                },
                NodeFolder {
                    name: "../..".into(),
                    directory: "/deep/y".into(),
                    slots: Vec::new(),
                },
                NodeFolder {
                    name: "Group_File Output".into(),
                    directory: "/deep/z".into(),
                    slots: Vec::new(),
                },
            ],
            overwrite: true,
            placeholder: false,
        }
    }

    #[test]
    fn what_o_means() {
        let read =
            |typed| OutputChoice::read(typed, Path::new("/cwd"), Path::new("/blend")).unwrap();
        let folder = |path: &str| OutputChoice::Folder(path.into());
        let pattern = |path: &str, name: &str| OutputChoice::Pattern(path.into(), name.into());
        assert_eq!(read(None), OutputChoice::File);
        assert_eq!(read(Some("out")), folder("/cwd/out"));
        assert_eq!(read(Some("out/")), folder("/cwd/out"));
        assert_eq!(read(Some("/abs/../x/.")), folder("/x"));
        assert_eq!(read(Some("//frames")), folder("/blend/frames"));
        assert_eq!(read(Some("//")), folder("/blend"));
        assert_eq!(read(Some("shot_####")), pattern("/cwd", "shot_####"));
        assert_eq!(read(Some("//a/##.png")), pattern("/blend/a", "##.png"));
        assert_eq!(read(Some("a##/b")), folder("/cwd/a##/b"));
        assert_eq!(read(Some("a##/")), folder("/cwd/a##"));
    }

    #[test]
    fn names_as_blender_makes_them() {
        let check = |typed: &str, view: &str, own: &NamePattern, name: &str| {
            assert_eq!(renamed(typed, view, own).at(7), name, "{typed}")
        };
        let own = pattern("a_", 4, ".png");
        check("shot_####", "", &own, "shot_0007.png");
        check("##_shot", "", &own, "07_shot.png");
        check("a#b##.jpg", "", &own, "a#b07.png");
        check("v1.2_#", "", &own, "v1.2_7.png");
        check("é###", "_L", &pattern("a_", 4, "_L.exr"), "é007_L.exr");
        check("x####", "", &pattern("a_", 4, ""), "x0007");
    }

    #[test]
    fn elsewhere_keeps_everything_below_one_folder() {
        let plan = plan().redirect("got/x_###", Path::new("/here")).unwrap();
        assert_eq!(plan.expected(-3), [PathBuf::from("/here/got/x_-003.png")]);
        let folders: Vec<_> = (0..4).map(|index| plan.node_directory(index)).collect();
        assert_eq!(
            folders,
            [
                PathBuf::from("/here/got/Group_File Output"),
                PathBuf::from("/here/got/_"),
                PathBuf::from("/here/got/Group_File Output3"),
                PathBuf::from("/here/got/node-4")
            ]
        );
    }

    #[test]
    fn travels_as_a_note() {
        assert_eq!(OutputPlan::from_note(&plan().to_note()).unwrap(), plan());
        assert!(OutputPlan::from_note("").is_err());
        assert!(OutputPlan::from_note(&plan().to_note().replace("/own", "own")).is_err());
        let long = OutputPlan {
            nodes: vec![
                NodeFolder {
                    name: "n".repeat(1000),
                    directory: "/d".into(),
                    slots: Vec::new(),
                };
                100
            ],
            ..plan()
        };
        assert!(long.to_note().len() <= NOTE_MAX_BYTES);
    }

    #[test]
    fn skips_and_marks_as_blender_does() {
        let dir = tempfile::tempdir().unwrap();
        let plan = OutputPlan {
            directory: dir.path().join("new/out"),
            overwrite: false,
            placeholder: true,
            ..plan()
        };
        plan.check_writable().unwrap();
        std::fs::write(dir.path().join("new/out/a_0002.png"), "x").unwrap();
        put_placeholder(&plan, 1);
        put_placeholder(&plan, 2);
        let frames = "1..3".parse().unwrap();
        assert_eq!(skipped(&plan, &frames), [1, 2]);
        clear_placeholder(&plan, 1);
        clear_placeholder(&plan, 2);
        assert_eq!(skipped(&plan, &frames), [2]);
        assert_eq!(std::fs::read_dir(&plan.directory).unwrap().count(), 1);
        let file = OutputPlan {
            directory: dir.path().join("new/out/a_0002.png/x"),
            ..plan
        };
        assert!(matches!(
            file.check_writable(),
            Err(OutputError::Make { .. })
        ));
    }
}
