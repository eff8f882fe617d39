//! Becoming a worker of a farm.

use std::path::Path;

use tessera_client::WorkerFarm;
use tessera_wire::pairing::PairingLink;

use crate::config::identity_path;
use crate::error::JoinError;

/// Pairs with a manager and keeps the identity it gives in the worker's folder.
///
/// The manager is looked for at `addresses`, else where the link says, else by the fingerprint in the code. The key is
/// made here and never leaves the machine.
///
/// # Errors
/// If no manager of the code's farm answers, if it refuses the code, or if the folder cannot be written.
pub async fn join(
    data_dir: &Path,
    link: &PairingLink,
    addresses: &[String],
    name: &str,
) -> Result<WorkerFarm, JoinError> {
    let folder = |source| JoinError::Folder {
        dir: data_dir.to_owned(),
        source,
    };
    make_private_folder(data_dir).map_err(folder)?;
    let farm = pair(link, addresses, name).await?;
    farm.save(&identity_path(data_dir))?;
    Ok(farm)
}

/// The first address that answers is the one; a refusal of the code is final, as another try would be held against it.
async fn pair(
    link: &PairingLink,
    addresses: &[String],
    name: &str,
) -> Result<WorkerFarm, tessera_client::JoinError> {
    let mut unreached = None;
    for address in addresses {
        let link = PairingLink {
            address: Some(address.clone()),
            code: link.code.clone(),
        };
        match tessera_client::join_as_worker(&link, name).await {
            Err(tessera_client::JoinError::Api(error)) if error.is_unreachable() => {
                unreached = Some(error);
            }
            done => return done,
        }
    }
    match unreached {
        Some(error) => Err(error.into()),
        None => tessera_client::join_as_worker(link, name).await,
    }
}

/// Makes the folder for its owner alone. Blocking.
pub(crate) fn make_private_folder(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir)
}
