//! An allocator that counts the bytes in use, so that what a structure holds in memory is known to the byte.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

/// All threads write to one count, so only who asks for it has it counted.
static COUNTS: AtomicBool = AtomicBool::new(false);

static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator with a count. The program that measures names it as its `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

fn count(more: usize, less: usize) {
    if COUNTS.load(Ordering::Relaxed) {
        // A layout has at most `isize::MAX` bytes.
        LIVE_BYTES.fetch_add(more as isize - less as isize, Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "an allocator is an unsafe trait; see the proof")]
// SAFETY: every call goes to the system's allocator with the arguments it came with, and its answer is handed back as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, layout.size());
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes, layout.size());
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

/// Bytes that were given back by what is done here, less those asked for; 0 in a program that does not count.
pub(super) fn bytes_freed(done: impl FnOnce()) -> usize {
    COUNTS.store(true, Ordering::Relaxed);
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    done();
    let freed = before - LIVE_BYTES.load(Ordering::Relaxed);
    COUNTS.store(false, Ordering::Relaxed);
    usize::try_from(freed).unwrap_or(0)
}
