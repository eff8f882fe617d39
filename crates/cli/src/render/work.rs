//! Which frames are still to be rendered.
//!
//! A frame is left out if an earlier run of the same command left it, exactly as it is now, or if the file says that
//! frames that are there are not to be overwritten. A file whose frames depend on their order is rendered whole
//! as long as any of it is missing: a part of it would come out differently. Frames of another Blender than the one that would
//! render the missing ones are rendered again: an animation is of one Blender.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::Result;
use tessera_client::{Ledger, Packed, skipped};
use tessera_model::{Build, FrameSet};

use crate::context::Context;
use crate::exit::{Status, stop};

/// What is to be done of what was asked for.
pub(crate) struct Work {
    /// All frames asked for.
    pub(crate) asked: FrameSet,
    /// Frames that are there from an earlier run, each with its Blender if that is known.
    present: BTreeMap<i32, Option<Build>>,
    /// Frames that the file says are not to be rendered again.
    pub(crate) skipped: u32,
    /// Frames to render; none if there is nothing to do.
    pub(crate) missing: Option<FrameSet>,
    /// The record of what is there.
    pub(crate) ledger: Ledger,
}

impl Work {
    /// Looks at the output folder. Reads every frame that the record names.
    pub(crate) async fn survey(context: &Context, packed: &Packed, again: bool) -> Result<Self> {
        packed
            .output
            .check_writable()
            .map_err(|error| stop(Status::Usage, error.to_string()))?;
        let ledger = Ledger::open(&context.folders, &packed.key(), packed.inputs.clone())?;
        let asked = packed.frames().clone();
        let plan = packed.output.clone();
        tokio::task::spawn_blocking(move || {
            let present = if again {
                Vec::new()
            } else {
                ledger.present(&asked)
            };
            let skipped = skipped(&plan, &asked);
            let present: BTreeMap<i32, Option<Build>> = present
                .into_iter()
                .map(|frame| (frame, ledger.build_of(frame).cloned()))
                .collect();
            let skipped_set: HashSet<i32> = skipped
                .iter()
                .copied()
                .filter(|frame| !present.contains_key(frame))
                .collect();
            let missing = asked
                .iter()
                .filter(|frame| !present.contains_key(frame) && !skipped_set.contains(frame));
            Ok(Self {
                missing: FrameSet::of(missing).ok(),
                present,
                skipped: skipped_set.len() as u32,
                asked,
                ledger,
            })
        })
        .await?
    }

    /// Frames that nothing is done for, because they are there.
    pub(crate) fn there(&self) -> u32 {
        self.present.len() as u32 + self.skipped
    }

    /// Frames that an earlier run left; none if there are none.
    pub(crate) fn present(&self) -> Option<FrameSet> {
        FrameSet::of(self.present.keys().copied()).ok()
    }

    /// Nothing is missing, and all is of one Blender as far as is known.
    pub(crate) fn is_whole(&self) -> bool {
        let builds: BTreeSet<_> = self.present.values().flatten().collect();
        self.missing.is_none() && builds.len() <= 1
    }

    /// Refuses frames in the place of files that they are made of.
    pub(crate) fn spares_sources(&self, packed: &Packed) -> Result<()> {
        let sources = packed.sources();
        for frame in self.missing.iter().flat_map(FrameSet::iter) {
            if let Some(path) = packed
                .output
                .expected(frame)
                .iter()
                .find(|path| sources.has(path))
            {
                let message = format!(
                    "frame {frame} would take the place of {}, which the scene itself uses: choose another folder with -o",
                    path.display()
                );
                return Err(stop(Status::Usage, message));
            }
        }
        Ok(())
    }

    /// Frames that are there and that another Blender than this rendered.
    pub(crate) fn of_others(&self, build: &Build) -> Option<FrameSet> {
        let other = |of: &Option<Build>| of.as_ref().is_some_and(|of| of != build);
        let frames = self.present.iter().filter(|(_, of)| other(of));
        FrameSet::of(frames.map(|(frame, _)| *frame)).ok()
    }

    /// What is to be said if some of what is there is not of the Blender that renders the rest; `then` says what follows.
    pub(crate) fn mixed(&self, build: &Build, then: &str) -> Option<String> {
        let frames = self.of_others(build)?;
        let others: BTreeSet<&Build> = frames
            .iter()
            .filter_map(|frame| self.present.get(&frame)?.as_ref())
            .collect();
        // Two builds of one version differ in what they were built from only.
        let same_version = others
            .iter()
            .any(|other| other.to_string() == build.to_string());
        let name = |build: &Build| match same_version {
            true => format!("{build} (build {})", build.hash),
            false => build.to_string(),
        };
        let by: Vec<_> = others.into_iter().map(name).collect();
        let what = if frames.len() == 1 { "frame" } else { "frames" };
        Some(format!(
            "{what} {frames} came from {}, and the rest will come from {}: {then}",
            by.join(" and "),
            name(build)
        ))
    }

    /// Has what is there of other Blenders rendered again.
    pub(crate) fn only_of(&mut self, build: &Build) {
        let Some(others) = self.of_others(build) else {
            return;
        };
        let stale = |frame: i32| others.position(frame).is_some();
        let was_missing = |frame| {
            let missing = self.missing.as_ref();
            missing.is_some_and(|frames| frames.position(frame).is_some())
        };
        let missing = self
            .asked
            .iter()
            .filter(|frame| stale(*frame) || was_missing(*frame));
        self.missing = FrameSet::of(missing).ok();
        self.present.retain(|frame, _| !stale(*frame));
    }

    /// Narrows the job to what is missing.
    pub(crate) fn narrow(&self, packed: &mut Packed) {
        if let (Some(missing), [step]) = (&self.missing, packed.steps.as_mut_slice())
            && !step.in_order
        {
            step.frames = missing.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_client::{Folders, FrameInputs, LedgerKey, OutputPlan};
    use tessera_model::{BuildKind, Overrides};

    fn build(version: &str, hash: &str) -> Build {
        Build {
            version: version.parse().unwrap(),
            hash: hash.into(),
            kind: BuildKind::Executable,
        }
    }

    fn work(home: &std::path::Path, present: &[(i32, Option<Build>)], missing: &str) -> Work {
        let plan = OutputPlan {
            directory: home.to_owned(),
            names: Vec::new(),
            views: BTreeMap::new(),
            nodes: Vec::new(),
            overwrite: true,
            placeholder: false,
        };
        let root = tessera_blobs::BlobRef::empty();
        let key = LedgerKey::of(&root, "a.blend", &Overrides::default(), &plan, None, None);
        Work {
            asked: "1..6".parse().unwrap(),
            present: present.iter().cloned().collect(),
            skipped: 0,
            missing: missing.parse().ok(),
            ledger: Ledger::open(&Folders::at(home), &key, FrameInputs::default()).unwrap(),
        }
    }

    #[test]
    fn frames_of_another_blender_are_missing() {
        let home = tempfile::tempdir().unwrap();
        let (old, new) = (build("3.4.0", "a"), build("3.4.1", "b"));
        let there = [
            (1, Some(old.clone())),
            (2, Some(new.clone())),
            (3, None),
            (4, Some(old)),
        ];
        let mut work = work(home.path(), &there, "5..6");
        let said = work.mixed(&new, "again").unwrap();
        assert_eq!(
            said,
            "frames 1,4 came from Blender 3.4.0, and the rest will come from Blender 3.4.1: again"
        );
        work.only_of(&new);
        let missing: Vec<_> = work.missing.as_ref().unwrap().iter().collect();
        assert_eq!((missing, work.there()), (vec![1, 4, 5, 6], 2));
        assert_eq!(work.mixed(&new, ""), None);
        let rebuilt = build("3.4.1", "c");
        let said = work.mixed(&rebuilt, "").unwrap();
        assert!(
            said.contains("(build b)") && said.contains("(build c)"),
            "{said}"
        );
    }

    #[test]
    fn whole_is_all_of_one_blender() {
        let home = tempfile::tempdir().unwrap();
        let (old, new) = (build("3.4.0", "a"), build("3.4.1", "a"));
        let all = |last: &Build| {
            let mut there: Vec<_> = (1..=5).map(|frame| (frame, Some(old.clone()))).collect();
            there.push((6, Some(last.clone())));
            work(home.path(), &there, "")
        };
        assert!(all(&old).is_whole());
        let mut mixed = all(&new);
        assert!(!mixed.is_whole());
        mixed.only_of(&new);
        assert_eq!(mixed.missing.map(|frames| frames.len()), Some(5));
    }
}
