//! How workers' machines are, as the farm tells it: against what the system itself says of this one.

use std::fs;
use std::path::Path;
use std::process::Command;

use tessera_wire::link::Machine;

use crate::site::{Site, until, workers};
use crate::world::{World, tessera_run};

/// What `df` says of the disk that holds a folder, in bytes.
fn disk_bytes(folder: &Path) -> u64 {
    let said = Command::new("df")
        .args(["--block-size=1", "--output=size"])
        .arg(folder)
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.lines().nth(1).unwrap().trim().parse().unwrap()
}

fn memory_bytes() -> u64 {
    let said = fs::read_to_string("/proc/meminfo").unwrap();
    let total = said.lines().next().unwrap();
    let kib: u64 = total.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[test]
fn a_machine_is_told_as_it_is() {
    let world = World::any();
    let project = world.scene("plain");
    let site = Site::with_workers(&world, &["anna"]);
    let told = |wanted: fn(&Machine) -> bool| {
        until(&site.boss, "the machine is told", async |api| {
            let worker = api.workers().await.unwrap().items.pop().unwrap();
            worker.machine.filter(|machine| wanted(machine))
        })
    };
    let machine = told(|_| true);
    assert!((0.0..=1.0).contains(&machine.cpu), "{machine:?}");
    assert_eq!(machine.memory_total_bytes, Some(memory_bytes()));
    assert!((1..memory_bytes()).contains(&machine.memory_bytes));
    let disk = disk_bytes(site.workers[0].home.folder());
    assert_eq!(machine.disk_total_bytes, Some(disk));
    assert!((1..disk).contains(&machine.disk_free_bytes));
    let has_driver = Path::new("/proc/driver/nvidia/version").exists();
    assert_eq!(!machine.gpus.is_empty(), has_driver, "{machine:?}");

    // A Blender that stays for the next frame holds its memory.
    site.submit(&project, &["-f", "1"]);
    let warm = told(|machine| machine.blenders_bytes.is_some_and(|bytes| bytes > 10 << 20));
    assert!(warm.blenders_bytes < warm.memory_total_bytes, "{warm:?}");

    let list = tessera_run(&site.boss, &["workers", "--stats"]).done();
    for word in [
        "anna",
        " %",
        "MEMORY USED",
        "GB of",
        "BLENDERS",
        "DISK FREE",
    ] {
        assert!(list.text().contains(word), "no {word} in {list}");
    }
    let noted = ["worker-admin", "note", "anna", "under the stairs"];
    let noted = tessera_run(&site.boss, &noted).done();
    assert!(noted.text().contains("has the note: under the stairs"));
    let sheet = tessera_run(&site.boss, &["workers", "anna"]).done();
    for word in [
        "Worker 1  anna",
        "under the stairs",
        "cpu",
        "disk free",
        "3.4.1",
    ] {
        assert!(sheet.text().contains(word), "no {word} in {sheet}");
    }
    if !has_driver {
        assert!(sheet.text().contains("gpu load   none"), "{sheet}");
    }
    let nobody = tessera_run(&site.boss, &["workers", "zoe"]);
    nobody.refused(2, &["there is no worker 'zoe'"]);
    site.boss
        .run(&["worker-admin", "note", "anna", ""])
        .unwrap();
    assert_eq!(workers(&site.boss)[0].note, "");
}
