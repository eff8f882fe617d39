//! Giving back the space of blocks that nobody wants.
//!
//! A sweep looks at every pack and asks of each record whether its block is wanted: named by the caller's [`Live`] set, or *young*, put or
//! asked about since the caller's [`Horizon`]. The horizon is taken before the roots are read, so what comes while they are read, or is
//! on its way and named by nobody yet, is out of the sweep's reach.
//!
//! - Packs without a wanted block are removed first: that needs no room, so it works on a full disk.
//! - Of packs less than half wanted, the rest is copied to the newest pack and synced; then they are removed. What is unwanted in fuller
//!   packs stays, and is served to whoever still asks: on average at most as much as is wanted lies there besides.
//! - A *note* in a pack that a block is forgotten means something as long as an older pack holds a copy of that block. Such packs are
//!   cleared too, and before the notes, so that a damaged block never comes back.
//!
//! What is decided about a block is decided again, under the lock, at the moment its place is dropped.
//!
//! Before a pack goes, its index goes and that is synced: numbers may come again after a restart, and no index may ever be found
//! beside another pack than its own.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::ops::ControlFlow;

use super::Store;
use super::catalogue::{Catalogue, Location, record_bytes};
use super::error::StoreError;
use super::files::{index_path, pack_path, read_exact_at, sync_folder};
use super::open::entries_of;
use super::record::{RECORD_LEN, Record, RecordKind};
use super::scan::Entry;
use crate::digest::Digest;
use crate::live::{Group, HeldBy, Holder, Live};

/// Packs without a wanted block that go together: two syncs of the folder for so many, while a sweep that is to stop does so within
/// moments.
const REMOVED_TOGETHER: usize = 64;

/// A moment in the life of an open store. See [`Store::horizon`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Horizon(u32);

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Blocks that are not here any more.
    pub blocks: u64,
    /// Bytes of packs that are gone.
    pub removed_bytes: u64,
    /// Bytes that were written anew for that.
    pub copied_bytes: u64,
    /// Packs that are gone.
    pub packs: u64,
    /// Whether it came to its end, or was told to stop before.
    pub finished: bool,
}

impl Collected {
    /// Bytes that the disk has back.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        self.removed_bytes.saturating_sub(self.copied_bytes)
    }
}

/// Who uses the bytes of a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes that come back if only this holder lets go, by holder.
    pub alone_bytes: HashMap<Holder, u64>,
    /// Bytes that several holders of one group hold and nobody else, by group.
    pub group_bytes: HashMap<Group, u64>,
    /// Bytes that several hold who are not of one group.
    pub shared_bytes: u64,
    /// Bytes that nobody holds: of blocks nobody wants, of damaged ones, of notes.
    pub unheld_bytes: u64,
}

/// What keeps a block.
struct Wanted<'a> {
    horizon: Horizon,
    live: &'a Live,
}

impl Wanted<'_> {
    fn contains(&self, catalogue: &Catalogue, digest: &Digest) -> bool {
        self.live.contains(digest)
            || catalogue
                .touched(digest)
                .is_some_and(|touched| touched >= self.horizon.0)
    }
}

impl Store {
    /// From now on, what is put or asked about ([`Store::contains`], [`Store::missing`], [`Store::missing_of`]) is younger than this.
    ///
    /// Between the moment at which somebody is told that a block is here and the one at which a root names it, no horizon may pass that
    /// is then swept by: whoever takes it waits for those who are in between, or sweeps by one that is older than any of them.
    pub fn horizon(&self) -> Horizon {
        Horizon(self.catalogue_mut().horizon())
    }

    /// Gives back the space of blocks that are neither in `live` nor younger than `horizon`. Blocking, and long; readers and writers go on
    /// beside it, and a second sweep waits for the first.
    ///
    /// The horizon must be older than the moment at which the roots in `live` were read. `go_on` is asked between any two steps, each of
    /// which leaves the store in order.
    ///
    /// # Errors
    /// [`StoreError::Full`] if there is no room to copy what is wanted, among others. What was given back before stays so.
    pub fn collect(
        &self,
        horizon: Horizon,
        live: &Live,
        go_on: impl FnMut() -> ControlFlow<()>,
    ) -> Result<Collected, StoreError> {
        let _turn = self
            .sweep_turn
            .lock()
            .expect("nothing panics while it holds this");
        let mut sweep = Sweep {
            store: self,
            wanted: Wanted { horizon, live },
            go_on,
            done: Collected::default(),
        };
        sweep.done.finished = sweep.run()?.is_continue();
        Ok(sweep.done)
    }

    /// Who uses how much. Blocking, and about as long as reading the indexes of all packs.
    ///
    /// # Errors
    /// If a pack cannot be read.
    pub fn usage(&self, live: &Live) -> Result<Usage, StoreError> {
        let mut usage = Usage::default();
        let numbers = self.catalogue().pack_numbers();
        for number in numbers {
            let Some(entries) = self.entries(number)? else {
                continue;
            };
            let catalogue = self.catalogue();
            for entry in entries {
                let bytes = entry_bytes(&entry);
                let held = place(&catalogue, number, &entry)
                    .map_or(HeldBy::Nobody, |_| live.held_by(&entry.digest));
                match held {
                    HeldBy::Nobody => usage.unheld_bytes += bytes,
                    HeldBy::One(holder) => *usage.alone_bytes.entry(holder).or_default() += bytes,
                    HeldBy::Group(group) => *usage.group_bytes.entry(group).or_default() += bytes,
                    HeldBy::Several => usage.shared_bytes += bytes,
                }
            }
        }
        Ok(usage)
    }

    /// The records of a pack; none if it went meanwhile.
    fn entries(&self, number: u32) -> Result<Option<Vec<Entry>>, StoreError> {
        let unsettled = self.writer().unsettled_entries(number);
        if unsettled.is_some() {
            return Ok(unsettled);
        }
        match entries_of(&self.dir, &self.packs, number) {
            Ok(entries) => Ok(Some(entries)),
            Err(StoreError::Io { source, path, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                tracing::debug!(pack = %path.display(), "the pack is gone");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn entry_bytes(entry: &Entry) -> u64 {
    RECORD_LEN as u64 + u64::from(entry.stored_len)
}

/// Where the block of a record lies, if that is the record that holds.
fn place(catalogue: &Catalogue, pack: u32, entry: &Entry) -> Option<Location> {
    catalogue
        .get(&entry.digest)
        .filter(|location| location.pack == pack && location.offset == entry.offset)
}

/// Packs that are to go, each list from the oldest on.
#[derive(Default)]
struct Plan {
    unwanted: Vec<u32>,
    sparse: Vec<u32>,
    /// Unwanted too, but for notes about blocks in packs that go before.
    notes: Vec<u32>,
}

struct Sweep<'a, G> {
    store: &'a Store,
    wanted: Wanted<'a>,
    go_on: G,
    done: Collected,
}

/// A sweep goes on, or was told to stop.
type Going = Result<ControlFlow<()>, StoreError>;

/// Leaves the function if the sweep is to stop.
macro_rules! step {
    ($going:expr) => {
        if $going.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    };
}

impl<G: FnMut() -> ControlFlow<()>> Sweep<'_, G> {
    fn run(&mut self) -> Going {
        let mut plan = Plan::default();
        step!(self.plan(&mut plan)?);
        // A pack may go because a later copy of what it holds is there: that has to be on the disk.
        self.store.sync()?;
        for packs in plan.unwanted.chunks(REMOVED_TOGETHER) {
            step!(self.clear(packs)?);
        }
        for pack in &plan.sparse {
            step!(self.clear(&[*pack])?);
        }
        for packs in plan.notes.chunks(REMOVED_TOGETHER) {
            step!(self.clear(packs)?);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Looks at all packs, the newest first, so that a note is seen before what it is about.
    fn plan(&mut self, plan: &mut Plan) -> Going {
        let mut notes: HashMap<Digest, BTreeSet<u32>> = HashMap::new();
        let mut meaningful = BTreeSet::new();
        let numbers = self.store.catalogue().pack_numbers();
        for number in numbers.into_iter().rev() {
            step!((self.go_on)());
            let unsettled = self.store.writer().unsettled_entries(number).is_some();
            let entries = match self.store.entries(number) {
                Ok(Some(entries)) => entries,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%error, "a pack is left as it is");
                    continue;
                }
            };
            let mut wanted_bytes = 0;
            let mut all_bytes = 0;
            let mut damaged = false;
            let catalogue = self.store.catalogue();
            for entry in entries.iter().rev() {
                all_bytes += entry_bytes(entry);
                if entry.kind == RecordKind::Forgotten {
                    notes.entry(entry.digest).or_default().insert(number);
                } else if let Some(location) = place(&catalogue, number, entry) {
                    if self.wanted.contains(&catalogue, &entry.digest) {
                        wanted_bytes += record_bytes(&location);
                    }
                } else if let Some(about) = notes.get(&entry.digest) {
                    damaged = true;
                    meaningful.extend(about.iter().copied().filter(|note| *note != number));
                }
            }
            drop(catalogue);
            let ended_early = !unsettled && all_bytes < self.store.writer().pack_min_bytes();
            let sparse = wanted_bytes * 2 < all_bytes || ended_early || damaged;
            if !sparse || (unsettled && entries.is_empty()) {
                continue;
            }
            if unsettled {
                self.store.writer().end_pack(number);
                self.store.sync()?;
            }
            if wanted_bytes == 0 {
                plan.unwanted.push(number);
            } else {
                plan.sparse.push(number);
            }
        }
        plan.notes = plan.unwanted.clone();
        plan.notes.retain(|pack| meaningful.contains(pack));
        plan.unwanted.retain(|pack| !meaningful.contains(pack));
        for packs in [&mut plan.unwanted, &mut plan.sparse, &mut plan.notes] {
            packs.reverse();
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Removes packs, after what is wanted of them lies elsewhere.
    fn clear(&mut self, packs: &[u32]) -> Going {
        let mut empty = Vec::with_capacity(packs.len());
        for pack in packs {
            let entries = match self.store.entries(*pack) {
                Ok(Some(entries)) => entries,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%error, "a pack is left as it is");
                    continue;
                }
            };
            // Somebody may ask for one of its blocks while others are copied; in the end nobody does.
            while !self.drop_places(*pack, &entries) {
                step!(self.copy_wanted(*pack, &entries)?);
                self.store.sync()?;
                step!((self.go_on)());
            }
            empty.push(*pack);
        }
        self.remove(&empty)
    }

    /// Drops the places of a pack's blocks, unless one of them is wanted.
    fn drop_places(&mut self, pack: u32, entries: &[Entry]) -> bool {
        let mut catalogue = self.store.catalogue_mut();
        let held: Vec<&Digest> = entries
            .iter()
            .filter(|entry| place(&catalogue, pack, entry).is_some())
            .map(|entry| &entry.digest)
            .collect();
        if held
            .iter()
            .any(|digest| self.wanted.contains(&catalogue, digest))
        {
            return false;
        }
        self.done.blocks += held.len() as u64;
        for digest in held {
            catalogue.remove(digest);
        }
        true
    }

    fn copy_wanted(&mut self, pack: u32, entries: &[Entry]) -> Going {
        for entry in entries {
            let wanted = {
                let catalogue = self.store.catalogue();
                place(&catalogue, pack, entry).is_some()
                    && self.wanted.contains(&catalogue, &entry.digest)
            };
            if wanted {
                self.copy(pack, entry)?;
                step!((self.go_on)());
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Writes a block again, at the end of the newest pack.
    fn copy(&mut self, pack: u32, entry: &Entry) -> Result<(), StoreError> {
        let store = self.store;
        let mut bytes = vec![0; RECORD_LEN + entry.stored_len as usize];
        let read = store
            .open_packs
            .get(&store.packs, pack)
            .and_then(|file| read_exact_at(&file, &mut bytes, u64::from(entry.offset)));
        let record = match read {
            Ok(()) => Record::read(&bytes),
            Err(error) => {
                tracing::warn!(pack, %error, "a block cannot be read");
                None
            }
        };
        let payload = &bytes[RECORD_LEN..];
        let whole = record.filter(|record| record.digest == entry.digest && record.holds(payload));
        let Some(record) = whole else {
            // As whoever reads it would: it counts as lacking from here on, and is asked for again.
            tracing::warn!(digest = %entry.digest, pack, "forgetting a damaged block");
            store.forget(&entry.digest)?;
            return Ok(());
        };
        let mut writer = store.writer();
        if place(&store.catalogue(), pack, entry).is_none() {
            return Ok(());
        }
        let (to, at) = writer.append(&record, payload)?;
        store.catalogue_mut().relocate(to, &at);
        self.done.copied_bytes += entry_bytes(entry);
        Ok(())
    }

    /// Removes the files of packs that hold no block any more.
    fn remove(&mut self, packs: &[u32]) -> Going {
        let store = self.store;
        for pack in packs {
            gone(
                store,
                fs::remove_file(index_path(&store.packs, *pack)),
                *pack,
            )?;
            step!((self.go_on)());
        }
        sync_names(store)?;
        for pack in packs {
            let path = pack_path(&store.packs, *pack);
            let len_bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            gone(store, fs::remove_file(&path), *pack)?;
            // After its name is gone, so that nobody opens it again.
            store.open_packs.close(*pack);
            store.catalogue_mut().remove_pack(*pack);
            self.done.packs += 1;
            self.done.removed_bytes += len_bytes;
            step!((self.go_on)());
        }
        sync_names(store)?;
        Ok((self.go_on)())
    }
}

fn gone(store: &Store, removed: io::Result<()>, pack: u32) -> Result<(), StoreError> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let path = pack_path(&store.packs, pack);
            Err(StoreError::io(&store.dir, &path, "remove", error))
        }
        _ => Ok(()),
    }
}

fn sync_names(store: &Store) -> Result<(), StoreError> {
    sync_folder(&store.packs)
        .map_err(|error| StoreError::io(&store.dir, &store.packs, "sync", error))
}

#[cfg(test)]
mod tests;
