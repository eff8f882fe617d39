//! What is still to happen, in the order of time; what is due at one instant in the order it was planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Planned events.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Planned<E>>>,
    planned: u64,
}

#[derive(Debug)]
struct Planned<E> {
    at: Duration,
    number: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            planned: 0,
        }
    }

    pub(crate) fn push(&mut self, at: Duration, event: E) {
        let number = self.planned;
        self.planned += 1;
        self.heap.push(Reverse(Planned { at, number, event }));
    }

    pub(crate) fn pop(&mut self) -> Option<(Duration, E)> {
        let Reverse(next) = self.heap.pop()?;
        Some((next.at, next.event))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
