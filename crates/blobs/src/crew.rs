//! Many files cut at once, by a thread for each core.
//!
//! Finding the cuts and hashing is what packing waits for once files are in memory, and one file is one stream, so files are shared
//! out among threads. What each thread holds is bounded by the largest block, whatever the files are.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

use crate::cut::CutError;
use crate::origin::FileBlocks;

/// Most threads that cut: each holds some 8 MiB (the cutter's window and a block of [`crate::MAX_BLOCK_BYTES`]), and disks give
/// no more to more of them.
const THREADS_MAX: usize = 8;

/// Cuts files, each once, in any order, and hands the outcomes with their positions to `each` on this thread, until that breaks.
pub fn cut_files<P: AsRef<Path> + Sync>(
    paths: &[P],
    mut each: impl FnMut(usize, Result<FileBlocks, CutError>) -> ControlFlow<()>,
) {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = cores.min(THREADS_MAX).min(paths.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // As many wait to be taken as are being cut: a file of a thousand blocks is some 60 KB here.
        let (give, take) = sync_channel(threads);
        for _ in 0..threads {
            let (give, next) = (give.clone(), &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = paths.get(at) else { return };
                    if give.send((at, FileBlocks::of(path.as_ref()))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(give);
        for (at, cut) in take {
            if each(at, cut).is_break() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::write_file;
    use std::convert::Infallible;
    use std::path::PathBuf;

    #[test]
    fn every_file_is_cut_once_and_as_it_is_alone() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..200_u32)
            .map(|number| {
                let path = dir.path().join(number.to_string());
                std::fs::write(&path, number.to_le_bytes().repeat(number as usize)).unwrap();
                path
            })
            .collect();
        let mut seen = vec![0; paths.len()];
        cut_files(&paths, |at, blocks| {
            let alone = write_file(&paths[at], |_| Ok::<_, Infallible>(())).unwrap();
            assert_eq!(*blocks.unwrap().cut(), alone);
            seen[at] += 1;
            ControlFlow::Continue(())
        });
        assert!(seen.iter().all(|times| *times == 1));

        // It ends when told to, though thousands are left, and says what it could not read.
        let absent = vec![dir.path().join("absent"); 5_000];
        let mut times = 0;
        cut_files(&absent, |_, blocks| {
            assert!(matches!(blocks, Err(CutError::Open { .. })));
            times += 1;
            ControlFlow::Break(())
        });
        assert_eq!(times, 1);
        cut_files(&absent[..0], |_, _| unreachable!("there is none"));
    }
}
