#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tessera_merge_fuzz::Place;

static PLACE: LazyLock<Place> = LazyLock::new(Place::new);

fuzz_target!(|bytes: &[u8]| PLACE.read(bytes));
