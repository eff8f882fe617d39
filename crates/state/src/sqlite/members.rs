//! Writing of the farm itself: its settings, and who belongs to it: workers, the credentials of workers and clients, and the
//! receivers of notifications.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tessera_model::{
    CertificateRecord, FarmSettings, PairingRecord, ReceiverRecord, SecretHash, Telling,
    TokenRecord, WorkerId, WorkerRecord,
};

use super::commit::Batch;
use super::fault::{Fault, is_taken};
use crate::WriteError;
use crate::encoding::{decode_text, encode_text};

pub(super) async fn set_farm(batch: &mut Batch<'_>, settings: &FarmSettings) -> Result<(), Fault> {
    sqlx::query("UPDATE farm SET settings = ?")
        .bind(encode_text(settings))
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

pub(super) async fn set_worker(batch: &mut Batch<'_>, worker: &WorkerRecord) -> Result<(), Fault> {
    let known = sqlx::query("UPDATE worker SET name = ?, body = ? WHERE id = ?")
        .bind(&worker.name)
        .bind(encode_text(worker))
        .bind(worker.id.0)
        .execute(&mut *batch.conn)
        .await
        .map_err(|error| name_taken(error, worker))?;
    if known.rows_affected() > 0 {
        return Ok(());
    }
    let counted = sqlx::query("UPDATE farm SET next_worker = ?1 + 1 WHERE next_worker <= ?1")
        .bind(worker.id.0)
        .execute(&mut *batch.conn)
        .await?;
    if counted.rows_affected() == 0 {
        return Err(WriteError::WorkerReused(worker.id).into());
    }
    sqlx::query("INSERT INTO worker (id, name, body) VALUES (?, ?, ?)")
        .bind(worker.id.0)
        .bind(&worker.name)
        .bind(encode_text(worker))
        .execute(&mut *batch.conn)
        .await
        .map_err(|error| name_taken(error, worker))?;
    batch.workers.insert(worker.id);
    Ok(())
}

fn name_taken(error: sqlx::Error, worker: &WorkerRecord) -> Fault {
    if is_taken(&error) {
        WriteError::WorkerNameTaken(worker.name.clone()).into()
    } else {
        error.into()
    }
}

pub(super) async fn remove_worker(batch: &mut Batch<'_>, worker: WorkerId) -> Result<(), Fault> {
    // Its leases and blocks go by the foreign keys.
    sqlx::query("DELETE FROM worker WHERE id = ?")
        .bind(worker.0)
        .execute(&mut *batch.conn)
        .await?;
    batch.forget_worker(worker);
    Ok(())
}

pub(super) async fn add_token(batch: &mut Batch<'_>, token: &TokenRecord) -> Result<(), Fault> {
    let added = sqlx::query("INSERT INTO token (id, body) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(&token.id)
        .bind(encode_text(token))
        .execute(&mut *batch.conn)
        .await?;
    if added.rows_affected() > 0 {
        return Ok(());
    }
    let before: String = sqlx::query_scalar("SELECT body FROM token WHERE id = ?")
        .bind(&token.id)
        .fetch_one(&mut *batch.conn)
        .await?;
    same(&before, token, "token", &token.id)
}

pub(super) async fn revoke_token(batch: &mut Batch<'_>, id: &str) -> Result<(), Fault> {
    sqlx::query("DELETE FROM token WHERE id = ?")
        .bind(id)
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

pub(super) async fn add_pairing(
    batch: &mut Batch<'_>,
    pairing: &PairingRecord,
) -> Result<(), Fault> {
    let hash = &pairing.hash.0[..];
    let added =
        sqlx::query("INSERT INTO pairing (hash, body) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(hash)
            .bind(encode_text(pairing))
            .execute(&mut *batch.conn)
            .await?;
    if added.rows_affected() > 0 {
        return Ok(());
    }
    let before: String = sqlx::query_scalar("SELECT body FROM pairing WHERE hash = ?")
        .bind(hash)
        .fetch_one(&mut *batch.conn)
        .await?;
    same(&before, pairing, "pairing code", "with the same hash")
}

pub(super) async fn remove_pairing(batch: &mut Batch<'_>, hash: SecretHash) -> Result<(), Fault> {
    sqlx::query("DELETE FROM pairing WHERE hash = ?")
        .bind(&hash.0[..])
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

/// Told again of one that was revoked since, it stays revoked.
pub(super) async fn issue_certificate(
    batch: &mut Batch<'_>,
    issued: &CertificateRecord,
) -> Result<(), Fault> {
    let body = CertificateRecord {
        revoked: false,
        ..issued.clone()
    };
    let added = sqlx::query(
        "INSERT INTO certificate (serial, body, revoked) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&issued.serial)
    .bind(encode_text(&body))
    .bind(issued.revoked)
    .execute(&mut *batch.conn)
    .await?;
    if added.rows_affected() > 0 {
        return Ok(());
    }
    let before: String = sqlx::query_scalar("SELECT body FROM certificate WHERE serial = ?")
        .bind(&issued.serial)
        .fetch_one(&mut *batch.conn)
        .await?;
    same(&before, &body, "certificate", &issued.serial)
}

pub(super) async fn revoke_certificate(batch: &mut Batch<'_>, serial: &str) -> Result<(), Fault> {
    sqlx::query("UPDATE certificate SET revoked = 1 WHERE serial = ?")
        .bind(serial)
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

pub(super) async fn set_receiver(
    batch: &mut Batch<'_>,
    record: &ReceiverRecord,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO receiver (name, body, telling) VALUES (?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET body = excluded.body",
    )
    .bind(&record.receiver.name)
    .bind(encode_text(record))
    .bind(encode_text(&Telling::default()))
    .execute(&mut *batch.conn)
    .await?;
    Ok(())
}

/// Of a receiver that is gone there is nothing to keep.
pub(super) async fn set_telling(
    batch: &mut Batch<'_>,
    name: &str,
    telling: &Telling,
) -> Result<(), Fault> {
    sqlx::query("UPDATE receiver SET telling = ? WHERE name = ?")
        .bind(encode_text(telling))
        .bind(name)
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

pub(super) async fn remove_receiver(batch: &mut Batch<'_>, name: &str) -> Result<(), Fault> {
    sqlx::query("DELETE FROM receiver WHERE name = ?")
        .bind(name)
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

fn same<T: Serialize + DeserializeOwned + PartialEq>(
    before: &str,
    now: &T,
    what: &'static str,
    id: &str,
) -> Result<(), Fault> {
    let before: T = decode_text(before, || format!("{what} {id}"))?;
    if before == *now {
        return Ok(());
    }
    Err(WriteError::Conflict {
        what,
        id: id.to_owned(),
    }
    .into())
}
