//! Where the names at the right end of lines go: as near to their line as they can without overlapping.

/// Heights for names that would like to be at `wanted`, at least `gap` apart and between `top` and `bottom`, in
/// the order of `wanted`. The sum of the squared distances from `wanted` is the least there is.
///
/// With the n-th name from above moved up by n gaps, "apart" becomes "in order", and names in the wrong
/// order share their mean (the pool-adjacent-violators algorithm).
pub(super) fn spread(wanted: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut pools: Vec<(f64, f64)> = Vec::new(); // mean and count
    for (place, name) in order.iter().enumerate() {
        let mut pool = (wanted[*name] - place as f64 * gap, 1.0);
        while let Some((mean, count)) = pools.last().copied().filter(|above| above.0 > pool.0) {
            pools.pop();
            pool = ((mean * count + pool.0 * pool.1) / (count + pool.1), count + pool.1);
        }
        pools.push(pool);
    }
    let lowest = bottom - wanted.len().saturating_sub(1) as f64 * gap;
    let moved = pools.iter().flat_map(|(mean, count)| vec![mean.min(lowest).max(top); *count as usize]);
    let mut heights = vec![0.0; wanted.len()];
    for (place, (name, height)) in order.iter().zip(moved).enumerate() {
        heights[*name] = height + place as f64 * gap;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_room_stay_where_they_are_and_others_move_as_little_as_possible() {
        assert_eq!(spread(&[30.0, 10.0], 10.0, 0.0, 100.0), [30.0, 10.0]);
        assert_eq!(spread(&[51.0, 49.0, 90.0], 10.0, 0.0, 100.0), [55.0, 45.0, 90.0]);
        assert_eq!(spread(&[50.0, 50.0, 50.0], 10.0, 0.0, 100.0), [40.0, 50.0, 60.0]);
        assert_eq!(spread(&[], 10.0, 0.0, 100.0), [0.0; 0]);
    }

    #[test]
    fn names_stay_between_top_and_bottom() {
        assert_eq!(spread(&[0.0, 1.0, 2.0], 10.0, 0.0, 100.0), [0.0, 10.0, 20.0]);
        assert_eq!(spread(&[100.0, 99.0, 0.0], 10.0, 0.0, 100.0), [100.0, 90.0, 0.0]);
    }
}
