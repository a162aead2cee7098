//! The read buffer: one per thread, never held across an await, so that an idle connection costs none.

use std::cell::RefCell;

/// Bytes read per system call.
const READ_BYTES: usize = 64 * 1024;
/// Reads in a row before others get their turn.
pub(crate) const READS_PER_TURN: usize = 8;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// Lends the thread's buffer.
pub(crate) fn with<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    READ_BUFFER.with_borrow_mut(|buffer| f(buffer))
}
