//! Axes: where a value lies and which values get a tick.

/// Ticks of a linear axis at most.
const TICKS_MAX: usize = 8;

/// One axis, of values to 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// From 0 or below to a round number.
    Linear { from: f64, to: f64 },
    /// Between powers of ten.
    Log { from: i32, to: i32 },
}

impl Scale {
    /// Linear, of all `values` and zero.
    pub(super) fn linear(values: impl IntoIterator<Item = f64>) -> Scale {
        let (low, high) = span(values).unwrap_or((0.0, 1.0));
        let (low, high) = (low.min(0.0), high.max(0.0));
        let step = step((high - low).max(f64::MIN_POSITIVE));
        let to = (high / step).ceil() * step;
        Scale::Linear { from: (low / step).floor() * step, to: if to > 0.0 { to } else { step } }
    }

    /// Linear, exactly from `from` to `to`.
    pub(super) fn exact(from: f64, to: f64) -> Scale {
        Scale::Linear { from, to: if to > from { to } else { from + 1.0 } }
    }

    /// Logarithmic, of all positive `values`.
    pub(super) fn log(values: impl IntoIterator<Item = f64>) -> Scale {
        let (low, high) = span(values.into_iter().filter(|value| *value > 0.0)).unwrap_or((1.0, 10.0));
        let (from, to) = (power(low.log10().floor()), power(high.log10().ceil()));
        Scale::Log { from, to: to.max(from.saturating_add(1)) }
    }

    /// Where `value` lies, 0 to 1; values outside at the edge.
    pub(super) fn place(self, value: f64) -> f64 {
        let place = match self {
            Scale::Linear { from, to } => (value - from) / (to - from),
            Scale::Log { from, to } => {
                (value.max(f64::MIN_POSITIVE).log10() - f64::from(from)) / f64::from(to.saturating_sub(from))
            }
        };
        place.clamp(0.0, 1.0)
    }

    /// Values with a labelled tick, ascending.
    pub(super) fn ticks(self) -> Vec<f64> {
        match self {
            Scale::Linear { from, to } => {
                let step = step(to - from);
                let first = (from / step).ceil();
                (0..=TICKS_MAX.saturating_mul(2))
                    .map(|i| (first + i as f64) * step)
                    .take_while(|tick| *tick <= to + step * 1e-6)
                    .collect()
            }
            // Few decades leave room for ticks within them.
            Scale::Log { from, to } if to.saturating_sub(from) <= 3 => {
                let within = |power| [1.0, 2.0, 5.0].map(|factor| factor * 10_f64.powi(power));
                (from..to).flat_map(within).chain([10_f64.powi(to)]).collect()
            }
            Scale::Log { from, to } => (from..=to).map(|power| 10_f64.powi(power)).collect(),
        }
    }
}

/// A whole logarithm as an integer, within what latencies and rates can be.
fn power(log: f64) -> i32 {
    (-9..=12).find(|power| f64::from(*power) >= log).unwrap_or(12)
}

/// Smallest and largest of what is a number.
fn span(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|value| value.is_finite()).fold(None, |span, value| {
        let (low, high) = span.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

/// 1, 2 or 5 times a power of ten, so that `length` has at most [`TICKS_MAX`] of it.
fn step(length: f64) -> f64 {
    let rough = length / (TICKS_MAX as f64 - 1.0);
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(rough)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_ends_at_round_numbers() {
        let axis = Scale::linear([3.0, 9_750.0, f64::NAN]);
        assert_eq!(axis, Scale::Linear { from: 0.0, to: 10_000.0 });
        assert_eq!(axis.ticks(), [0.0, 2_000.0, 4_000.0, 6_000.0, 8_000.0, 10_000.0]);
        assert_eq!(axis.place(5_000.0), 0.5);
        assert_eq!(axis.place(1e9), 1.0);
        assert!(Scale::linear([-7.0, 3.0]).ticks().contains(&0.0));
        assert_eq!(Scale::linear([]).ticks().len(), 6);
        assert_eq!(Scale::linear([0.0]).place(0.0), 0.0);
    }

    #[test]
    fn a_log_axis_has_decades() {
        let axis = Scale::log([0.0, 0.7, 240.0]);
        assert_eq!(axis, Scale::Log { from: -1, to: 3 });
        assert_eq!(axis.ticks().len(), 5);
        assert!((axis.place(10.0) - 0.5).abs() < 1e-9);
        assert_eq!(Scale::log([10.0]), Scale::Log { from: 1, to: 2 });
        assert_eq!(Scale::log([10.0]).ticks(), [10.0, 20.0, 50.0, 100.0]);
        assert_eq!(Scale::log([]), Scale::Log { from: 0, to: 1 });
    }
}
