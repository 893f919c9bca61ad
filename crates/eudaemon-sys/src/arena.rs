//! The first memory of a process: a few kilobytes that are there already.
//!
//! With musl, the first allocations of a process are seven system calls and four page faults, some ten microseconds:
//! much, for a link of a chain that needs a hundred small strings and is gone.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;

/// How much there is: enough for the words and variables of a usual link. What is never used is never a page.
const SIZE: usize = 4 << 10;
/// No larger alignment is served, and none is needed.
const ALIGNMENT: usize = 16;

/// An allocator that serves from its own bytes, one block behind the other, until they are used up; then the system's.
///
/// A block is taken back only if it is the last one. That is enough for what grows, like a `Vec`, and a long-lived
/// process loses no more than the arena, whose pages it would have used otherwise.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Arena {
    bytes: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

// SAFETY: bytes are given out at most once at a time, for `used` is only changed by atomic exchanges; what is written into
// them is the affair of those who own the blocks.
unsafe impl Sync for Arena {}

impl Arena {
    /// An arena of which nothing is used.
    #[must_use]
    #[allow(
        clippy::new_without_default,
        reason = "it lives in a static, and a default is not const"
    )]
    pub const fn new() -> Arena {
        Arena {
            bytes: UnsafeCell::new([0; SIZE]),
            used: AtomicUsize::new(0),
        }
    }

    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// Where in the arena a block begins, if it is in there.
    #[inline]
    fn offset(&self, block: *mut u8) -> Option<usize> {
        let offset = block.addr().wrapping_sub(self.start().addr());
        (offset < SIZE).then_some(offset)
    }

    /// Moves the end of what is used; fails if it is elsewhere, or if somebody was quicker.
    #[inline]
    fn moves(&self, from: usize, to: usize) -> bool {
        let order = Ordering::AcqRel;
        to <= SIZE
            && self
                .used
                .compare_exchange(from, to, order, Ordering::Relaxed)
                .is_ok()
    }

    #[inline]
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        if layout.align() > ALIGNMENT {
            return None;
        }
        let used = self.used.load(Ordering::Relaxed);
        let offset = used.next_multiple_of(layout.align());
        let taken = self.moves(used, offset.checked_add(layout.size())?);
        // SAFETY: `moves` succeeded, so offset and size are within the bytes of the arena (GlobalAlloc's layouts have a
        // size above zero, so the offset is below its end).
        taken.then(|| unsafe { self.start().add(offset) })
    }
}

// SAFETY: a block from `take` is aligned (the arena is to 16, its offset to the layout's), as long as asked for, and nobody
// else's until `moves` takes it back, which `dealloc` and `realloc` do only for a block they are given. Everything else is
// System's block, and goes to System.
unsafe impl GlobalAlloc for Arena {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout)
            // SAFETY: our caller's promise is the one System needs.
            .unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(block) => {
                // SAFETY: the block is ours to write, as long as its layout. It may have been used before.
                unsafe { block.write_bytes(0, layout.size()) };
                block
            }
            // SAFETY: our caller's promise is the one System needs.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            Some(offset) => {
                self.moves(offset + layout.size(), offset);
            }
            // SAFETY: it is not in the arena, so System gave it, for this layout.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(block) else {
            // SAFETY: it is not in the arena, so System gave it, for this layout; the size is our caller's promise.
            return unsafe { System.realloc(block, layout, size) };
        };
        // A size is at most isize::MAX, so this is no overflow.
        if self.moves(offset + layout.size(), offset + size) {
            return block;
        }
        // SAFETY: our caller promises a size that is no overflow when rounded up to the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the size is above zero, by our caller's promise.
        let other = unsafe { self.alloc(wanted) };
        if !other.is_null() {
            // SAFETY: both blocks are at least this long, and different: the old one is not given back yet.
            unsafe { other.copy_from_nonoverlapping(block, layout.size().min(size)) };
            // SAFETY: it is our caller's block, which they give up.
            unsafe { self.dealloc(block, layout) };
        }
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block that holds its own pattern and gives itself back.
    struct Block<'a> {
        arena: &'a Arena,
        at: *mut u8,
        layout: Layout,
        fill: u8,
    }

    impl<'a> Block<'a> {
        fn new(arena: &'a Arena, size: usize, align: usize, fill: u8) -> Block<'a> {
            let layout = Layout::from_size_align(size, align).expect("a layout");
            // SAFETY: the size is above zero.
            let at = unsafe { arena.alloc(layout) };
            assert!(!at.is_null() && at.addr().is_multiple_of(align));
            // SAFETY: the block is ours, and as long.
            unsafe { at.write_bytes(fill, size) };
            Block {
                arena,
                at,
                layout,
                fill,
            }
        }

        fn inside(&self) -> bool {
            self.arena.offset(self.at).is_some()
        }

        fn whole(&self, length: usize) -> bool {
            // SAFETY: the block is ours, and at least as long.
            unsafe { std::slice::from_raw_parts(self.at, length) }
                .iter()
                .all(|&byte| byte == self.fill)
        }

        fn resize(&mut self, size: usize) {
            // SAFETY: the block came from this arena with this layout, and the size is above zero.
            self.at = unsafe { self.arena.realloc(self.at, self.layout, size) };
            assert!(self.whole(size.min(self.layout.size())));
            self.layout = Layout::from_size_align(size, self.layout.align()).expect("a layout");
            // SAFETY: the block is ours, and as long.
            unsafe { self.at.write_bytes(self.fill, size) };
        }
    }

    impl Drop for Block<'_> {
        fn drop(&mut self) {
            assert!(self.whole(self.layout.size()));
            // SAFETY: the block came from this arena with this layout, and is not used again.
            unsafe { self.arena.dealloc(self.at, self.layout) };
        }
    }

    #[test]
    fn the_last_block_grows_shrinks_and_is_taken_back() {
        let arena = Arena::new();
        let first = Block::new(&arena, 3, 1, 1);
        let mut last = Block::new(&arena, 8, 8, 2);
        let place = last.at;
        last.resize(800);
        last.resize(20);
        assert_eq!(last.at, place);
        drop(last);
        // What was the last one's is the next one's.
        assert_eq!(Block::new(&arena, 9, 8, 3).at, place);
        assert!(first.inside());
    }

    #[test]
    fn one_that_is_not_the_last_moves_and_leaves_its_neighbour_alone() {
        let arena = Arena::new();
        let mut first = Block::new(&arena, 8, 1, 1);
        let last = Block::new(&arena, 8, 1, 2);
        let place = first.at;
        first.resize(9);
        assert_ne!(first.at, place);
        assert!(first.inside() && last.whole(8));
    }

    #[test]
    fn what_does_not_fit_is_the_systems() {
        let arena = Arena::new();
        assert!(!Block::new(&arena, SIZE + 1, 1, 1).inside());
        assert!(!Block::new(&arena, 64, 64, 1).inside());
        let mut all = Block::new(&arena, SIZE, 1, 2);
        assert!(all.inside());
        let mut more = Block::new(&arena, 1, 1, 3);
        assert!(!more.inside());
        more.resize(100);
        all.resize(SIZE + 1);
        assert!(!all.inside());
    }

    #[test]
    fn zeroed_is_zeroed_though_used_before() {
        let arena = Arena::new();
        drop(Block::new(&arena, 100, 1, 0xff));
        let layout = Layout::from_size_align(100, 1).expect("a layout");
        // SAFETY: the size is above zero.
        let at = unsafe { arena.alloc_zeroed(layout) };
        let block = Block {
            arena: &arena,
            at,
            layout,
            fill: 0,
        };
        assert!(block.inside() && block.whole(100));
    }

    #[test]
    fn threads_get_different_bytes() {
        let arena = &Arena::new();
        std::thread::scope(|scope| {
            for fill in 1..=4 {
                scope.spawn(move || {
                    for round in 1..2000 {
                        let mut kept = Block::new(arena, round % 60 + 1, 1 << (round % 5), fill);
                        let dropped = Block::new(arena, 24, 8, fill);
                        kept.resize(round % 90 + 1);
                        drop(dropped);
                    }
                });
            }
        });
    }
}
