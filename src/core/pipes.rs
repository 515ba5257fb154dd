//! Pipes: buffers of the kernel, through which a bulk of bytes passes without being copied by us.
//!
//! A pipe is lent only while bytes are in it, so that few serve many connections. One that is given
//! back empty is kept for the next; one with bytes in it is destroyed.

use std::io;

/// A pipe of the system, or of the simulation.
pub trait Pipe: Sized {
    /// Opens an empty one that holds `bytes`, or fewer if the system grants no more.
    fn open(bytes: usize) -> io::Result<Self>;
    /// How many bytes it was granted.
    fn capacity(&self) -> usize;
}

/// For systems and sockets that know no splicing: there is none of it.
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

/// So many pipes may be open at once, each of them two descriptors. Who finds none copies.
pub const MOST_PIPES: usize = 64;

/// While few are lent they are large: one connection then moves a mebibyte in two calls. Many share
/// what a user may have in pipes (64 MiB by default), and caches.
const FEW: usize = 4;
const LARGE_BYTES: usize = 1024 * 1024;
const BYTES: usize = 256 * 1024;

/// A pipe that was granted less than this gains nothing over copying.
const LEAST_BYTES: usize = 128 * 1024;

/// So many empty pipes are kept for the next who wants one.
const SPARE: usize = 8;

/// All pipes there are, but for those that are lent.
#[derive(Debug)]
pub struct Pipes<P> {
    spare: Vec<P>,
    lent: usize,
    /// The system refused, or granted too little: it is not asked again.
    refused: bool,
}

/// The most that so many flows can ever hold if each of them holds a pipe as long as there are any,
/// and `copied` bytes otherwise.
pub fn most_bytes(flows: usize, copied: usize) -> usize {
    let piped = flows.min(MOST_PIPES);
    // A large one is only opened while fewer than that are lent and none is spare.
    let large = piped.min(FEW);
    large * LARGE_BYTES + (piped - large) * BYTES + (flows - piped) * copied
}

impl<P> Default for Pipes<P> {
    fn default() -> Self {
        Pipes { spare: Vec::new(), lent: 0, refused: false }
    }
}

impl<P: Pipe> Pipes<P> {
    /// An empty pipe, if one is to be had.
    pub fn borrow(&mut self) -> Option<P> {
        if self.lent >= MOST_PIPES {
            return None;
        }
        let wanted = if self.lent < FEW { LARGE_BYTES } else { BYTES };
        let pipe = self.spare.pop().or_else(|| self.open(wanted))?;
        self.lent += 1;
        Some(pipe)
    }

    /// A pipe comes back. With bytes in it, it is destroyed: they are nobody's any more.
    pub fn release(&mut self, pipe: P, empty: bool) {
        self.lent -= 1;
        if empty && self.spare.len() < SPARE {
            self.spare.push(pipe);
        }
    }

    /// How many are lent.
    pub fn in_use(&self) -> usize {
        self.lent
    }

    fn open(&mut self, bytes: usize) -> Option<P> {
        if self.refused {
            return None;
        }
        let pipe = P::open(bytes).ok().filter(|pipe| pipe.capacity() >= LEAST_BYTES);
        // Out of descriptors is a state that passes, but a relay in it has other worries.
        self.refused = pipe.is_none() && self.lent == 0;
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
    fn a_pipe_that_comes_back_empty_is_lent_again() {
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
    fn pipes_are_large_while_few_are_out_and_never_more_than_the_limit() {
        let mut pipes = Pipes::<Granted>::default();
        let lent: Vec<Granted> = std::iter::from_fn(|| pipes.borrow()).collect();
        assert_eq!(lent.len(), MOST_PIPES);
        assert_eq!(lent.iter().filter(|pipe| pipe.0 == LARGE_BYTES).count(), FEW);
    }

    #[test]
    fn the_most_that_flows_hold_is_what_all_pipes_hold_and_a_copy_for_each_other_flow() {
        assert_eq!(most_bytes(0, 10), 0);
        assert_eq!(most_bytes(2, 10), 2 * LARGE_BYTES);
        let mut pipes = Pipes::<Granted>::default();
        let lent: usize = std::iter::from_fn(|| pipes.borrow()).map(|pipe| pipe.0).sum();
        assert_eq!(most_bytes(MOST_PIPES, 10), lent);
        assert_eq!(most_bytes(MOST_PIPES + 3, 10), lent + 30);
    }

    #[test]
    fn there_are_never_more_large_pipes_than_a_few_however_they_come_and_go() {
        let mut random = crate::core::Random::new(1);
        let (mut pipes, mut lent) = (Pipes::<Granted>::default(), Vec::new());
        for _ in 0..20_000 {
            match random.below(2) {
                0 => lent.extend(pipes.borrow()),
                _ if lent.is_empty() => {}
                _ => {
                    let pipe = lent.swap_remove(random.below(lent.len() as u64) as usize);
                    pipes.release(pipe, random.below(3) > 0);
                }
            }
            let all = lent.iter().chain(&pipes.spare);
            assert!(all.filter(|pipe| pipe.0 == LARGE_BYTES).count() <= FEW);
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
        let lent: Vec<Granted> = (0..10).filter_map(|_| pipes.borrow()).collect();
        lent.into_iter().for_each(|pipe| pipes.release(pipe, true));
        assert_eq!((pipes.spare.len(), pipes.in_use()), (8, 0));
    }

    /// Out of descriptors while others are lent: that may pass.
    #[test]
    fn a_system_that_refuses_while_pipes_are_lent_is_asked_again() {
        let mut pipes = Pipes::<Stingy<1>> { lent: 1, ..Pipes::default() };
        assert!(pipes.borrow().is_none() && !pipes.refused);
        pipes.lent = 0;
        assert!(pipes.borrow().is_none() && pipes.refused);
    }
}
