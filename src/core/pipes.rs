//! The pool of kernel pipes that bulk transfers are spliced through without a copy in user space.
//!
//! A pipe is borrowed only while it holds bytes, so that a few serve many connections. A pipe
//! released empty is kept for reuse; one released with bytes in it is closed.

use std::io;

/// A pipe of the operating system, or of the simulation.
pub trait Pipe: Sized {
    /// Opens a pipe with a capacity of `bytes`, or less if the system grants no more.
    fn open(bytes: usize) -> io::Result<Self>;
    /// Returns the granted capacity in bytes.
    fn capacity(&self) -> usize;
}

/// The pipe type where splicing is not supported. It has no values.
#[derive(Debug)]
pub enum NoPipe {}

impl Pipe for NoPipe {
    fn open(_: usize) -> io::Result<NoPipe> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn capacity(&self) -> usize {
        match *self {}
    }
}

/// Maximum number of pipes in use. Each has two descriptors. Further flows copy.
pub const MOST_PIPES: usize = 64;

/// Number of pipes that are large: one connection then moves 1 MiB in two calls. Further pipes are
/// smaller, since all share the user's pipe quota (64 MiB by default) and the CPU caches.
const LARGE_PIPES: usize = 4;
/// Capacity of a large pipe, in bytes.
const LARGE_BYTES: usize = 1024 * 1024;
/// Capacity of every other pipe, in bytes.
const BYTES: usize = 256 * 1024;

/// Minimum capacity of a pipe, in bytes. A smaller one gains nothing over copying.
const MIN_BYTES: usize = 128 * 1024;

/// Maximum number of empty pipes kept for reuse.
const MAX_SPARE: usize = 8;

/// The spare pipes, and the number of pipes in use.
#[derive(Debug)]
pub struct Pipes<P> {
    spare: Vec<P>,
    in_use: usize,
    /// The system refused a pipe, or granted too little: no other is opened.
    refused: bool,
}

/// Returns the most bytes that `flows` flows can hold: as many as possible hold a pipe, the others
/// `copied` bytes each.
pub fn most_bytes(flows: usize, copied: usize) -> usize {
    let piped = flows.min(MOST_PIPES);
    // A large pipe is only opened while fewer than LARGE_PIPES are in use and none is spare.
    let large = piped.min(LARGE_PIPES);
    large * LARGE_BYTES + (piped - large) * BYTES + (flows - piped) * copied
}

impl<P> Default for Pipes<P> {
    fn default() -> Self {
        Pipes { spare: Vec::new(), in_use: 0, refused: false }
    }
}

impl<P: Pipe> Pipes<P> {
    /// Borrows an empty pipe, if one is available.
    pub fn borrow(&mut self) -> Option<P> {
        if self.in_use >= MOST_PIPES {
            return None;
        }
        let wanted = if self.in_use < LARGE_PIPES { LARGE_BYTES } else { BYTES };
        let pipe = self.spare.pop().or_else(|| self.open(wanted))?;
        self.in_use += 1;
        Some(pipe)
    }

    /// Takes a pipe back. One that is not empty is closed: its bytes have no receiver.
    pub fn release(&mut self, pipe: P, empty: bool) {
        self.in_use -= 1;
        if empty && self.spare.len() < MAX_SPARE {
            self.spare.push(pipe);
        }
    }

    /// Returns the number of pipes in use.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    fn open(&mut self, bytes: usize) -> Option<P> {
        if self.refused {
            return None;
        }
        let pipe = P::open(bytes).ok().filter(|pipe| pipe.capacity() >= MIN_BYTES);
        // With other pipes in use the cause may pass (EMFILE), so opening is tried again later.
        self.refused = pipe.is_none() && self.in_use == 0;
        pipe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Granted(usize);

    impl Pipe for Granted {
        fn open(bytes: usize) -> io::Result<Granted> {
            Ok(Granted(bytes))
        }

        fn capacity(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn a_pipe_released_empty_is_reused() {
        let mut pipes = Pipes::<Granted>::default();
        let pipe = pipes.borrow().unwrap();
        assert_eq!((pipe.capacity(), pipes.in_use()), (LARGE_BYTES, 1));
        pipes.release(pipe, true);
        assert_eq!((pipes.spare.len(), pipes.in_use()), (1, 0));
        let pipe = pipes.borrow().unwrap();
        pipes.release(pipe, false);
        assert!(pipes.spare.is_empty());
    }

    #[test]
    fn pipes_are_large_while_few_are_in_use_and_never_more_than_the_limit() {
        let mut pipes = Pipes::<Granted>::default();
        let borrowed: Vec<Granted> = std::iter::from_fn(|| pipes.borrow()).collect();
        assert_eq!(borrowed.len(), MOST_PIPES);
        assert_eq!(borrowed.iter().filter(|pipe| pipe.0 == LARGE_BYTES).count(), LARGE_PIPES);
    }

    #[test]
    fn flows_hold_at_most_all_pipes_and_a_copy_for_each_other_flow() {
        assert_eq!(most_bytes(0, 10), 0);
        assert_eq!(most_bytes(2, 10), 2 * LARGE_BYTES);
        let mut pipes = Pipes::<Granted>::default();
        let total: usize = std::iter::from_fn(|| pipes.borrow()).map(|pipe| pipe.0).sum();
        assert_eq!(most_bytes(MOST_PIPES, 10), total);
        assert_eq!(most_bytes(MOST_PIPES + 3, 10), total + 30);
    }

    #[test]
    fn there_are_never_more_large_pipes_than_a_few_however_they_come_and_go() {
        let mut random = crate::core::Random::new(1);
        let (mut pipes, mut borrowed) = (Pipes::<Granted>::default(), Vec::new());
        for _ in 0..20_000 {
            match random.below(2) {
                0 => borrowed.extend(pipes.borrow()),
                _ if borrowed.is_empty() => {}
                _ => {
                    let pipe = borrowed.swap_remove(random.below(borrowed.len() as u64) as usize);
                    pipes.release(pipe, random.below(3) > 0);
                }
            }
            let all = borrowed.iter().chain(&pipes.spare);
            assert!(all.filter(|pipe| pipe.0 == LARGE_BYTES).count() <= LARGE_PIPES);
        }
    }

    #[test]
    fn a_system_without_pipes_is_asked_once() {
        let mut pipes = Pipes::<NoPipe>::default();
        assert!(pipes.borrow().is_none());
        assert!(pipes.refused);
    }

    /// A pipe that is granted `N` bytes, whatever is asked for.
    struct Stingy<const N: usize>;

    impl<const N: usize> Pipe for Stingy<N> {
        fn open(_: usize) -> io::Result<Stingy<N>> {
            Ok(Stingy)
        }

        fn capacity(&self) -> usize {
            N
        }
    }

    #[test]
    fn a_pipe_is_used_from_128_kib_on() {
        assert!(Pipes::<Stingy<{ 128 * 1024 }>>::default().borrow().is_some());
        assert!(Pipes::<Stingy<{ 128 * 1024 - 1 }>>::default().borrow().is_none());
    }

    #[test]
    fn a_large_pipe_has_a_mebibyte_and_any_other_a_quarter() {
        let mut pipes = Pipes::<Granted>::default();
        let sizes: Vec<usize> = std::iter::from_fn(|| pipes.borrow()).map(|pipe| pipe.0).collect();
        assert_eq!(sizes[..5], [1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 18]);
        assert_eq!((sizes.len(), pipes.in_use()), (64, 64));
    }

    #[test]
    fn eight_empty_pipes_are_kept() {
        let mut pipes = Pipes::<Granted>::default();
        let borrowed: Vec<Granted> = (0..10).filter_map(|_| pipes.borrow()).collect();
        borrowed.into_iter().for_each(|pipe| pipes.release(pipe, true));
        assert_eq!((pipes.spare.len(), pipes.in_use()), (8, 0));
    }

    /// Running out of descriptors while other pipes are in use may pass.
    #[test]
    fn a_system_that_refuses_while_pipes_are_in_use_is_asked_again() {
        let mut pipes = Pipes::<Stingy<1>> { in_use: 1, ..Pipes::default() };
        assert!(pipes.borrow().is_none() && !pipes.refused);
        pipes.in_use = 0;
        assert!(pipes.borrow().is_none() && pipes.refused);
    }
}
