# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels: in the render properties under every engine, and as a tab of the 3D view's sidebar.

What is drawn is what is known; nothing here asks or waits. Drawing is also what keeps the farm watched: see
`farm.look`.
"""

import textwrap
from typing import Any

import bpy

from . import engine, local, settings, state_folder, works
from .farm import Link, farm, job_share, worker_state
from .works import Outcome, Work

# Pixels of a letter of the panel's font, and what margins take, before the user's scale. Texts are broken by it.
LETTER_PX = 6.6
MARGIN_PX = 60

# Narrower than this is the sidebar as Blender opens it.
NARROW_PX = 300

# Lines that a message may have: what is longer is for the monitor.
LINES_MAX = 6

# Missing files that are listed; the number of all stands above them.
MISSING_SHOWN_MAX = 12

# How much of a row its name has, and its button not.
NAME_SHARE = 0.65

LINK_ICONS = {
    Link.UNKNOWN: "SORTTIME",
    Link.NO_PROGRAM: "ERROR",
    Link.NO_FARM: "DESKTOP",
    Link.CONNECTED: "LINKED",
    Link.AWAY: "UNLINKED",
}

OUTCOME_ICONS = {
    Outcome.DONE: "CHECKMARK",
    Outcome.FAILED: "ERROR",
    Outcome.CANCELLED: "X",
    Outcome.LEFT: "FORWARD",
}

PHASE_ICONS = {
    "waiting": "SORTTIME",
    "rendering": "RENDER_STILL",
    "paused": "PAUSE",
    "cancelled": "X",
    "done": "CHECKMARK",
    "failed": "ERROR",
}


def draw_text(layout: Any, context: bpy.types.Context, text: str, icon: str = "NONE", alert: bool = False) -> None:
    """A text of several lines, broken by the width of the panel."""
    scale = context.preferences.system.ui_scale * LETTER_PX
    letters = max(int((context.region.width - MARGIN_PX) / scale), 20) if context.region else 60
    column = layout.column(align=True)
    column.alert = alert
    column.scale_y = 0.85
    lines = textwrap.wrap(text, letters, max_lines=LINES_MAX, placeholder=" …")
    for number, line in enumerate(lines):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")


def draw_share(layout: Any, share: float, text: str) -> None:
    """A bar of progress."""
    if hasattr(layout, "progress"):
        layout.progress(factor=share, text=text)
        return
    # Before Blender 4.0 there was no such thing: two boxes stand for what is done and what is not.
    full = round(share * 20)
    layout.label(text=f"{'█' * full}{'░' * (20 - full)}  {text}")


def is_narrow(context: bpy.types.Context) -> bool:
    """Whether two buttons with words do not fit beside each other."""
    width = context.region.width / context.preferences.system.ui_scale if context.region else NARROW_PX
    return width < NARROW_PX


def draw_engine(layout: Any, scene: bpy.types.Scene) -> None:
    """What workers render with, where the scene's engine is Tessera."""
    row = layout.row()
    row.use_property_split = True
    row.use_property_decorate = False
    row.prop(scene.tessera, "engine_choice", text="Workers Use")


def draw_below_engine(self: Any, context: bpy.types.Context) -> None:
    """The same, where Blender lets the engine be chosen."""
    if context.scene.render.engine == settings.ENGINE:
        engine.show_panels_of(settings.real_engine(context.scene))
        draw_engine(self.layout, context.scene)


def draw_header(layout: Any, _context: bpy.types.Context) -> None:
    """At the right of the panel's title."""
    row = layout.row()
    row.emboss = "NONE"
    if farm.link is Link.CONNECTED:
        row.operator("tessera.open_monitor", text="", icon="URL")
    else:
        row.operator("tessera.look_again", text="", icon="FILE_REFRESH")


def draw_main(layout: Any, context: bpy.types.Context) -> None:
    """What everybody needs."""
    farm.look()
    scene = context.scene
    engine.show_panels_of(settings.real_engine(scene))
    wrong = farm.link in (Link.AWAY, Link.NO_PROGRAM)
    draw_text(layout, context, farm.status_line(), LINK_ICONS[farm.link], wrong)
    if wrong and farm.message:
        draw_text(layout, context, farm.message, alert=True)
    if scene.render.engine == settings.ENGINE and context.area and context.area.type != "PROPERTIES":
        draw_engine(layout, scene)
    buttons = layout.column(align=True)
    buttons.enabled = farm.link is not Link.NO_PROGRAM
    narrow = is_narrow(context)
    row = buttons.column(align=True) if narrow else buttons.row(align=True)
    row.scale_y = 1.4
    row.operator("tessera.render_still", icon="RENDER_STILL")
    row.operator("tessera.render_animation", icon="RENDER_ANIMATION")
    row = buttons.column(align=True) if narrow else buttons.row(align=True)
    row.enabled = farm.link is not Link.NO_FARM
    row.operator("tessera.send_job", icon="EXPORT")
    row.operator("tessera.send_current_frame", icon="IMAGE_DATA")
    draw_words(layout, context)
    for work in works.shown():
        draw_work(layout, context, work)
    watched = {work.job for work in works.running()}
    waiting = [job for job in state_folder_jobs() if job not in watched]
    if waiting and farm.link is Link.CONNECTED:
        count = "1 job" if len(waiting) == 1 else f"{len(waiting)} jobs"
        layout.operator("tessera.resume_watching", text=f"Resume Watching {count}", icon="HIDE_OFF").job = 0


_remembered: list[Any] = [0, []]


def state_folder_jobs() -> list[int]:
    """Jobs that were waited for. The record is read only when something changed."""
    try:
        stamp = (state_folder.folder() / "jobs.json").stat().st_mtime_ns
    except OSError:
        return []
    if stamp != _remembered[0]:
        _remembered[:] = [stamp, sorted(state_folder.remembered_jobs())]
    return _remembered[1]


def draw_words(layout: Any, context: bpy.types.Context) -> None:
    """The last thing said that no work shows."""
    if works.last_words.text:
        box = layout.box()
        row = box.row()
        good = works.last_words.good
        draw_text(row, context, works.last_words.text, icon="INFO" if good else "ERROR", alert=not good)
        row.operator("tessera.dismiss", text="", icon="X", emboss=False)


def draw_work(layout: Any, context: bpy.types.Context, work: Work) -> None:
    """Something under way, or how it ended."""
    number = work.number
    box = layout.box().column(align=True)
    row = box.row()
    row.label(text=work.title, icon=OUTCOME_ICONS[work.outcome] if work.outcome else "RENDER_ANIMATION")
    if not work.running and work.place:
        row.operator("tessera.open_folder", text="", icon="FILE_FOLDER", emboss=False).folder = work.place
    if work.can_be_left():
        leave = row.operator("tessera.end_work", text="", icon="FORWARD", emboss=False)
        leave.number, leave.leave = number, True
    row.operator("tessera.end_work", text="", icon="X", emboss=False).number = number
    if work.running:
        draw_share(box, work.share, work.headline() if work.frames else "")
        box.label(text=work.message)
    else:
        draw_text(box, context, work.message, alert=work.outcome is Outcome.FAILED)
        if work.outcome is Outcome.FAILED and "needed by " in work.message:
            user = work.message.split("needed by ", 1)[1].split(")")[0].split(", ")[0]
            select = box.operator("tessera.select_user", text=f"Select {user}", icon="RESTRICT_SELECT_OFF")
            select.user = user
    for warning in work.warnings[-2:]:
        draw_text(box, context, warning, icon="INFO")


def draw_job(layout: Any, context: bpy.types.Context) -> None:
    """Settings of the job."""
    job = context.scene.tessera
    layout.use_property_split = True
    layout.use_property_decorate = False
    column = layout.column()
    column.prop(job, "source")
    column.prop(job, "name")
    column.prop(job, "frames")
    column.prop(job, "priority")
    column.prop(job, "tiles")
    if job.tiles == "GRID":
        row = column.row(align=True)
        row.prop(job, "tiles_x", text="Columns, Rows")
        row.prop(job, "tiles_y", text="")
    column.prop(job, "exr")


def draw_more(layout: Any, context: bpy.types.Context) -> None:
    """Settings that few jobs need."""
    job = context.scene.tessera
    layout.use_property_split = True
    layout.use_property_decorate = False
    for group in (
        ("category", "comment", "chunk", "attempts", "after", "preempt", "notify"),
        ("device", "samples", "scripts", "pack_textures"),
        ("tags", "workers", "memory", "gpu"),
    ):
        column = layout.column()
        for name in group:
            column.prop(job, name)
        layout.separator()
    column = layout.column(align=True)
    column.prop(job, "blender_from")
    column.prop(job, "blender_to")


def draw_files(layout: Any, context: bpy.types.Context) -> None:
    """What the scene needs."""
    needed = works.needed
    layout.operator("tessera.list_files", icon="VIEWZOOM")
    if needed.reading:
        layout.label(text="Reading the scene…", icon="SORTTIME")
        return
    if not needed.known:
        return
    missing = needed.missing()
    there = len(needed.files) - len(missing)
    files = "no other file" if there == 0 else "1 other file" if there == 1 else f"{there} other files"
    layout.label(text=f"The scene and {files}, {works.megabytes(needed.total_bytes)}", icon="FILE_BLEND")
    if not missing:
        layout.label(text="Nothing is missing", icon="CHECKMARK")
        return
    box = layout.box().column(align=True)
    row = box.row()
    row.alert = True
    row.label(text=f"{len(missing)} missing", icon="ERROR")
    for file in missing[:MISSING_SHOWN_MAX]:
        row = box.row()
        row.alert = True
        row.label(text=bpy.path.basename(file["path"]), icon="LIBRARY_DATA_BROKEN")
        for user in file["used_by"][:1]:
            row.operator("tessera.select_user", text=user, icon="RESTRICT_SELECT_OFF").user = user
    if len(missing) > MISSING_SHOWN_MAX:
        box.label(text=f"and {len(missing) - MISSING_SHOWN_MAX} more")


class TESSERA_UL_workers(bpy.types.UIList):
    """The farm's workers."""

    def draw_item(
        self, _context: Any, layout: Any, _data: Any, item: Any, _icon: Any, _active: Any, _property: Any
    ) -> None:
        worker = farm.workers.get(item.number)
        if worker is None:
            return
        busy = any(held["rendering"] for held in worker["holds"])
        icon = "UNLINKED" if not worker["linked"] else "RENDER_STILL" if busy else "DESKTOP"
        split = layout.split(factor=0.45)
        split.active = worker["linked"]
        split.label(text=worker["name"], icon=icon)
        split.label(text=worker_state(worker))


class TESSERA_UL_jobs(bpy.types.UIList):
    """The farm's jobs, newest first."""

    def draw_item(
        self, context: Any, layout: Any, _data: Any, item: Any, _icon: Any, _active: Any, _property: Any
    ) -> None:
        job = farm.jobs.get(item.number)
        if job is None:
            return
        split = layout.split(factor=0.6)
        name = job["settings"]["name"]
        split.label(text=f"{job['id']}  {name}", icon=PHASE_ICONS.get(job["phase"], "DOT"))
        row = split.row()
        row.alert = job["phase"] == "failed"
        done = f"{job['done']}/{job['frames']}"
        word = f"{job_share(job):.0%}" if job["phase"] == "rendering" else job["phase"]
        # In a narrow list the icon says as much.
        row.label(text=done if is_narrow(context) else f"{done}  {word}")


def draw_workers(layout: Any, context: bpy.types.Context) -> None:
    """The list of workers, and what can be done with the chosen one."""
    lists = context.window_manager.tessera
    row = layout.row()
    row.template_list("TESSERA_UL_workers", "", lists, "workers", lists, "worker_index", rows=3)
    worker = lists.worker()
    column = row.column(align=True)
    column.enabled = worker is not None
    mode = worker["mode"] if worker else "active"
    paused, blocked = mode in ("paused", "draining"), mode == "blocked"
    button(column, "worker_action", "resume" if paused else "pause", "PLAY" if paused else "PAUSE")
    button(column, "worker_action", "unblock" if blocked else "block", "CHECKMARK" if blocked else "CANCEL")
    column.operator_menu_enum("tessera.worker_action", "action", text="", icon="DOWNARROW_HLT")
    if worker and worker.get("facts"):
        facts = worker["facts"]
        versions = ", ".join(build["version"] for build in facts["builds"]) or "none"
        memory = f"{facts['memory_bytes'] / 1e9:.0f} GB"
        column = layout.column(align=True)
        column.scale_y = 0.85
        column.label(text=f"{facts['slots']} × {facts['threads']} of {facts['cores']} threads, {memory}, {facts['os']}")
        column.label(text=f"Blender {versions}")
        for name in [gpu["name"] for gpu in facts["gpus"]] + (
            [f"Tags: {'; '.join(facts['tags'])}"] if facts["tags"] else []
        ):
            column.label(text=name)


def button(layout: Any, operator: str, action: str, icon: str) -> None:
    """A button of an action."""
    layout.operator(f"tessera.{operator}", text="", icon=icon).action = action


def draw_jobs(layout: Any, context: bpy.types.Context) -> None:
    """The list of jobs, and what can be done with the chosen one."""
    lists = context.window_manager.tessera
    row = layout.row()
    row.template_list("TESSERA_UL_jobs", "", lists, "jobs", lists, "job_index", rows=5)
    job = lists.job()
    column = row.column(align=True)
    column.enabled = job is not None
    paused = bool(job) and job["phase"] == "paused"
    button(column, "job_action", "resume" if paused else "pause", "PLAY" if paused else "PAUSE")
    button(column, "job_action", "cancel", "CANCEL")
    button(column, "job_action", "retry", "FILE_REFRESH")
    column.operator("tessera.set_priority", text="", icon="SORT_DESC")
    button(column, "job_action", "remove", "TRASH")
    row = layout.row(align=True)
    row.enabled = job is not None
    row.operator("tessera.get_results", icon="IMPORT").job = 0
    row.operator("tessera.resume_watching", text="Watch", icon="HIDE_OFF").job = job["id"] if job else 0
    row.operator("tessera.open_monitor", text="", icon="URL")
    if job:
        column = layout.column(align=True)
        column.scale_y = 0.85
        build = job.get("build")
        pinned = f"Blender {build['version']}" if build else "no worker has its Blender yet"
        text = f"{job['owner']}, priority {job['settings']['priority']}, {pinned}"
        column.label(text=text + (f", {job['failed']} failed" if job["failed"] else ""))


def draw_around(layout: Any) -> None:
    """The farms that were found, each to connect to with the code that was typed."""
    around = works.around
    column = layout.column(align=True)
    if around.looking or (around.looked and not around.farms):
        column.label(text="Looking for farms" if around.looking else "No farm on this network", icon="VIEWZOOM")
    for found in around.farms:
        row = column.split(factor=NAME_SHARE, align=True)
        row.label(text=found["name"], icon="LINKED" if found["connected"] else "UNLINKED")
        if found["connected"]:
            row.label(text="Yours" if found["announced"] else "Yours, elsewhere")
        else:
            row.operator("tessera.connect", text="Connect").address = found["addresses"][0]


def draw_farm(layout: Any, context: bpy.types.Context) -> None:
    """Connecting, and what runs on this computer."""
    lists = context.window_manager.tessera
    row = layout.row(align=True)
    row.prop(lists, "code", text="", icon="KEYINGSET")
    row.operator("tessera.connect")
    finding = row.row(align=True)
    finding.enabled = not works.around.looking
    finding.operator("tessera.find_farms", text="", icon="VIEWZOOM")
    draw_around(layout)
    if farm.link is Link.CONNECTED:
        row = layout.column(align=True) if is_narrow(context) else layout.row(align=True)
        row.operator("tessera.invite", text="Code for a Worker", icon="DESKTOP").kind = "worker"
        row.operator("tessera.invite", text="Code for a User", icon="USER").kind = "user"
    column = layout.column(align=True)
    for kind, label in (("manager", "Manager here"), ("worker", "Worker here")):
        row = column.split(factor=NAME_SHARE, align=True)
        runs = bool(local.process(kind))
        row.label(text=label, icon="RADIOBUT_ON" if runs else "RADIOBUT_OFF")
        operator = "tessera.stop_local" if runs else "tessera.start_local"
        row.operator(operator, text="Stop" if runs else "Start").kind = kind
        if not runs and local.was_started(kind):
            draw_text(layout, context, f"The {kind} has ended: {local.why_ended(kind)}", icon="ERROR", alert=True)


# Name, label, what draws it, whether it begins closed.
PARTS = (
    ("job", "Job", draw_job, True),
    ("more", "More", draw_more, True),
    ("files", "Files", draw_files, True),
    ("jobs", "Jobs", draw_jobs, True),
    ("workers", "Workers", draw_workers, True),
    ("farm", "Farm", draw_farm, True),
)

PLACES = (
    ("RENDER_PT", {"bl_space_type": "PROPERTIES", "bl_region_type": "WINDOW", "bl_context": "render"}),
    ("VIEW3D_PT", {"bl_space_type": "VIEW_3D", "bl_region_type": "UI", "bl_category": "Tessera"}),
)


def _drawn(draw: Any) -> Any:
    def drawn(self: Any, context: bpy.types.Context) -> None:
        draw(self.layout, context)

    return drawn


def _panel(name: str, label: str, draw: Any, place: dict[str, str], **more: Any) -> type:
    members = {"bl_idname": name, "bl_label": label, "draw": _drawn(draw), **place, **more}
    return type(name, (bpy.types.Panel,), members)


def _panels() -> list[type]:
    found = []
    for prefix, place in PLACES:
        main = f"{prefix}_tessera"
        found.append(_panel(main, "Tessera", draw_main, place, draw_header_preset=_drawn(draw_header)))
        for number, (name, label, draw, closed) in enumerate(PARTS):
            parent = f"{main}_job" if name == "more" else main
            options = {"DEFAULT_CLOSED"} if closed else set()
            found.append(
                _panel(f"{main}_{name}", label, draw, place, bl_parent_id=parent, bl_options=options, bl_order=number)
            )
    return found


CLASSES = (TESSERA_UL_workers, TESSERA_UL_jobs, *_panels())


def register() -> None:
    for each in CLASSES:
        bpy.utils.register_class(each)
    bpy.types.RENDER_PT_context.append(draw_below_engine)


def unregister() -> None:
    bpy.types.RENDER_PT_context.remove(draw_below_engine)
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
