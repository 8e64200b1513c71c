//! From bytes to calls. Everything but the parameters is decoded; those stay JSON text until their method, and so their type,
//! is known: the bytes of a thousand payments are copied once, into the payments.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// A call as it arrived; a name given twice counts as it was given last.
#[derive(Default)]
pub(crate) struct Call<'a> {
    pub(crate) jsonrpc: Option<Value>,
    pub(crate) id: Option<Value>,
    pub(crate) method: Option<Value>,
    pub(crate) params: Option<&'a RawValue>,
}

/// A body; an item that is no object is no call.
pub(crate) enum Request<'a> {
    One(Option<Call<'a>>),
    Many {
        /// The first of them.
        calls: Vec<Option<Call<'a>>>,
        /// How many there are.
        count: usize,
    },
}

/// Reads a body, of a batch at most `calls_max` calls.
///
/// # Errors
/// It is not JSON, or nests too deep.
pub(crate) fn parse(body: &[u8], calls_max: usize) -> Result<Request<'_>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let request = Whole(calls_max).deserialize(&mut reader)?;
    reader.end()?;
    Ok(request)
}

/// What is no call is read to its end, so that nothing malformed passes.
macro_rules! scalars {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON")
        }
    };
}

struct Whole(usize);

impl<'de> DeserializeSeed<'de> for Whole {
    type Value = Request<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Request<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole {
    type Value = Request<'de>;
    scalars!(Request::One(None));

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Request<'de>, A::Error> {
        call(map).map(|call| Request::One(Some(call)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Request<'de>, A::Error> {
        let (mut calls, mut count) = (Vec::new(), 0usize);
        while calls.len() < self.0
            && let Some(Item(call)) = list.next_element()?
        {
            calls.push(call);
            count = count.saturating_add(1);
        }
        // Too many of them are counted for the error, not kept.
        while list.next_element::<IgnoredAny>()?.is_some() {
            count = count.saturating_add(1);
        }
        Ok(Request::Many { calls, count })
    }
}

struct Item<'a>(Option<Call<'a>>);

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Item<'de>;
            scalars!(Item(None));

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item<'de>, A::Error> {
                call(map).map(|call| Item(Some(call)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item<'de>, A::Error> {
                while list.next_element::<Value>()?.is_some() {}
                Ok(Item(None))
            }
        }
        deserializer.deserialize_any(One)
    }
}

fn call<'de, A: MapAccess<'de>>(mut map: A) -> Result<Call<'de>, A::Error> {
    let mut call = Call::default();
    while let Some(name) = map.next_key::<String>()? {
        match name.as_str() {
            "jsonrpc" => call.jsonrpc = Some(map.next_value()?),
            "id" => call.id = Some(map.next_value()?),
            "method" => call.method = Some(map.next_value()?),
            "params" => call.params = Some(map.next_value()?),
            _ => drop(map.next_value::<Value>()?),
        }
    }
    Ok(call)
}
