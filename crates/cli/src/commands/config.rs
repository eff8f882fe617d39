//! `tessera config`: every setting and where it came from.

use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::Status;
use crate::settings::Listed;
use crate::table::Table;

pub(super) fn run(context: &Context) -> Status {
    let output = &context.output;
    let folders = &context.folders;
    output.text(&format!(
        "settings  {}\ndata      {}\ncache     {}\n",
        folders.config.join("tessera.toml").display(),
        folders.data.display(),
        folders.cache.display()
    ));
    for line in table(&context.settings.listing).lines() {
        output.text(&line);
    }
    for listed in &context.settings.listing {
        output.line(LineKind::Setting {
            key: listed.key.name.into(),
            variable: listed.key.variable.into(),
            value: listed.value.clone(),
            origin: listed.origin.to_string(),
        });
    }
    Status::Done
}

fn table(listing: &[Listed]) -> Table {
    let mut table = Table::new(&["SETTING", "VALUE", "FROM", "VARIABLE"]);
    for listed in listing {
        table.row([
            listed.key.name.to_owned(),
            match &listed.value {
                Some(value) => value.clone(),
                None => format!("({})", listed.key.unset),
            },
            listed.origin.to_string(),
            listed.key.variable.to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Key, Origin};

    #[test]
    fn a_value_is_shown_with_its_origin() {
        let listed = |name, value: Option<&str>, origin| Listed {
            key: Key::named(name).unwrap(),
            value: value.map(str::to_owned),
            origin,
        };
        let lines = table(&[
            listed(
                "worker.slots",
                Some("3"),
                Origin::File("/c/tessera.toml".into(), 7),
            ),
            listed("worker.memory", None, Origin::Default),
            listed(
                "worker.nice",
                Some("5"),
                Origin::Variable("TESSERA_WORKER_NICE"),
            ),
        ])
        .lines();
        assert_eq!(
            lines,
            [
                "SETTING        VALUE       FROM                 VARIABLE",
                "worker.slots   3           /c/tessera.toml:7    TESSERA_WORKER_SLOTS",
                "worker.memory  (no limit)  default              TESSERA_WORKER_MEMORY",
                "worker.nice    5           TESSERA_WORKER_NICE  TESSERA_WORKER_NICE",
            ]
        );
    }
}
