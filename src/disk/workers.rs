//! Work for each of many files, on a few threads.

use std::cmp::Reverse;
use std::panic;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does the work for each on so many threads, one at a time on each; gives what came of it, in the same order. Which comes first is begun first.
///
/// # Errors
/// That of the work. After it no other is begun.
pub(crate) fn each<T: Sync, R: Send, E: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    each_with(threads, items, || (), |(), item| work(item))
}

/// As [`each`], with something that each thread has for itself: a buffer.
///
/// # Errors
/// As [`each`].
pub(crate) fn each_with<T: Sync, O, R: Send, E: Send>(
    threads: usize,
    items: &[T],
    own: impl Fn() -> O + Sync,
    work: impl Fn(&mut O, &T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let some = || {
        let (mut own, mut done) = (own(), Vec::new());
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return Ok(done) };
            let result = work(&mut own, item).inspect_err(|_| next.store(items.len(), Ordering::Relaxed))?;
            done.push((index, result));
        }
    };
    let parts = thread::scope(|scope| {
        let workers = (0..threads.clamp(1, items.len().max(1))).map(|_| scope.spawn(some)).collect::<Vec<_>>();
        let join =
            |worker: thread::ScopedJoinHandle<'_, _>| worker.join().unwrap_or_else(|why| panic::resume_unwind(why));
        workers.into_iter().map(join).collect::<Result<Vec<_>, E>>()
    })?;
    let mut done = parts.into_iter().flatten().collect::<Vec<_>>();
    done.sort_unstable_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// How long a file must be for a thread to be given it alone: 1 MiB. What is shorter takes longer to open than to read.
const ALONE: u64 = 1 << 20;

/// How many shorter ones a thread is given at once, of one directory: it opens that once, and two threads seldom make files in the same.
const AT_ONCE: usize = 128;

/// Files as threads are given them: each long one alone and the longest first, since what is begun last is soon done then; the others by
/// their directories, some at once. `file` gives a file's path and its length in bytes.
pub(crate) fn batches<T>(files: &mut [T], file: impl Fn(&T) -> (&Path, u64)) -> Vec<&[T]> {
    files.sort_by(|one, other| {
        let ((one, length), (other, others)) = (file(one), file(other));
        let long = |length: u64| Reverse(if length < ALONE { 0 } else { length });
        long(length).cmp(&long(others)).then_with(|| one.parent().cmp(&other.parent())).then_with(|| one.cmp(other))
    });
    let goes_with = |one: &T, other: &T| {
        let ((one, length), (other, _)) = (file(one), file(other));
        length < ALONE && one.parent() == other.parent()
    };
    files.chunk_by(goes_with).flat_map(|batch| batch.chunks(AT_ONCE)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{ALONE, AT_ONCE, batches, each};

    #[test]
    fn long_files_come_first_and_alone_and_short_ones_by_their_directories() {
        let mut files = vec![("b/1", 5), ("a/long", ALONE), ("a/2", 0), ("c", 7), ("b/longest", ALONE + 1), ("a/1", 9)];
        let given = batches(&mut files, |(path, length)| (Path::new(path), *length));
        let names = given.iter().map(|batch| batch.iter().map(|(path, _)| *path).collect::<Vec<_>>());
        let wanted = [&["b/longest"][..], &["a/long"], &["a/1", "a/2"], &["b/1"], &["c"]];
        assert_eq!(names.collect::<Vec<_>>(), wanted);
        let mut many = vec![("a/x", 1); 2 * AT_ONCE + 1];
        let given = batches(&mut many, |(path, length)| (Path::new(path), *length));
        assert_eq!(given.iter().map(|batch| batch.len()).collect::<Vec<_>>(), [AT_ONCE, AT_ONCE, 1]);
    }

    #[test]
    fn what_came_of_each_is_in_its_order_and_an_error_is_told() {
        let numbers: Vec<u32> = (0..1000).collect();
        for threads in [0, 1, 3, 2000] {
            let doubled = each(threads, &numbers, |number| Ok::<_, u32>(number * 2)).unwrap();
            assert_eq!(doubled, numbers.iter().map(|number| number * 2).collect::<Vec<_>>());
            assert_eq!(each(threads, &numbers, |number| if *number == 700 { Err(*number) } else { Ok(()) }), Err(700));
        }
        assert_eq!(each(2, &[] as &[u32], |number| Ok::<_, u32>(*number)), Ok(Vec::new()));
    }
}
