//! Which scene renders, with what, which frames, and where they go; and what the user should know before anything is sent.

use std::path::Path;

use tessera_blender::{Build, SceneInfo};
use tessera_model::{FrameSet, Overrides, Split, SplitBy, Step, StepKind};

use super::ask::Asked;
use super::elastic::elastic;
use super::hint::hint;
use super::room::grows_to;
use super::{Divide, MissingFile, PackError, PackOptions, PathMap};
use crate::output::{NodeFolder, OutputChoice, OutputPlan};

/// Things of one sort that warnings name one by one.
const NAMED_MAX: usize = 10;

/// What will be done.
pub(super) struct Choice {
    pub(super) scene: String,
    pub(super) step: Step,
    pub(super) output: OutputPlan,
    pub(super) warnings: Vec<String>,
}

pub(super) fn choose(
    options: &PackOptions,
    file: &Path,
    asked: &Asked,
) -> Result<Choice, PackError> {
    let scene = find_scene(options, file, asked)?;
    let mut warnings = Vec::new();
    check_files(file, asked, &options.maps, &mut warnings)?;
    let mut overrides = options.overrides.clone();
    overrides.scene = Some(scene.name.clone());
    overrides.engine = overrides
        .engine
        .map(|name| engine(&name, &asked.build))
        .transpose()?;
    check_renders(file, scene, asked, &overrides)?;
    let range = &scene.frames;
    let frames = match &options.frames {
        Some(frames) => frames.clone(),
        None => FrameSet::range(range.start, range.end, range.step).map_err(|source| {
            PackError::Frames {
                scene: scene.name.clone(),
                source,
            }
        })?,
    };
    warn(scene, asked, &overrides, &mut warnings);
    let output = plan(scene, asked, &overrides);
    let in_order = !scene.order_dependent.is_empty();
    let split = split(options, scene, &overrides, in_order, &mut warnings)?;
    let split = split.filter(|_| !in_order);
    check_room(options, scene, &frames, split.as_ref(), &warnings)?;
    Ok(Choice {
        scene: scene.name.clone(),
        step: Step {
            kind: StepKind::Render(overrides),
            frames,
            in_order,
            by_frame: false,
            beside: false,
            split,
            tiles: Vec::new(),
            chunking: None,
            replaced: false,
        },
        output,
        warnings,
    })
}

/// Most times that frames are halved, and least pixels of a tile: below, what is rendered around each would cost more than it is worth.
const HALVINGS_MAX: u32 = 9;
const TILE_PIXELS_MIN: u64 = 64 * 64;

/// How a frame may be divided among workers; none if it is rendered whole.
fn split(
    options: &PackOptions,
    scene: &SceneInfo,
    overrides: &Overrides,
    in_order: bool,
    warnings: &mut Vec<String>,
) -> Result<Option<Split>, PackError> {
    let mut reasons = scene.split.reasons.clone();
    let other_engine = overrides
        .engine
        .as_ref()
        .is_some_and(|engine| *engine != scene.engine);
    if other_engine {
        reasons = vec!["the job asks for another render engine than the file".into()];
    }
    if in_order {
        reasons.push("its frames depend on the frames before them".into());
    }
    let cannot = !scene.split.tiles || other_engine || in_order;
    let [width, height] = scene.resolution;
    let samples = overrides.samples.unwrap_or(scene.sampling.samples);
    let no_ranges = match samples {
        1 => "they have a single sample".to_owned(),
        _ if !scene.split.samples => reasons.join("; "),
        _ if scene.split.samples_max.is_some_and(|max| samples > max) => {
            "this Blender's pattern of so many samples depends on how many of them are rendered"
                .to_owned()
        }
        _ => String::new(),
    };
    let by = match options.divide {
        Divide::Off => return Ok(None),
        Divide::Noise if !cannot => match elastic(scene, samples) {
            Ok(split) => return Ok(Some(split)),
            Err(because) => {
                warnings.push(format!(
                    "frames are rendered with the samples that the scene {} asks for and not, farm-wide, where noise is left: {because}",
                    scene.name
                ));
                halved(width, height)
            }
        },
        Divide::Grid { columns, rows } => SplitBy::Grid { columns, rows },
        Divide::Samples if no_ranges.is_empty() => SplitBy::Samples,
        Divide::Auto | Divide::Tiles | Divide::Samples | Divide::Noise => halved(width, height),
    };
    if cannot {
        let because = reasons.join("; ");
        if let Divide::Grid { .. } = options.divide {
            return Err(PackError::Tiles {
                scene: scene.name.clone(),
                because,
            });
        }
        // Of an animation workers take whole frames anyway.
        let is_still = options
            .frames
            .as_ref()
            .is_some_and(|frames| frames.len() == 1);
        if (is_still || options.divide != Divide::Auto) && !because.is_empty() {
            let what = match is_still {
                true => "one worker renders the whole frame",
                false => "workers render whole frames",
            };
            warnings.push(format!(
                "{what}, since the scene {} cannot be divided among workers: {because}",
                scene.name
            ));
        }
        return Ok(None);
    }
    if options.divide == Divide::Samples && by != SplitBy::Samples {
        warnings.push(format!(
            "frames are divided into tiles, since those of the scene {} cannot be divided by their samples: {no_ranges}",
            scene.name
        ));
    }
    let grows_to = match by {
        SplitBy::Samples => grows_to(scene, samples, options.room)?,
        SplitBy::Halvings(_) | SplitBy::Grid { .. } | SplitBy::Chosen { .. } => None,
    };
    let split = Split {
        width,
        height,
        samples,
        first: 0,
        grows_to,
        noise: None,
        by,
    };
    split.check().map_err(|because| PackError::Tiles {
        scene: scene.name.clone(),
        because,
    })?;
    Ok(Some(split))
}

fn halved(width: u32, height: u32) -> SplitBy {
    let tiles = u64::from(width) * u64::from(height) / TILE_PIXELS_MIN;
    let halvings = tiles.checked_ilog2().unwrap_or(0).min(HALVINGS_MAX);
    SplitBy::Halvings(halvings as u8)
}

/// Refuses what samples were to be added to later and cannot.
fn check_room(
    options: &PackOptions,
    scene: &SceneInfo,
    frames: &FrameSet,
    split: Option<&Split>,
    warnings: &[String],
) -> Result<(), PackError> {
    let Some(room) = options.room else {
        return Ok(());
    };
    let because = match split {
        _ if frames.len() > 1 => "they are an animation, and it is for single frames".to_owned(),
        _ if options.divide != Divide::Samples => {
            "it is for frames that are divided by their samples, with --split samples".to_owned()
        }
        Some(split) if split.by == SplitBy::Samples && split.samples >= room => format!(
            "they have {} samples without any added, and {room} are no more",
            split.samples
        ),
        Some(split) if split.by == SplitBy::Samples => return Ok(()),
        // The last that was said of it.
        _ => warnings.last().cloned().unwrap_or_default(),
    };
    Err(PackError::Room {
        scene: scene.name.clone(),
        because,
    })
}

fn find_scene<'a>(
    options: &PackOptions,
    file: &Path,
    asked: &'a Asked,
) -> Result<&'a SceneInfo, PackError> {
    let scan = &asked.scan;
    let name = options
        .overrides
        .scene
        .as_ref()
        .unwrap_or(&scan.active_scene);
    scan.scenes
        .iter()
        .find(|scene| scene.name == *name)
        .ok_or_else(|| PackError::Scene {
            file: file.to_owned(),
            name: name.clone(),
            scenes: scan.scenes.iter().map(|scene| scene.name.clone()).collect(),
        })
}

/// Refuses missing files; those that can be done without are only said.
fn check_files(
    file: &Path,
    asked: &Asked,
    maps: &[PathMap],
    warnings: &mut Vec<String>,
) -> Result<(), PackError> {
    let absent = asked.scan.files.iter().filter(|needed| !needed.exists);
    let (optional, missing): (Vec<_>, Vec<_>) = absent.partition(|needed| needed.optional);
    let name = |needed: &&tessera_blender::ExternalFile| MissingFile {
        path: needed.path.clone(),
        kind: needed.kind,
        used_by: needed.used_by.clone(),
        hint: hint(&needed.stored, &needed.path, maps),
    };
    if !missing.is_empty() {
        return Err(PackError::Missing {
            file: file.to_owned(),
            missing: missing.iter().map(name).collect(),
        });
    }
    let texts: Vec<_> = optional
        .iter()
        .map(|needed| name(needed).to_string())
        .collect();
    warnings.extend(bounded(&texts, |text| {
        format!("{text} is not there; frames come out the same without it")
    }));
    Ok(())
}

/// An engine's identifier, from that or a name that people use.
fn engine(name: &str, build: &Build) -> Result<String, PackError> {
    let same = |wanted: &str| {
        build
            .engines
            .iter()
            .find(|engine| engine.eq_ignore_ascii_case(wanted))
            .cloned()
    };
    let found = same(name)
        .or_else(|| same(&format!("BLENDER_{name}")))
        .or_else(|| same(&format!("BLENDER_{name}_NEXT")));
    found.ok_or_else(|| PackError::Engine {
        name: name.to_owned(),
        engines: build.engines.clone(),
    })
}

fn check_renders(
    file: &Path,
    scene: &SceneInfo,
    asked: &Asked,
    overrides: &Overrides,
) -> Result<(), PackError> {
    if let Some(addon) = asked.scan.addons.iter().find(|addon| !addon.present) {
        return Err(PackError::Addon {
            file: file.to_owned(),
            name: addon.name.clone(),
            used_by: addon.used_by.clone(),
        });
    }
    let engine = overrides.engine.as_ref().unwrap_or(&scene.engine);
    if !asked.build.engines.contains(engine) {
        return Err(PackError::Engine {
            name: engine.clone(),
            engines: asked.build.engines.clone(),
        });
    }
    // The sequencer renders without a camera; everything else needs one.
    if scene.camera.is_none() && !scene.sequencer {
        return Err(PackError::NoCamera {
            file: file.to_owned(),
            scene: scene.name.clone(),
        });
    }
    Ok(())
}

fn warn(scene: &SceneInfo, asked: &Asked, overrides: &Overrides, warnings: &mut Vec<String>) {
    if scene.output.is_movie && !overrides.exr {
        warnings.push(format!(
            "the file asks for a movie ({}): PNG frames are rendered instead",
            scene.output.format
        ));
    }
    let notes: Vec<_> = scene
        .order_dependent
        .iter()
        .map(|note| format!("{}: {}", note.datablock, note.text))
        .collect();
    if !notes.is_empty() {
        let list = bounded(&notes, Clone::clone).join("; ");
        warnings.push(format!("frames depend on the frames before them, so one worker renders them in order ({list}): bake it to use every worker"));
    }
    if !overrides.autoexec {
        let scripts: Vec<_> = asked
            .scan
            .scripts
            .iter()
            .map(|script| format!("{}: {}", script.datablock, script.text))
            .collect();
        warnings.extend(bounded(&scripts, |text| format!("{text} needs Python and stays off, so frames may differ: allow it with --scripts if you trust the file")));
    }
    if scene.sampling.time_limit_seconds > 0.0 {
        let limit = scene.sampling.time_limit_seconds;
        warnings.push(format!("Cycles' time limit of {limit} s is on: how clean a frame becomes depends on the machine that renders it"));
    }
    warnings.extend(bounded(&asked.scan.notes, Clone::clone));
}

/// The first of many texts, each as a sentence, and how many more there are.
fn bounded(texts: &[String], sentence: impl Fn(&String) -> String) -> Vec<String> {
    let mut out: Vec<_> = texts.iter().take(NAMED_MAX).map(sentence).collect();
    if texts.len() > NAMED_MAX {
        out.push(format!(
            "… and {} more of the same sort",
            texts.len() - NAMED_MAX
        ));
    }
    out
}

fn plan(scene: &SceneInfo, asked: &Asked, overrides: &Overrides) -> OutputPlan {
    let output = &scene.output;
    let directory = match &asked.output {
        OutputChoice::File => output.directory.clone(),
        OutputChoice::Folder(folder) | OutputChoice::Pattern(folder, _) => folder.clone(),
    };
    let nodes = asked.scan.file_outputs.iter().map(|node| NodeFolder {
        name: node.node.clone(),
        directory: node.directory.clone(),
        slots: node.slots.clone(),
    });
    OutputPlan {
        directory,
        names: if overrides.exr {
            output.exr_names.clone()
        } else {
            output.names.clone()
        },
        views: scene
            .views
            .iter()
            .map(|view| (view.name.clone(), view.suffix.clone()))
            .collect(),
        nodes: nodes.collect(),
        overwrite: output.overwrite,
        placeholder: output.placeholder,
    }
}
