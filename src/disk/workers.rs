//! Work for each of many files, on a few threads.

use std::panic;
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

#[cfg(test)]
mod tests {
    use super::each;

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
