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
