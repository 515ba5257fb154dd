//! The scale of an axis: maps values to pixels, and chooses round values for the ticks.

/// A linear or logarithmic scale.
#[derive(Clone, Copy, Debug)]
pub struct AxisScale {
    from: f64,
    to: f64,
    log: bool,
    /// Pixel positions of both ends.
    pixels: (f64, f64),
}

impl AxisScale {
    pub fn linear(from: f64, to: f64, pixels: (f64, f64)) -> AxisScale {
        let to = if to > from { to } else { from + 1.0 };
        AxisScale { from, to, log: false, pixels }
    }

    /// Creates a logarithmic scale. Both ends must be above zero.
    pub fn log(from: f64, to: f64, pixels: (f64, f64)) -> AxisScale {
        let from = from.max(f64::MIN_POSITIVE);
        let to = if to > from { to } else { from * 10.0 };
        AxisScale { from, to, log: true, pixels }
    }

    /// Returns the pixel position of a value.
    pub fn at(&self, value: f64) -> f64 {
        let share = match self.log {
            true => {
                let value = value.clamp(self.from, self.to);
                (value / self.from).ln() / (self.to / self.from).ln()
            }
            false => (value.clamp(self.from, self.to) - self.from) / (self.to - self.from),
        };
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    /// Returns about `about` round values between both ends.
    pub fn ticks(&self, about: usize) -> Vec<f64> {
        match self.log {
            true => self.log_ticks(about),
            false => self.linear_ticks(about),
        }
    }

    fn linear_ticks(&self, about: usize) -> Vec<f64> {
        let step = round_up((self.to - self.from) / about.max(1) as f64);
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        (first..=last).map(|at| at as f64 * step).collect()
    }

    /// Returns powers of ten; if they are few, also multiples by two and five.
    fn log_ticks(&self, about: usize) -> Vec<f64> {
        let (first, last) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
        let inside = |value: &f64| *value >= self.from * 0.999 && *value <= self.to * 1.001;
        let of = |parts: &[f64]| -> Vec<f64> {
            let powers = (first..=last).map(|power| 10f64.powi(power));
            powers.flat_map(|power| parts.iter().map(move |part| part * power)).collect()
        };
        for parts in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0][..], &[1.0][..]] {
            let ticks: Vec<f64> = of(parts).into_iter().filter(inside).collect();
            if ticks.len() <= about.max(2) {
                return ticks;
            }
        }
        let ticks: Vec<f64> = of(&[1.0]).into_iter().filter(inside).collect();
        let step = ticks.len().div_ceil(about.max(1));
        ticks.into_iter().step_by(step).collect()
    }
}

/// Rounds up to 1, 2, 2.5, 5 or 10 times a power of ten.
pub fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let part = value / power;
    let round = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|round| part <= round * 1.000_001);
    round.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_between_the_ends() {
        let ticks = |from, to| AxisScale::linear(from, to, (0.0, 1.0)).ticks(5);
        assert_eq!(ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.0, 1.0), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(3.0, 3.0).len(), 6);
        let ticks = |from, to| AxisScale::log(from, to, (0.0, 1.0)).ticks(6);
        assert_eq!(ticks(10.0, 100.0), [10.0, 20.0, 50.0, 100.0]);
        assert_eq!(ticks(10.0, 1e7).len(), 4);
        assert_eq!(ticks(1.0, 1e5), [1.0, 10.0, 100.0, 1e3, 1e4, 1e5]);
    }

    #[test]
    fn values_are_placed_in_proportion() {
        let linear = AxisScale::linear(0.0, 10.0, (100.0, 0.0));
        assert_eq!((linear.at(0.0), linear.at(5.0), linear.at(99.0)), (100.0, 50.0, 0.0));
        let log = AxisScale::log(1.0, 100.0, (0.0, 10.0));
        assert!((log.at(10.0) - 5.0).abs() < 1e-9 && log.at(0.0) == 0.0);
    }

    #[test]
    fn a_step_is_rounded_up() {
        for (value, round) in [(0.7, 1.0), (1.1, 2.0), (2.2, 2.5), (30.0, 50.0), (0.0, 1.0)] {
            assert_eq!(round_up(value), round);
        }
    }
}
