//! Edited files go as what is new in them, where the manager has what they were.
//!
//! It is a shortcut and never more: whatever goes wrong with it, the file is asked for again and goes as blocks.

use std::collections::HashMap;
use std::sync::Arc;

use tessera_blobs::{Digest, Edit, Origin, Outline, delta};

use super::SendError;
use super::read::origin_error;
use crate::api::{Api, ApiError};

/// Has the manager make `edit`, of a file that was `old`. Whether it did.
pub(super) async fn send_edit(
    api: &Api,
    origin: &Arc<Origin>,
    edit: Edit,
    old: &Outline,
) -> Result<bool, SendError> {
    let sums = match api.edit_sums(edit.basis(), &edit.replaced(old)).await {
        Ok(sums) => sums,
        Err(error) => return given_up(error),
    };
    let sums_bytes = sums.len();
    let origin = Arc::clone(origin);
    let body = tokio::task::spawn_blocking(move || {
        let fresh = fresh(&origin, &edit)?;
        let body = delta(&sums, &fresh).map(|delta| edit.encode(&delta));
        Ok::<_, SendError>(body)
    });
    let body = body
        .await
        .map_err(|panic| SendError::Source(Box::new(panic)))?;
    let Some(body) = body? else {
        return Ok(false);
    };
    tracing::debug!(
        sums_bytes,
        edit_bytes = body.len(),
        "an edited file is sent as what is new"
    );
    match api.put_edit(body).await {
        Ok(()) => Ok(true),
        Err(error) => given_up(error),
    }
}

/// A manager that answers, whatever it says, is sent blocks; one that does not is not there.
fn given_up(error: ApiError) -> Result<bool, SendError> {
    match error.kind() {
        Some(_) => {
            tracing::debug!("an edited file is sent as blocks: {error}");
            Ok(false)
        }
        None => Err(error.into()),
    }
}

/// The new blocks, one after the other.
fn fresh(origin: &Origin, edit: &Edit) -> Result<Vec<u8>, SendError> {
    let wanted: Vec<Digest> = edit.fresh().collect();
    let mut blocks = HashMap::new();
    origin
        .read(&wanted, |digest, bytes| {
            blocks.insert(digest, bytes.to_vec());
            Ok::<_, std::convert::Infallible>(())
        })
        .map_err(origin_error)?;
    Ok(wanted
        .iter()
        .flat_map(|digest| &blocks[digest])
        .copied()
        .collect())
}
