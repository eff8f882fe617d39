//! A worker on somebody's own machine, seen on a real screen: it works while nobody sits there.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tessera_model::Rest;
use tessera_wire::api::WorkerStatus;

use crate::site::Site;
use crate::tape::Tape;
use crate::world::World;

/// A screen with keyboard and mouse.
struct Screen {
    server: Child,
    /// As `DISPLAY` has it.
    name: String,
}

impl Screen {
    fn new() -> Self {
        let mut server = Command::new("Xvfb")
            // It does not begin anew whenever nobody looks at it.
            .args(["-noreset", "-displayfd", "1", "-screen", "0", "640x480x24"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is there: scripts/setup test");
        let mut number = String::new();
        let said = server.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut number).unwrap();
        let name = format!(":{}", number.trim());
        Self { server, name }
    }

    /// Somebody moves the mouse.
    fn touch(&self) {
        let moved = Command::new("xdotool")
            .args(["mousemove_relative", "1", "1"])
            .env("DISPLAY", &self.name)
            .status();
        assert!(moved.unwrap().success());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn rest_of(worker: &WorkerStatus) -> Option<&Rest> {
    worker.facts.as_ref()?.rest.as_ref()
}

#[test]
fn whoever_comes_back_has_the_machine() {
    let world = World::any();
    let screen = Screen::new();
    let project = world.scene("slow");
    let site = Site::new(world.home("boss"));
    let mut tape = Tape::of(&site.boss);
    let job = site.submit(&project, &["-f", "1..400", "--attempts", "100"]);
    let anna = world.home("anna").with("DISPLAY", &screen.name);
    let join = ["--join", site.manager.link(), "--while-idle", "5s"];
    let _process = anna.worker(&join).unwrap();
    let (_, id) = tape.begins(job, None);

    screen.touch();
    tape.worker_is("it has left the machine to its user", id, |worker| {
        let reason = rest_of(worker).map(|rest| rest.reason.as_str());
        reason == Some("works while nobody uses its machine") && worker.holds.is_empty()
    });
    // Left alone for a while.
    tape.worker_is("it works again", id, |worker| rest_of(worker).is_none());
    tape.begins(job, id);
    site.boss.run(&["job", "cancel", &job.to_string()]).unwrap();
}
