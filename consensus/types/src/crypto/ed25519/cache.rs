//! Keys whose square root has been taken.

use super::PublicKey;
use curve25519_dalek::edwards::EdwardsPoint;
use std::fmt;
use std::sync::Mutex;

type Entry = Option<(PublicKey, Option<EdwardsPoint>)>;

/// A bounded memory of decompressed keys: it spares a check the root of A, 4 µs of a single one's 37.
///
/// It only ever holds what decompressing the bytes gives, also that they are no point: nothing that is sent can make it
/// answer falsely. Each key has one place, by its first bytes; whoever floods it with keys evicts others, and those cost what
/// they cost without it. Memory is fixed when it is made, about 220 bytes a place, and the places are locked one by one.
pub struct KeyCache {
    places: Box<[Mutex<Entry>]>,
}

impl KeyCache {
    /// A cache of `places` keys; 0 makes one that remembers nothing.
    #[must_use]
    pub fn new(places: usize) -> KeyCache {
        KeyCache { places: std::iter::repeat_with(Mutex::default).take(places).collect() }
    }

    /// The point, remembered or computed; `None` if `key` is none.
    pub(super) fn point(&self, key: &PublicKey) -> Option<EdwardsPoint> {
        let (first, _) = key.0.split_first_chunk::<8>()?;
        let index =
            u64::from_le_bytes(*first).checked_rem(self.places.len() as u64).and_then(|i| usize::try_from(i).ok());
        let Some(place) = index.and_then(|index| self.places.get(index)) else { return key.decompress() };
        // A thread that died while it held the lock has left a whole entry: it is replaced at once.
        let read = || *place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((held, point)) = read()
            && held == *key
        {
            return point;
        }
        let point = key.decompress();
        *place.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((*key, point));
        point
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCache of {} keys", self.places.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A point, another and no point, whose keys share their first 31 bytes: one place for all, and each gets its own.
    #[test]
    fn keys_that_differ_in_the_last_byte_are_not_confused() {
        let keys: Vec<PublicKey> = (0..=0xff)
            .map(|last| {
                let mut bytes = [7; 32];
                bytes[31] = last;
                PublicKey(bytes)
            })
            .collect();
        let cache = KeyCache::new(1 << 10);
        let points = keys.iter().filter(|key| key.decompress().is_some()).count();
        assert!((64..192).contains(&points));
        for key in keys.iter().chain(keys.iter().rev()) {
            assert_eq!(cache.point(key), key.decompress());
            assert_eq!(cache.point(key), key.decompress());
        }
    }

    /// A thread that dies with the lock in hand costs nobody anything.
    #[test]
    fn a_poisoned_place_is_used_on() {
        let cache = KeyCache::new(1);
        let [a, b] = [[1; 32], [2; 32]].map(PublicKey);
        assert_eq!(cache.point(&a), a.decompress());
        std::thread::scope(|scope| {
            let died = scope.spawn(|| {
                let _held = cache.places.first().unwrap().lock();
                panic!("on purpose, with the lock in hand");
            });
            assert!(died.join().is_err());
        });
        assert!(cache.places.first().unwrap().is_poisoned());
        for key in [&a, &b, &a, &b] {
            assert_eq!(cache.point(key), key.decompress());
        }
    }
}
