//! The place of a living Blender: started, given a scene, asked for frames, ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tessera_blender::{
    Assemble, Blender, Open, Opened, Render, RenderSlice, Rendered, RenderedSlice,
};
use tessera_merge::Display;
use tessera_model::{Build, FrameErrorKind};
use tokio_util::sync::CancellationToken;

use super::SlotContext;
use super::terms::remap;
use crate::desk::{FrameOrder, SceneKey, Warm};
use crate::failure::{Failure, in_full};
use crate::frame_dir::FrameDir;
use crate::trees::{OwnTree, Writer};

/// See the module.
#[derive(Debug)]
pub(super) struct Station {
    slot: usize,
    context: Arc<SlotContext>,
    living: Option<Living>,
    /// The tree that what is open lies in, if it is this slot's alone.
    own: Option<OwnTree>,
}

#[derive(Debug)]
struct Living {
    blender: Blender,
    build: Build,
    open: Option<(SceneKey, Opened)>,
    /// Scripts of a file have run in it. What they leave behind (handlers, settings, add-ons) outlives their file, and would
    /// be in force in the next one.
    scripted: bool,
    /// Libraries that what is open links and that are not there, as the job's machine names them.
    missing: Vec<String>,
    /// How what is open shows its colours, as last told, and the file that says so.
    display: Option<(PathBuf, Arc<Display>)>,
}

/// Why there is no picture.
#[derive(Debug)]
pub(super) enum NoFrame {
    Stopped,
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for NoFrame {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Station {
    pub(super) fn new(slot: usize, context: Arc<SlotContext>) -> Self {
        Self {
            slot,
            context,
            living: None,
            own: None,
        }
    }

    /// Whether a Blender lives here.
    pub(super) fn is_manned(&self) -> bool {
        self.living.is_some()
    }

    pub(super) fn warm(&self) -> Warm {
        let living = self.living.as_ref();
        Warm {
            build: living.map(|living| living.build.clone()),
            scene: living.and_then(|living| living.open.as_ref().map(|(scene, _)| scene.clone())),
            own_tree_bytes: self.own.as_ref().map(|own| own.bytes),
        }
    }

    /// Libraries that what is open links and that are not there.
    pub(super) fn missing(&self) -> &[String] {
        self.living.as_ref().map_or(&[], |living| &living.missing)
    }

    /// Returns when the Blender that lives here has ended by itself; never, if none does.
    pub(super) async fn deserted(&self) {
        match &self.living {
            Some(living) => living.blender.handle().ended().await,
            None => std::future::pending().await,
        }
    }

    /// The Blender that lived here, which is now to end.
    fn leave(&mut self) -> Option<Living> {
        self.context.roll.set(self.slot, None);
        self.living.take()
    }

    /// Ends the Blender now, with all its children.
    pub(super) async fn clear(&mut self) {
        if let Some(living) = self.leave() {
            living.blender.kill().await;
        }
        self.leave_own_tree().await;
    }

    /// Ends a Blender that nobody needs.
    pub(super) async fn retire(&mut self) {
        if let Some(living) = self.leave() {
            tracing::info!("{} is not needed for now and ends", living.build);
            if let Err(error) = living.blender.quit().await {
                tracing::debug!("{error}");
            }
        }
        self.leave_own_tree().await;
    }

    /// Nothing that is open lies in this slot's own tree any more.
    async fn leave_own_tree(&mut self) {
        if self.own.take().is_none() {
            return;
        }
        let (slot, trees) = (self.slot, self.context.trees.clone());
        let removing = tokio::task::spawn_blocking(move || trees.remove_own(slot));
        if let Ok(Err(error)) = removing.await {
            tracing::warn!(
                "cannot remove the files of slot {slot}, which it no longer needs: {error}"
            );
        }
    }

    /// Has the order's Blender living and its scene open. What that took; nothing, if both were there.
    pub(super) async fn load(
        &mut self,
        order: &FrameOrder,
        folder: &FrameDir,
        stop: &CancellationToken,
    ) -> Result<Duration, NoFrame> {
        let began = Instant::now();
        let warm = self.living.as_ref();
        let build = &order.offer.build;
        if warm.is_none_or(|living| living.build != *build) {
            self.have(build, folder, stop).await?;
        }
        let warm = self.living.as_ref();
        let open = warm.and_then(|living| living.open.as_ref());
        if !order.afresh && open.is_some_and(|(scene, _)| *scene == order.scene) {
            return Ok(Duration::ZERO);
        }
        if warm.is_some_and(|living| living.scripted) {
            self.have(build, folder, stop).await?;
        }
        self.open(order, folder, stop).await?;
        Ok(began.elapsed())
    }

    /// The Blender with the order's file open; a request that names no scene is about the file's active one.
    fn open_scene(&mut self, scene: &mut String) -> &mut Blender {
        let living = self.living.as_mut().expect("a scene was loaded");
        let (_, opened) = living.open.as_ref().expect("a scene was loaded");
        if scene.is_empty() {
            scene.clone_from(&opened.active_scene);
        }
        &mut living.blender
    }

    /// Renders a frame.
    pub(super) async fn render(
        &mut self,
        mut request: Render,
        folder: &FrameDir,
        stop: &CancellationToken,
    ) -> Result<Rendered, NoFrame> {
        let blender = self.open_scene(&mut request.scene);
        let log = folder.frame_log();
        let asked = blender.render(&request, &log);
        let rendered = stop.run_until_cancelled(asked).await;
        self.unless_stopped(rendered).await
    }

    /// Renders a part of a frame.
    pub(super) async fn slice(
        &mut self,
        mut request: RenderSlice,
        folder: &FrameDir,
        stop: &CancellationToken,
    ) -> Result<RenderedSlice, NoFrame> {
        let blender = self.open_scene(&mut request.scene);
        let log = folder.frame_log();
        let asked = blender.slice(&request, &log);
        let rendered = stop.run_until_cancelled(asked).await;
        self.unless_stopped(rendered).await
    }

    /// Makes a frame out of what was merged of its parts.
    pub(super) async fn assemble(
        &mut self,
        mut request: Assemble,
        folder: &FrameDir,
        stop: &CancellationToken,
    ) -> Result<Rendered, NoFrame> {
        let blender = self.open_scene(&mut request.scene);
        let log = folder.frame_log();
        let asked = blender.assemble(&request, &log);
        let rendered = stop.run_until_cancelled(asked).await;
        self.unless_stopped(rendered).await
    }

    /// How the scene shows its colours, as the living Blender wrote into this file. It writes one for each way that there is, and
    /// they go with it.
    pub(super) async fn display(&mut self, path: &Path) -> Option<Arc<Display>> {
        let living = self.living.as_mut()?;
        if let Some((of, display)) = &living.display
            && of == path
        {
            return Some(Arc::clone(display));
        }
        let from = path.to_owned();
        let reading = tokio::task::spawn_blocking(move || Display::read(&from));
        match reading.await.expect("reading does not panic") {
            Ok(display) => {
                let display = Arc::new(display);
                living.display = Some((path.to_owned(), Arc::clone(&display)));
                Some(display)
            }
            Err(error) => {
                tracing::warn!("frames have no previews: {}", in_full(&error));
                None
            }
        }
    }

    /// Has a Blender of this build living, in place of any other.
    pub(super) async fn have(
        &mut self,
        build: &Build,
        folder: &FrameDir,
        stop: &CancellationToken,
    ) -> Result<(), NoFrame> {
        self.clear().await;
        let local = self.context.blenders.borrow().get(build).cloned();
        let Some(local) = local else {
            let message = format!("this worker has no {build} any more: install it again");
            return Err(Failure::new(FrameErrorKind::Worker, message).into());
        };
        let log = folder.launch_log();
        let launched = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(NoFrame::Stopped),
            launched = Blender::launch(&local, &self.context.launch, &log) => launched,
        };
        match launched {
            Ok(blender) => {
                self.context.roll.set(self.slot, Some(blender.handle()));
                self.living = Some(Living {
                    blender,
                    build: build.clone(),
                    open: None,
                    scripted: false,
                    missing: Vec::new(),
                    display: None,
                });
                Ok(())
            }
            Err(error) => {
                // Full: somebody looks into it already.
                let _ = self.context.suspect.try_send(build.clone());
                Err(error.into())
            }
        }
    }

    /// Where the order's files lie. Simulations write caches beside the file, and read what they find there; scripts write what
    /// they like. Both get files of their own, where nothing is left of another try or job and nothing is left for one.
    async fn tree(
        &mut self,
        order: &FrameOrder,
        stop: &CancellationToken,
    ) -> Result<PathBuf, NoFrame> {
        self.leave_own_tree().await;
        let (slot, trees) = (self.slot, self.context.trees.clone());
        let manifest = order.scene.manifest;
        let writer = match (order.scene.autoexec, order.offer.in_order) {
            (true, _) => Writer::Scripts,
            (false, true) => Writer::Simulation,
            (false, false) => return Ok(trees.of(&manifest)),
        };
        let till = stop.clone();
        let making =
            tokio::task::spawn_blocking(move || trees.make_own(&manifest, slot, writer, &till));
        let made = making.await.map_err(std::io::Error::other);
        let own = match made.and_then(|made| made) {
            Ok(own) => own,
            Err(_) if stop.is_cancelled() => return Err(NoFrame::Stopped),
            Err(error) => return Err(Failure::of_io("lay out the job's files", &error).into()),
        };
        let path = own.path.clone();
        self.own = Some(own);
        Ok(path)
    }

    /// Opens the order's scene in the living Blender.
    async fn open(
        &mut self,
        order: &FrameOrder,
        folder: &FrameDir,
        stop: &CancellationToken,
    ) -> Result<(), NoFrame> {
        // What is open may lie in the tree that goes now.
        if let Some(living) = &mut self.living {
            living.open = None;
        }
        let root = self.tree(order, stop).await?;
        let shared = self.context.trees.of(&order.scene.manifest);
        let open = Open {
            path: root.join(&order.scene.main_file),
            autoexec: order.scene.autoexec,
            remap: remap(&root, &shared),
            read_only: false,
            addons: Vec::new(),
        };
        let living = self
            .living
            .as_mut()
            .expect("a scene is opened in a living Blender");
        living.scripted |= order.scene.autoexec;
        let log = folder.open_log();
        let opened = stop
            .run_until_cancelled(living.blender.open(&open, &log))
            .await;
        let opened = self.unless_stopped(opened).await?;
        let living = self.living.as_mut().expect("it has just answered");
        let named = |library: &PathBuf| match library.strip_prefix(&root) {
            Ok(below) => format!("/{}", below.display()),
            Err(_) => library.display().to_string(),
        };
        living.missing = opened.missing_libraries.iter().map(named).collect();
        living.open = Some((order.scene.clone(), opened));
        Ok(())
    }

    /// What came of a request; `None`: it was to be stopped. A Blender that can take no more is ended.
    async fn unless_stopped<T>(
        &mut self,
        answer: Option<Result<T, tessera_blender::Error>>,
    ) -> Result<T, NoFrame> {
        let lives = match &answer {
            Some(Ok(_)) => true,
            Some(Err(error)) => error.blender_lives(),
            None => false,
        };
        if !lives {
            self.clear().await;
        }
        match answer {
            Some(answer) => Ok(answer?),
            None => Err(NoFrame::Stopped),
        }
    }
}
