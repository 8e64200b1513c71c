//! The scalar forms of the JSON interface: decimal strings, hex strings, addresses and shard words.
//!
//! Numbers of 64 bits and more are decimal strings, because JSON readers in wide use round at 2^53.

use super::describe::Describe;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;

/// Start of a decoding message that is reported as `bad_encoding` rather than `invalid_params`.
pub(crate) const BAD_ENCODING: &str = "bad encoding: ";

/// An unsigned number written as a decimal string without sign, space or leading zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal<T>(pub T);

impl<T: fmt::Display> fmt::Display for Decimal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Display> Serialize for Decimal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr> Deserialize<'de> for Decimal<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let canonical = plain && (text.len() == 1 || !text.starts_with('0'));
        match text.parse() {
            Ok(value) if canonical => Ok(Decimal(value)),
            _ => Err(D::Error::custom(format_args!("{text:.40?} is not a decimal string of the allowed range"))),
        }
    }
}

macro_rules! describe_decimal {
    ($($ty:ty),*) => {$(
        impl Describe for Decimal<$ty> {
            fn label() -> String {
                concat!("decimal string (", stringify!($ty), ")").into()
            }
            fn schema() -> Value {
                json!({ "type": "string", "pattern": "^(0|[1-9][0-9]*)$" })
            }
            fn example() -> Value {
                json!("1000")
            }
        }
    )*};
}
describe_decimal!(u64, u128);

/// Bytes, written as lower-case hex without prefix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HexBytes(pub Vec<u8>);

impl fmt::Debug for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl From<Vec<u8>> for HexBytes {
    fn from(bytes: Vec<u8>) -> Self {
        HexBytes(bytes)
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

/// Reads text where it stands, without a copy of it where the reader has it whole.
struct Text<F>(F);

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(|text: &str| {
            let decoded = hex::decode(text).map(HexBytes);
            decoded.map_err(|error| format!("{BAD_ENCODING}{} characters are not hex: {error}", text.len()))
        }))
    }
}

impl Describe for HexBytes {
    fn label() -> String {
        "hex string".into()
    }
    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^([0-9a-f]{2})*$" })
    }
    fn example() -> Value {
        json!("00ff")
    }
}

/// Thirty-two bytes, written as 64 hex characters: an id, a digest, a root or a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hex32(pub [u8; 32]);

impl fmt::Display for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hex32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0u8; 64];
        hex::encode_to_slice(self.0, &mut text).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Hex32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(|text: &str| {
            let mut bytes = [0u8; 32];
            let decoded = hex::decode_to_slice(text, &mut bytes).map(|()| Hex32(bytes));
            decoded.map_err(|_| {
                format!("{BAD_ENCODING}expected 64 hex characters, got {} characters", text.chars().count())
            })
        }))
    }
}

impl Describe for Hex32 {
    fn label() -> String {
        "hex string (32 bytes)".into()
    }
    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
    }
    fn example() -> Value {
        json!("8f".repeat(32))
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $label:literal, $example:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                $name(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.to_owned())
            }
        }

        impl Describe for $name {
            fn label() -> String {
                $label.into()
            }
            fn schema() -> Value {
                json!({ "type": "string" })
            }
            fn example() -> Value {
                json!($example)
            }
        }
    };
}

text! {
    /// An account address in bech32m. Checked by whoever knows the network's prefix, so that a mistyped address and an
    /// address of another network are two different errors.
    AddressText, "address (bech32m)", super::doc::example_address()
}
text! {
    /// A shard: its trits joined by dots (`0.2`), or `root` for the only shard of a network without levels.
    ShardWord, "shard word", "0"
}
