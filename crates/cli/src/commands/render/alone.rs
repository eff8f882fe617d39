//! A render on this computer alone: whether its one worker can ever take the job.

use anyhow::Result;
use tessera_model::{Device, Gpu, JobId};
use tessera_worker::{LinkStatus, Status as WorkerStatus};

use super::Session;
use crate::exit::{Status, stop};
use crate::render::Target;

impl Session<'_> {
    /// Alone, the one worker there is takes the job as soon as it is linked, or never.
    pub(super) async fn taken_here(&self, job: JobId) -> Result<()> {
        let Some(Target::Private(farm)) = &self.target else {
            return Ok(());
        };
        let is_linked = |worker: &WorkerStatus| matches!(worker.link, LinkStatus::Linked { .. });
        if farm.worker.clone().wait_for(is_linked).await.is_err() {
            // It has ended; whoever follows the job is told why.
            return Ok(());
        }
        let why = farm.api.job(job).await?.waiting_because;
        // A frame that has failed already is tried again in a while.
        if why.is_empty() || farm.api.journal(job).await?.failures > 0 {
            return Ok(());
        }
        let worker = farm.api.workers().await?.items.into_iter().next();
        let facts = worker.and_then(|worker| worker.facts);
        let wanted = self.flags.scene.device.as_ref();
        if let Some(message) = no_such_device(wanted, facts.as_ref().map_or(&[], |it| &it.gpus)) {
            return Err(stop(Status::Failed, message));
        }
        Err(stop(
            Status::Failed,
            format!(
                "this computer alone can not render it: {why}; ask for less (--device, --tags, --memory and the like), or connect a farm that can"
            ),
        ))
    }
}

/// Why this computer cannot render on the device asked for, if that is so.
fn no_such_device(wanted: Option<&Device>, here: &[Gpu]) -> Option<String> {
    let (name, fits): (&str, bool) = match wanted? {
        Device::File | Device::Cpu => return None,
        Device::Gpu => ("gpu", !here.is_empty()),
        Device::Interface(name) => (name, here.iter().any(|gpu| gpu.interface == *name)),
    };
    let usable = match here {
        [] => "it can use the processor only".to_owned(),
        some => {
            let names = some
                .iter()
                .map(|gpu| format!("{} ({})", gpu.name, gpu.interface));
            format!("it can use {}", names.collect::<Vec<_>>().join(", "))
        }
    };
    (!fits).then(|| {
        format!(
            "this computer has no GPU that Blender can use for '{name}': {usable}; choose another --device, or connect a farm that has one"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_here_is_named() {
        let cuda = Device::Interface("cuda".into());
        let gpus = ["optix", "cuda"].map(|interface| Gpu {
            interface: interface.into(),
            name: "RTX".into(),
            memory_bytes: None,
        });
        let said = no_such_device(Some(&cuda), &[]).unwrap();
        assert!(
            said.contains("no GPU that Blender can use for 'cuda': "),
            "{said}"
        );
        let said = no_such_device(Some(&cuda), &gpus[..1]).unwrap();
        assert!(said.contains("it can use RTX (optix)"), "{said}");
        assert!(no_such_device(Some(&Device::Gpu), &[]).is_some());
        for (wanted, here) in [
            (Some(&cuda), &gpus[..]),
            (Some(&Device::Cpu), &[]),
            (None, &[]),
        ] {
            assert_eq!(no_such_device(wanted, here), None);
        }
    }
}
