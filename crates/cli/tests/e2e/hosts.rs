//! Several hosts: found by multicast, reached without, cut off and back.

use std::time::Duration;

use tessera_model::WorkerId;
use tessera_wire::line::LineKind;
use xtask::farm::{Home, Manager, Process};

use crate::network::{Host, Network};
use crate::world::{World, identical, on_both, tessera_run, text};

on_both!(three_hosts);

/// A manager and two workers on three hosts, one of which shares no file with the others.
fn three_hosts(world: &World) {
    let Some(mut network) = Network::new() else {
        return;
    };
    let project = world.scene("slow");
    let local = world.path("local");
    project.render_locally(world, "out/slow_", (1, 8), "", &local);

    let (office, attic, cellar) = (network.host(), network.host(), network.host());
    let boss = office.home(world.home("boss"));
    let manager = boss.manager_with(&["manager", "--name", "House"]).unwrap();
    assert_eq!(manager.urls[0], format!("https://{}:7373", office.address));
    let code = manager.pairing.code.as_str();
    let anna = attic.home(world.home("anna"));
    let _anna = anna
        .worker(&["--join", code, "--name", "anna", "--threads", "1"])
        .unwrap();
    // Its home is gone with it: it lies where nobody else can look.
    let ben = cellar.home_without(world.home("ben"), &world.path(""));
    let _ben = ben
        .worker(&["--join", code, "--name", "ben", "--threads", "1"])
        .unwrap();

    let seen = |home: &Home| {
        let lines = home.run(&["farms"]).unwrap();
        let farm = lines.iter().find_map(|line| match line {
            LineKind::KnownFarm {
                name,
                connected,
                announced,
                ..
            } => Some((name.clone(), *connected, *announced)),
            _ => None,
        });
        farm.unwrap()
    };
    let house = |connected| ("House".to_owned(), connected, true);
    assert_eq!(seen(&boss), house(true));
    let carla = attic.home(world.home("carla"));
    assert_eq!(seen(&carla), house(false));

    let out = project.path("out");
    let lines = boss
        .run(&["render", project.file(), "-f", "1..8", "-o", text(&out)])
        .unwrap();
    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, 8);
    let mut by: Vec<_> = lines
        .iter()
        .filter_map(|line| match line {
            LineKind::Frame { worker, .. } => Some(*worker),
            _ => None,
        })
        .collect();
    by.sort();
    by.dedup();
    assert_eq!(by.len(), 2, "both hosts rendered: {lines:?}");
}

/// Where multicast does not reach, the address is all it takes; without it, one line says so.
#[test]
fn no_multicast() {
    let Some(mut network) = Network::new() else {
        return;
    };
    let world = World::any();
    let (office, attic) = (network.host(), network.host());
    let boss = office.home(world.fake_home("boss"));
    let manager = boss.manager_with(&["manager", "--name", "House"]).unwrap();
    attic.block_multicast();
    let anna = attic.home(world.fake_home("anna"));
    let lost = tessera_run(&anna, &["worker", "--join", &manager.pairing.code]);
    lost.refused(3, &["found", "multicast", "--manager"]);
    assert!(
        !world.path("anna/data/worker/farm.json").exists(),
        "nothing is half-written"
    );
    let mut worker = anna.worker(&["--join", manager.link()]).unwrap();
    // From now on it knows where its farm is.
    worker.signal("TERM").unwrap();
    assert!(worker.end().unwrap().0.success());
    let _anna = anna.worker(&[]).unwrap();
    let doctor = tessera_run(&anna, &["doctor"]);
    assert!(doctor.text().contains("worker"), "{doctor}");
    // The same with the address and the code apart, for a client.
    let lines = boss
        .run(&["token", "create", "--user", "carla", "--code"])
        .unwrap();
    let code = lines
        .iter()
        .find_map(|line| match line {
            LineKind::Pairing { pairing } => Some(pairing.code.clone()),
            _ => None,
        })
        .unwrap();
    let carla = attic.home(world.fake_home("carla"));
    tessera_run(&carla, &["connect", &code]).refused(3, &["found"]);
    tessera_run(&carla, &["connect", &code, "--manager", &manager.urls[0]]).done();
    assert!(
        tessera_run(&carla, &["workers"])
            .done()
            .text()
            .contains("active")
    );
}

/// A manager told where to listen listens there and nowhere else.
#[test]
fn only_the_given_address_answers() {
    let Some(mut network) = Network::new() else {
        return;
    };
    let world = World::any();
    let (office, attic) = (network.host(), network.host());
    office.second_interface("10.78.0.1");
    let boss = office.home(world.fake_home("boss"));
    let listen = format!("{}:7400", office.address);
    let manager = boss
        .manager_with(&["manager", "--listen", &listen])
        .unwrap();
    assert_eq!(manager.urls, [format!("https://{listen}")]);
    assert!(attic.reaches(&office.address, 7400));
    for elsewhere in ["127.0.0.1", "10.78.0.1", "::1"] {
        assert!(!office.reaches(elsewhere, 7400), "{elsewhere} answers");
    }
    // The same user's commands on that machine find it all the same.
    tessera_run(&boss, &["workers"]).done();
    drop(manager);
    // Told nothing, it listens everywhere.
    let _manager = boss.manager_with(&["manager"]).unwrap();
    for anywhere in ["127.0.0.1", "10.78.0.1", "::1"] {
        assert!(office.reaches(anywhere, 7373), "{anywhere} does not answer");
    }
}

/// Who comes from elsewhere is let in by nobody of the farm: not by the manager, and not by a worker that gives blocks to others.
#[test]
fn only_those_of_the_given_network_are_let_in() {
    let Some(mut network) = Network::new() else {
        return;
    };
    let world = World::any();
    let (office, attic, cellar) = (network.host(), network.host(), network.host());
    let boss = office.home(world.fake_home("boss"));
    let manager = boss
        .manager_with(&["manager", "--allow-from", &attic.address])
        .unwrap();
    let listen = format!("{}:7400", attic.address);
    let join = ["--join", manager.link(), "--peer-listen", &listen];
    let _anna = attic.home(world.fake_home("anna")).worker(&join).unwrap();
    for (address, port) in [(&office.address, 7373), (&attic.address, 7400)] {
        assert!(attic.is_let_in(address, port), "{address} refuses anna");
        assert!(cellar.reaches(address, port), "{address} is not there");
        assert!(!cellar.is_let_in(address, port), "{address} lets ben in");
    }
    let ben = cellar.home(world.fake_home("ben"));
    tessera_run(&ben, &["worker", "--join", manager.link()]).refused(3, &[&office.address]);
}

/// The cable of a worker in mid-frame is cut for a while, the process lives: it takes up its work again, and nothing is done twice.
#[test]
fn cut_off_for_twenty_seconds() {
    cut_off_for(Duration::from_secs(20));
}

#[test]
#[ignore = "takes a minute and a half; run by `make test-all`"]
fn cut_off_for_sixty_seconds() {
    cut_off_for(Duration::from_secs(60));
}

fn cut_off_for(time: Duration) {
    let Some(mut network) = Network::new() else {
        return;
    };
    let world = World::any();
    let project = world.scene("slow");
    let local = world.path("local");
    project.render_locally(&world, "out/slow_", (1, 12), "", &local);

    let (office, attic) = (network.host(), network.host());
    let boss = office.home(world.home("boss"));
    let manager: Manager = boss.manager_with(&["manager", "--no-discovery"]).unwrap();
    // What a worker that cannot be reached has in hand is its own here, also when somebody else has nothing left to do.
    boss.run(&["settings", "set", "duplicate_gain_ms=0"])
        .unwrap();
    let hands: Vec<(_, Host)> = vec![("anna", attic), ("ben", office)];
    let mut workers: Vec<(Home, Process)> = Vec::new();
    for (name, host) in &hands {
        let home = host.home(world.home(name));
        let process = home
            .worker(&["--join", manager.link(), "--name", name, "--threads", "1"])
            .unwrap();
        workers.push((home, process));
    }
    let out = project.path("out");
    let arguments = [
        "render",
        project.file(),
        "-f",
        "1..12",
        "-o",
        text(&out),
        "--scripts",
    ];
    let mut render = boss.start(&arguments).unwrap();
    let anna = hands[0].1.clone();
    let number = id_of(&boss, "anna");
    render
        .wait(|line| {
            matches!(line, LineKind::Started { worker, .. } if *worker == number).then_some(())
        })
        .unwrap();
    anna.cut();
    // How long it lasts is what is tested.
    std::thread::sleep(time);
    anna.mend();
    let lines = render.finish().unwrap();
    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, 12);
    let by_anna = lines
        .iter()
        .filter(|line| matches!(line, LineKind::Frame { worker, .. } if *worker == number))
        .count();
    assert!(
        by_anna > 0,
        "what it had in hand when it was cut off counts: {lines:?}"
    );

    delivered_once(&boss);
    let begun: usize = workers
        .iter()
        .map(|(home, _)| {
            let work = std::fs::read_to_string(home.folder().join("work.txt")).unwrap_or_default();
            work.lines()
                .filter(|line| line.starts_with("begin"))
                .count()
        })
        .sum();
    assert_eq!(begun, 12, "nothing was rendered twice");
}

/// A worker's number, asked for on the host itself: this process is on none of them.
fn id_of(boss: &Home, name: &str) -> WorkerId {
    let lines = boss.run(&["workers"]).unwrap();
    let found = lines.iter().find_map(|line| match line {
        LineKind::Worker { worker } if worker.name == name => Some(worker.id),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no {name} in {lines:?}"))
}

/// Every frame of job 1 was accepted exactly once.
#[track_caller]
fn delivered_once(boss: &Home) {
    let lines = boss.run(&["job", "show", "1"]).unwrap();
    let Some(LineKind::JobDetail { journal, .. }) = lines.first() else {
        panic!("{lines:?}");
    };
    assert_eq!(journal.accepts, u64::from(journal.frames), "{journal:?}");
    assert!(journal.repeated.is_empty(), "{journal:?}");
}
