//! The manager dies at any moment, also between a commit and its effects, and comes back from its record.

use std::time::Duration;

use crate::event::Event;
use crate::fault::Fault;
use crate::manager::kill;
use crate::violation::Violation;
use crate::world::World;

pub(super) async fn strike(world: &mut World) -> Result<(), Violation> {
    let dice = world.dice(Fault::Restart);
    let written = dice.percent(50);
    let away = dice.span(Duration::from_millis(300), Duration::from_secs(40));
    if kill(world, written).await? {
        world.queue.push(world.now + away, Event::ManagerBack);
    }
    Ok(())
}
