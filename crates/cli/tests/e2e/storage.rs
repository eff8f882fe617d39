//! What the farm stores, as its people see it: what uses the space, a quota that warns and refuses, and files that are sent again.

use tessera_wire::line::LineKind;
use tessera_wire::store::{StoreLevel, StoreReport};

use crate::bad_places::fake_scene;
use crate::site::Site;
use crate::world::{World, tessera_run};

const EXTRA_BYTES: usize = 3_000_000;

fn store(site: &Site) -> StoreReport {
    let lines = site.boss.run(&["store"]).unwrap();
    let report = lines.into_iter().find_map(|line| match line {
        LineKind::Store { report } => Some(*report),
        _ => None,
    });
    report.unwrap()
}

fn sent_bytes(lines: &[LineKind]) -> u64 {
    let sent = lines.iter().rev().find_map(|line| match line {
        LineKind::Sending { sent_bytes, .. } => Some(*sent_bytes),
        _ => None,
    });
    sent.unwrap()
}

#[test]
fn a_farm_says_what_it_stores_and_keeps_its_quota() {
    let world = World::any();
    let site = Site::new(world.fake_home("boss"));
    let scene = fake_scene(&world, "large", 2, EXTRA_BYTES);
    let job = site.submit(&scene, &[]);
    let report = store(&site);
    assert!(report.used_bytes >= EXTRA_BYTES as u64, "{report:?}");
    assert_eq!(report.level, StoreLevel::Fine);
    let [used] = report.jobs.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(used.job, job);
    assert!(used.alone.files_bytes >= EXTRA_BYTES as u64, "{used:?}");
    assert_eq!(used.kept_until, None);
    let shown = tessera_run(&site.boss, &["store"]).done().text();
    assert!(
        shown.contains("of single jobs") && shown.contains("scene"),
        "{shown}"
    );
    // Of a manager that has just started nobody knows yet what uploads may need.
    let told = tessera_run(&site.boss, &["store", "collect"]).done().text();
    assert!(told.contains("nothing goes yet"), "{told}");

    // Unchanged files do not travel, unless they are to.
    let submit = ["submit", scene.file(), "--bandwidth", "500MB/s"];
    let again = sent_bytes(&site.boss.run(&submit).unwrap());
    assert!(again < 10_000, "{again}");
    let forced = [&submit[..], &["--force-upload"]].concat();
    let forced = sent_bytes(&site.boss.run(&forced).unwrap());
    assert!(forced > EXTRA_BYTES as u64, "{forced}");

    let quota = format!("store_quota_bytes={}", report.used_bytes / 2);
    site.boss.run(&["settings", "set", &quota]).unwrap();
    assert_eq!(store(&site).level, StoreLevel::Full);
    let more = fake_scene(&world, "more", 2, EXTRA_BYTES);
    tessera_run(&site.boss, &["submit", more.file()]).failed(1, &["stores", "quota"]);
    let doctor = tessera_run(&site.boss, &["doctor"]);
    assert!(
        doctor.text().contains("farm's storage"),
        "{}",
        doctor.text()
    );
    let room = format!("store_quota_bytes={}", report.used_bytes * 4);
    site.boss.run(&["settings", "set", &room]).unwrap();
    tessera_run(&site.boss, &["submit", more.file()]).done();
}
