//! Work on several threads while something is computed once for all.

use std::thread;

/// The results for all items, in their order, from as many threads as there are in rayon's pool. Not from these themselves: one
/// that waits may take up a job that needs what is being computed here, and would wait for itself.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = rayon::current_num_threads().min(items.len()).max(1);
    let work = &work;
    // items of similar cost lie together
    let share = |first: usize| move || items.iter().skip(first).step_by(threads).map(work).collect::<Vec<R>>();
    let mut shares: Vec<std::vec::IntoIter<R>> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|first| scope.spawn(share(first))).collect();
        let own = share(0)();
        let others = others.into_iter().map(|o| o.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(others).map(Vec::into_iter).collect()
    });
    (0..items.len()).filter_map(|i| shares[i % threads].next()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_are_in_the_order_of_the_items() {
        for n in [0u32, 1, 2, 7, 100] {
            let items: Vec<u32> = (0..n).collect();
            assert_eq!(super::map(&items, |i| i * i), items.iter().map(|i| i * i).collect::<Vec<_>>());
        }
    }
}
