# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can do: render, send, fetch, watch, connect, steer. All of it can be called from scripts as well.

Called from a script in a window an operator starts its work and returns; with `wait`, and always in the background, it
returns when the work is over, and fails if that failed.
"""

import re
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from . import drawing, local, preferences, program, scene_file, show, state_folder, works
from .farm import farm
from .works import Asking, Connecting, Inviting, Listing, LookingAround, Sending, Work

Result = set[str]

# Errors that are the user's to mend: said, never traced.
MISTAKES = (program.ProgramMissingError, scene_file.CannotSendError, local.CannotStartError, OSError)

TICK_S = 0.1

MONITOR = "Web monitor"

# Pages of the monitor that are served at once.
MONITORS_MAX = 4


class Says:
    """Operators whose mistakes are said in one line."""

    if TYPE_CHECKING:

        def report(self, kinds: set[str], message: str) -> None:
            """Blender's own."""

    def execute(self, context: bpy.types.Context) -> Result:
        try:
            return self.act(context)
        except MISTAKES as error:
            return self.refuse(str(error))

    def act(self, context: bpy.types.Context) -> Result:
        """What it does."""
        raise NotImplementedError

    def refuse(self, message: str) -> Result:
        """Says why not."""
        self.report({"ERROR"}, message)
        return {"CANCELLED"}

    def wait_for(self, work: Work) -> Result:
        """Waits for a work's end, and ends like it."""
        work.wait()
        for warning in work.warnings:
            self.report({"WARNING"}, warning)
        if work.outcome is works.Outcome.FAILED:
            return self.refuse(work.message)
        self.report({"INFO"}, f"{work.title}: {work.message}")
        return {"FINISHED"}


class Waits(Says):
    """Operators that start something which takes a while."""

    wait: BoolProperty(
        name="Wait", description="Return when it is over, not when it has begun", default=False, options={"SKIP_SAVE"}
    )

    _timer: Any = None
    _work: Work | None = None

    def begin(self, context: bpy.types.Context) -> Work:
        """Starts it."""
        raise NotImplementedError

    def act(self, context: bpy.types.Context) -> Result:
        farm.look()
        work = self.begin(context)
        return self.wait_for(work) if self.wait or bpy.app.background else {"FINISHED"}


class Renders(Waits):
    """Operators that wait for frames, and show them."""

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
        if self.wait or bpy.app.background or context.window is None:
            return self.execute(context)
        farm.look()
        try:
            self._work = self.begin(context)
        except MISTAKES as error:
            return self.refuse(str(error))
        show.open_editor(context)
        manager = context.window_manager
        self._timer = manager.event_timer_add(TICK_S, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        work = self._work
        if work is None or not work.running:
            return self.through(context)
        if event.type == "ESC" and event.value == "PRESS":
            Stopping.work = work
            bpy.ops.wm.call_menu(name=Stopping.bl_idname)
            return {"RUNNING_MODAL"}
        if event.type == "TIMER":
            text = f"{work.title}: {work.headline()}    Esc: stop, or leave it to the farm"
            context.workspace.status_text_set(text)
        return {"PASS_THROUGH"}

    def through(self, context: bpy.types.Context) -> Result:
        """The end of it, in the status bar."""
        self.cancel(context)
        work = self._work
        if work is None or work.outcome is works.Outcome.FAILED:
            return self.refuse(work.message if work else "It is over")
        for warning in work.warnings:
            self.report({"WARNING"}, warning)
        self.report({"INFO"}, f"{work.title}: {work.message}")
        return {"FINISHED"}

    def cancel(self, context: bpy.types.Context) -> None:
        """The window goes; the work does not."""
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        context.workspace.status_text_set(None)


class Stopping(bpy.types.Menu):
    """What Esc asks."""

    bl_idname = "TESSERA_MT_stopping"
    bl_label = "Stop Rendering?"
    work: "Work | None" = None

    def draw(self, _context: bpy.types.Context) -> None:
        work = Stopping.work
        layout = self.layout
        if work is None or not work.running:
            layout.label(text="It is over already")
            return
        number = work.number
        layout.operator("tessera.end_work", text="Stop Rendering", icon="CANCEL").number = number
        row = layout.row()
        row.enabled = work.can_be_left()
        leave = row.operator("tessera.end_work", text="Leave It to the Farm", icon="FORWARD")
        leave.number, leave.leave = number, True


def render(context: bpy.types.Context, command: str, title: str, frames: str = "", kind: type[Work] = Work) -> Work:
    """Hands the scene to the program."""
    scene = context.scene
    preferences.find_program()
    file = scene_file.take(scene.tessera.source, scene)
    arguments = [command, *works.scene_arguments(scene, file, frames)]
    return kind(f"{title} of {works.own_name(scene)}" if kind is Work else title, arguments, file)


def shows_frames(work: Work) -> Work:
    """Its frames are shown as they come."""
    work.on_frame = lambda done: show.frame(done.newest)
    return work


class RenderStill(Renders, bpy.types.Operator):
    """Render this frame on the farm, and put it into the output folder"""

    bl_idname = "tessera.render_still"
    bl_label = "Render Still"

    def begin(self, context: bpy.types.Context) -> Work:
        frame = context.scene.frame_current
        return shows_frames(render(context, "render", f"Frame {frame}", str(frame)))


class RenderAnimation(Renders, bpy.types.Operator):
    """Render the animation on the farm. Frames appear in the image editor and in the output folder as they finish"""

    bl_idname = "tessera.render_animation"
    bl_label = "Render Animation"

    def begin(self, context: bpy.types.Context) -> Work:
        return shows_frames(render(context, "render", "Animation"))


class SendJob(Waits, bpy.types.Operator):
    """Hand the animation to the farm, and bring its frames later"""

    bl_idname = "tessera.send_job"
    bl_label = "Send Job"

    def begin(self, context: bpy.types.Context) -> Work:
        return render(context, "submit", f"Job {works.own_name(context.scene)}", kind=Sending)


class SendCurrentFrame(Waits, bpy.types.Operator):
    """Hand this frame to the farm, and bring it later"""

    bl_idname = "tessera.send_current_frame"
    bl_label = "Send Current Frame"

    def begin(self, context: bpy.types.Context) -> Work:
        frame = context.scene.frame_current
        return render(context, "submit", f"Frame {frame} of {works.own_name(context.scene)}", str(frame), Sending)


class GetResults(Waits, bpy.types.Operator):
    """Bring what a job has finished into its output folder"""

    bl_idname = "tessera.get_results"
    bl_label = "Get Results"

    job: IntProperty(name="Job", description="Its number; 0 for the one chosen in the list", default=0, min=0)
    folder: StringProperty(name="Folder", description="Where to; empty for the job's own folder", subtype="DIR_PATH")

    def begin(self, context: bpy.types.Context) -> Work:
        job = chosen_job(context, self.job)
        where = ["--output", bpy.path.abspath(self.folder)] if self.folder else []
        return shows_frames(Work(f"Results of job {job}", ["fetch", str(job), *where], job=job))


class ResumeWatching(Renders, bpy.types.Operator):
    """Wait again for the frames of a job that is on the farm, as after a restart of Blender"""

    bl_idname = "tessera.resume_watching"
    bl_label = "Resume Watching"

    job: IntProperty(name="Job", description="Its number; 0 for all that were waited for", default=0, min=0)

    def begin(self, context: bpy.types.Context) -> Work:
        watched = {work.job for work in works.running()}
        remembered = state_folder.remembered_jobs()
        wanted = [self.job] if self.job else [job for job in sorted(remembered) if job not in watched]
        if not wanted:
            raise scene_file.CannotSendError("There is no job that was waited for")
        started = [self._watch(job, remembered.get(job, {}).get("name", f"Job {job}")) for job in wanted]
        if bpy.app.background or self.wait:
            for work in started[:-1]:
                work.wait()
        return started[-1]

    def _watch(self, job: int, title: str) -> Work:
        state_folder.remember_job(job, title, "")
        return shows_frames(Work(title, ["fetch", str(job), "--wait"], job=job))


class EndWork(Says, bpy.types.Operator):
    """Stop what is under way, or leave it to the farm"""

    bl_idname = "tessera.end_work"
    bl_label = "Stop"

    number: IntProperty(description="Which, by its number", default=0)
    leave: BoolProperty(description="The farm goes on; only the waiting ends", options={"SKIP_SAVE"})

    def act(self, _context: bpy.types.Context) -> Result:
        work = works.find(self.number)
        if work is None:
            return self.refuse("That is over")
        if not work.running:
            works.works.remove(work)
        elif self.leave:
            work.leave()
        else:
            work.cancel()
        drawing.draw()
        return {"FINISHED"}


class Dismiss(Says, bpy.types.Operator):
    """Show this no more"""

    bl_idname = "tessera.dismiss"
    bl_label = "Dismiss"

    def act(self, _context: bpy.types.Context) -> Result:
        works.last_words.say("")
        return {"FINISHED"}


class Connect(Waits, bpy.types.Operator):
    """Become a client of a farm, by the code that its admin gave you"""

    bl_idname = "tessera.connect"
    bl_label = "Connect"

    code: StringProperty(name="Code", description="The code, or the whole link that holds it")
    address: StringProperty(name="Address", description="Address of the manager, where it is not found by itself")

    def begin(self, context: bpy.types.Context) -> Work:
        code = (self.code or context.window_manager.tessera.code).strip()
        if not code:
            raise scene_file.CannotSendError("Type the code that the farm's admin gave you")
        where = ["--manager", self.address] if self.address else []
        context.window_manager.tessera.code = ""
        return Connecting("Connecting", ["connect", code, *where])


class FindFarms(Waits, bpy.types.Operator):
    """List the farms on this network"""

    bl_idname = "tessera.find_farms"
    bl_label = "Find Farms"

    def begin(self, _context: bpy.types.Context) -> Work:
        return LookingAround()


class Invite(Waits, bpy.types.Operator):
    """Make a code that lets a machine or a user into the farm, and put it into the clipboard. Takes the farm's admin"""

    bl_idname = "tessera.invite"
    bl_label = "Make Code"

    kind: EnumProperty(
        items=(("worker", "Worker", "A machine that renders"), ("user", "User", "A person who sends jobs"))
    )
    user: StringProperty(name="User", description="What the user is called on the farm")

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
        return context.window_manager.invoke_props_dialog(self) if self.kind == "user" else self.execute(context)

    def draw(self, _context: bpy.types.Context) -> None:
        self.layout.prop(self, "user")

    def begin(self, _context: bpy.types.Context) -> Work:
        if self.kind == "worker":
            return Inviting("Code for a worker", ["cert", "create"])
        if not self.user.strip():
            raise scene_file.CannotSendError("Say what the user is called")
        return Inviting(
            "Code for a user", ["token", "create", "--user", self.user.strip(), "--role", "artist", "--code"]
        )


class LookAgain(Says, bpy.types.Operator):
    """Look for the farm anew"""

    bl_idname = "tessera.look_again"
    bl_label = "Look Again"

    def act(self, _context: bpy.types.Context) -> Result:
        farm.restart()
        farm.look()
        return {"FINISHED"}


LOCAL_KINDS = (
    ("manager", "Manager", "The program that hands out the work of a farm"),
    ("worker", "Worker", "The program that renders for a farm"),
)


class StartLocal(Says, bpy.types.Operator):
    """Start a manager or a worker on this computer. It goes on when Blender is closed, until it is stopped"""

    bl_idname = "tessera.start_local"
    bl_label = "Start"

    kind: EnumProperty(items=LOCAL_KINDS)
    arguments: StringProperty(description="Further words for the program, one a line", options={"HIDDEN", "SKIP_SAVE"})

    def act(self, context: bpy.types.Context) -> Result:
        arguments = self.arguments.split("\n") if self.arguments else []
        known = preferences.get()
        code = context.window_manager.tessera.code.strip()
        if self.kind == "worker" and code:
            arguments += ["--join", code]
            context.window_manager.tessera.code = ""
        if self.kind == "worker" and known is not None:
            arguments += ["--nice", "19"] if known.worker_nice else []
            arguments += ["--threads", str(known.worker_threads)] if known.worker_threads else []
            arguments += ["--while-idle", f"{known.worker_idle_minutes}m"] if known.worker_idle_minutes else []
        local.start(self.kind, arguments)
        farm.restart()
        farm.look()
        return {"FINISHED"}


class StopLocal(Says, bpy.types.Operator):
    """Stop the manager or the worker on this computer. What is done stays; others render the rest"""

    bl_idname = "tessera.stop_local"
    bl_label = "Stop"

    kind: EnumProperty(items=LOCAL_KINDS)

    def act(self, _context: bpy.types.Context) -> Result:
        local.stop(self.kind)
        drawing.draw()
        return {"FINISHED"}


class OpenMonitor(Says, bpy.types.Operator):
    """Open the farm's web page in your browser, logged in"""

    bl_idname = "tessera.open_monitor"
    bl_label = "Open Monitor"

    def act(self, _context: bpy.types.Context) -> Result:
        # Each serves the page that it opened: the oldest go, so that there are never many.
        for page in [work for work in works.works if work.title == MONITOR][: -MONITORS_MAX + 1 or None]:
            if page.running:
                page.cancel()
        Asking(MONITOR, ["web"])
        return {"FINISHED"}


class ListFiles(Waits, bpy.types.Operator):
    """Show every file that the scene needs, and what is missing"""

    bl_idname = "tessera.list_files"
    bl_label = "List Files"

    def begin(self, context: bpy.types.Context) -> Work:
        scene = context.scene
        return Listing(scene_file.take("MEMORY", scene), scene.tessera.frames.strip())

    def wait_for(self, work: Work) -> Result:
        work.wait()
        missing = [file["path"] for file in works.needed.missing()]
        if missing:
            return self.refuse(f"Missing: {', '.join(missing)}")
        return {"FINISHED"} if work.outcome is works.Outcome.DONE else self.refuse(work.message)


class SelectUser(Says, bpy.types.Operator):
    """Select the object that needs this file"""

    bl_idname = "tessera.select_user"
    bl_label = "Select"

    user: StringProperty(description="Who needs it, in the program's words: image 'wood.png'")

    def act(self, context: bpy.types.Context) -> Result:
        block = datablock(self.user)
        if block is None:
            return self.refuse(f"This file has no {self.user} of its own: it may lie in a linked library")
        users = [each for each in context.view_layer.objects if uses(each, block)]
        for each in context.view_layer.objects:
            each.select_set(each in users)
        if users:
            context.view_layer.objects.active = users[0]
        if isinstance(block, bpy.types.Image):
            for window in context.window_manager.windows:
                for area in window.screen.areas:
                    if area.type == "IMAGE_EDITOR":
                        area.spaces.active.image = block
        names = ", ".join(each.name for each in users)
        self.report({"INFO"}, f"{self.user}: used by {names}" if names else f"{self.user}: no object here uses it")
        return {"FINISHED"}


def datablock(user: str) -> Any:
    """The datablock that is meant by `image 'wood.png'`, or by `ocean of object 'Sea'`."""
    kind, _, rest = user.partition(" '")
    kind = kind.rpartition(" of ")[2]
    name, _, library = rest.rpartition("'")
    if library:
        return None
    for blocks in bpy.data.bl_rna.properties:
        if blocks.type == "COLLECTION":
            called = re.sub("(?<=[a-z])(?=[A-Z])", " ", blocks.fixed_type.name).lower()
            if kind == called or kind.endswith(" " + called):
                return getattr(bpy.data, blocks.identifier).get(name)
    return None


def uses(thing: bpy.types.Object, block: Any) -> bool:
    """Whether an object is the datablock, or one of its materials, or its data, uses that."""
    if thing == block or thing.data == block:
        return True
    users = bpy.data.user_map(subset=[block]).get(block, set())
    for slot in thing.material_slots:
        material = slot.material
        if material is not None and (material in users or material.node_tree in users):
            return True
    return thing in users or thing.data in users


WORKER_ACTIONS = (
    ("pause", "Pause", "Give it no new work; frames that render are finished"),
    ("resume", "Resume", "Give it work again"),
    ("drain", "Drain", "Give it no new work, and end its program once it is idle"),
    ("block", "Block", "Give it no work at all, and take back what it renders"),
    ("unblock", "Unblock", "Undo a block"),
    ("remove", "Remove", "Forget this machine and void its certificate"),
)


class WorkerAction(Waits, bpy.types.Operator):
    """Change what a worker is given"""

    bl_idname = "tessera.worker_action"
    bl_label = "Worker"

    action: EnumProperty(items=WORKER_ACTIONS)
    worker: IntProperty(description="Its number; 0 for the one chosen in the list", default=0, min=0)

    def begin(self, context: bpy.types.Context) -> Work:
        chosen = context.window_manager.tessera.worker()
        worker = self.worker or (chosen["id"] if chosen else 0)
        if not worker:
            raise scene_file.CannotSendError("Choose a worker in the list")
        name = farm.workers.get(worker, {}).get("name", str(worker))
        return Asking(f"{self.action.title()} {name}", ["worker-admin", self.action, str(worker)])


JOB_ACTIONS = (
    ("pause", "Pause", "Start no new frames; those that render are finished"),
    ("resume", "Resume", "Go on"),
    ("cancel", "Cancel", "End it: what renders is stopped, what is done stays"),
    ("retry", "Retry", "Try failed frames again, and go on with a cancelled job"),
    ("remove", "Remove", "Remove it and its results from the farm"),
)


class JobAction(Waits, bpy.types.Operator):
    """Steer a job"""

    bl_idname = "tessera.job_action"
    bl_label = "Job"

    action: EnumProperty(items=JOB_ACTIONS)
    job: IntProperty(description="Its number; 0 for the one chosen in the list", default=0, min=0)
    every: BoolProperty(description="All of your jobs", options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        if self.action == "remove":
            return context.window_manager.invoke_confirm(self, event)
        return self.execute(context)

    def begin(self, context: bpy.types.Context) -> Work:
        if self.every:
            return Asking(f"{self.action.title()} all jobs", ["job", self.action, "--all"])
        job = chosen_job(context, self.job)
        return Asking(f"{self.action.title()} job {job}", ["job", self.action, str(job)])


class SetPriority(Waits, bpy.types.Operator):
    """Give a job another share of the farm: twice the number, twice the share"""

    bl_idname = "tessera.set_priority"
    bl_label = "Set Priority"

    job: IntProperty(description="Its number; 0 for the one chosen in the list", default=0, min=0, options={"HIDDEN"})
    priority: IntProperty(name="Priority", default=100, min=1, soft_max=1000)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
        job = farm.jobs.get(self.job) or context.window_manager.tessera.job()
        if job is not None:
            self.job, self.priority = job["id"], job["settings"]["priority"]
        return context.window_manager.invoke_props_dialog(self)

    def begin(self, context: bpy.types.Context) -> Work:
        job = chosen_job(context, self.job)
        return Asking(f"Priority of job {job}", ["job", "edit", str(job), "--priority", str(self.priority)])


class OpenFolder(Says, bpy.types.Operator):
    """Open the folder that frames are put into"""

    bl_idname = "tessera.open_folder"
    bl_label = "Open Folder"

    folder: StringProperty(subtype="DIR_PATH")

    def act(self, context: bpy.types.Context) -> Result:
        folder = Path(self.folder) if self.folder else Path(works.pattern(context.scene)).parent
        if not folder.is_dir():
            return self.refuse(f"There is no folder {folder} yet")
        if bpy.app.background or bpy.ops.wm.path_open(filepath=str(folder)) != {"FINISHED"}:
            webbrowser.open(folder.as_uri())
        return {"FINISHED"}


def chosen_job(context: bpy.types.Context, number: int) -> int:
    """The job of this number, or the one chosen in the list."""
    if number:
        return number
    chosen = context.window_manager.tessera.job()
    if chosen is None:
        raise scene_file.CannotSendError("Choose a job in the list, or say its number")
    return chosen["id"]


CLASSES = (
    Stopping,
    RenderStill,
    RenderAnimation,
    SendJob,
    SendCurrentFrame,
    GetResults,
    ResumeWatching,
    EndWork,
    Dismiss,
    Connect,
    FindFarms,
    Invite,
    LookAgain,
    StartLocal,
    StopLocal,
    OpenMonitor,
    ListFiles,
    SelectUser,
    WorkerAction,
    JobAction,
    SetPriority,
    OpenFolder,
)


def register() -> None:
    for each in CLASSES:
        bpy.utils.register_class(each)


def unregister() -> None:
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
