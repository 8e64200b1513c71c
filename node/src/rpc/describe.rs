//! Types that can describe themselves: one declaration of a request or a reply gives the Rust struct, its JSON form, its
//! JSON schema (for `rpc.discover`) and its rows in `RPC.md`.
//!
//! A macro of our own rather than a schema crate: the whole need is structs of required and optional fields and enums of
//! words, and the prose of a field has to reach two documents.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A named type as both documents show it.
#[derive(Clone, Debug)]
pub struct TypeDoc {
    /// What it is, one sentence or more.
    pub doc: String,
    /// Fields in order; empty for an enum of words.
    pub fields: Vec<FieldDoc>,
    /// Words of an enum, with what each means.
    pub words: Vec<(&'static str, String)>,
    /// JSON schema of the type.
    pub schema: Value,
}

/// One field of a struct.
#[derive(Clone, Debug)]
pub struct FieldDoc {
    /// Name in JSON.
    pub name: &'static str,
    /// Type as a reader sees it.
    pub label: String,
    /// Whether it may be absent.
    pub optional: bool,
    /// What it means.
    pub doc: String,
}

/// Every named type that some description reaches, by name.
pub type Types = BTreeMap<&'static str, TypeDoc>;

/// A type with a JSON form that can be documented.
pub trait Describe {
    /// How `RPC.md` names the type.
    fn label() -> String;
    /// JSON schema: inline, or a reference to a named type.
    fn schema() -> Value;
    /// A value in JSON form that decodes as this type.
    fn example() -> Value;
    /// Adds the named types reached from here.
    fn collect(_into: &mut Types) {}
    /// The first field of `value` that does not decode as its type, to name it in an error.
    fn culprit(_value: &Value) -> Option<&'static str> {
        None
    }
    /// Fields, if this is a struct.
    fn fields() -> Vec<FieldDoc> {
        Vec::new()
    }
}

/// Joins the lines of a doc comment.
pub(crate) fn join_doc(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Reference to a named schema.
pub(crate) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

impl<T: Describe> Describe for Vec<T> {
    fn label() -> String {
        format!("array of {}", T::label())
    }
    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
    fn example() -> Value {
        json!([T::example()])
    }
    fn collect(into: &mut Types) {
        T::collect(into);
    }
}

impl<T: Describe> Describe for Option<T> {
    fn label() -> String {
        format!("{} or null", T::label())
    }
    fn schema() -> Value {
        json!({ "oneOf": [T::schema(), { "type": "null" }] })
    }
    fn example() -> Value {
        T::example()
    }
    fn collect(into: &mut Types) {
        T::collect(into);
    }
}

impl Describe for String {
    fn label() -> String {
        "string".into()
    }
    fn schema() -> Value {
        json!({ "type": "string" })
    }
    fn example() -> Value {
        json!("text")
    }
}

impl Describe for bool {
    fn label() -> String {
        "boolean".into()
    }
    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
    fn example() -> Value {
        json!(true)
    }
}

macro_rules! describe_number {
    ($($ty:ty),*) => {$(
        impl Describe for $ty {
            fn label() -> String {
                concat!("number (", stringify!($ty), ")").into()
            }
            fn schema() -> Value {
                json!({ "type": "integer", "minimum": 0, "maximum": <$ty>::MAX })
            }
            fn example() -> Value {
                json!(3)
            }
        }
    )*};
}
describe_number!(u8, u16, u32);

/// Declares a struct of a request (`params`: unknown fields are refused) or of a reply (`reply`: unknown fields are
/// ignored, so that an older client reads a newer server).
macro_rules! dto {
    ($(#[doc = $doc:literal])* params $($rest:tt)*) => {
        dto! { @build [#[serde(deny_unknown_fields)]] [$($doc),*] $($rest)* }
    };
    ($(#[doc = $doc:literal])* reply $($rest:tt)*) => {
        dto! { @build [] [$($doc),*] $($rest)* }
    };
    (@build [$(#[$attr:meta])*] [$($doc:literal),*] $name:ident {
        $($(#[doc = $fdoc:literal])* $field:ident : $ty:ty,)*
    } $(optional {
        $($(#[doc = $odoc:literal])* $ofield:ident : $oty:ty,)*
    })?) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, ::serde::Serialize, ::serde::Deserialize)]
        $(#[$attr])*
        pub struct $name {
            $($(#[doc = $fdoc])* pub $field: $ty,)*
            $($(
                $(#[doc = $odoc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $ofield: Option<$oty>,
            )*)?
        }

        impl $crate::rpc::describe::Describe for $name {
            fn label() -> String {
                stringify!($name).into()
            }
            fn schema() -> ::serde_json::Value {
                $crate::rpc::describe::reference(stringify!($name))
            }
            fn example() -> ::serde_json::Value {
                #[allow(unused_mut, reason = "a struct may have no field")]
                let mut map = ::serde_json::Map::new();
                $(map.insert(stringify!($field).into(), <$ty as $crate::rpc::describe::Describe>::example());)*
                $($(map.insert(stringify!($ofield).into(), <$oty as $crate::rpc::describe::Describe>::example());)*)?
                ::serde_json::Value::Object(map)
            }
            fn culprit(_value: &::serde_json::Value) -> Option<&'static str> {
                $(if let Some(field) = _value.get(stringify!($field))
                    && <$ty as ::serde::Deserialize>::deserialize(field).is_err()
                {
                    return Some(stringify!($field));
                })*
                $($(if let Some(field) = _value.get(stringify!($ofield))
                    && <Option<$oty> as ::serde::Deserialize>::deserialize(field).is_err()
                {
                    return Some(stringify!($ofield));
                })*)?
                None
            }
            fn fields() -> Vec<$crate::rpc::describe::FieldDoc> {
                vec![
                    $($crate::rpc::describe::FieldDoc {
                        name: stringify!($field),
                        label: <$ty as $crate::rpc::describe::Describe>::label(),
                        optional: false,
                        doc: $crate::rpc::describe::join_doc(&[$($fdoc),*]),
                    },)*
                    $($($crate::rpc::describe::FieldDoc {
                        name: stringify!($ofield),
                        label: <$oty as $crate::rpc::describe::Describe>::label(),
                        optional: true,
                        doc: $crate::rpc::describe::join_doc(&[$($odoc),*]),
                    },)*)?
                ]
            }
            fn collect(into: &mut $crate::rpc::describe::Types) {
                if into.contains_key(stringify!($name)) {
                    return;
                }
                #[allow(unused_mut, reason = "a struct may have no field")]
                let mut properties = ::serde_json::Map::new();
                #[allow(unused_mut, reason = "a struct may have no required field")]
                let mut required: Vec<&str> = Vec::new();
                $(
                    properties.insert(
                        stringify!($field).into(),
                        $crate::rpc::describe::with_description(
                            <$ty as $crate::rpc::describe::Describe>::schema(), &[$($fdoc),*]),
                    );
                    required.push(stringify!($field));
                )*
                $($(properties.insert(
                    stringify!($ofield).into(),
                    $crate::rpc::describe::with_description(
                        <$oty as $crate::rpc::describe::Describe>::schema(), &[$($odoc),*]),
                );)*)?
                let schema = ::serde_json::json!({
                    "type": "object",
                    "description": $crate::rpc::describe::join_doc(&[$($doc),*]),
                    "properties": properties,
                    "required": required,
                });
                into.insert(stringify!($name), $crate::rpc::describe::TypeDoc {
                    doc: $crate::rpc::describe::join_doc(&[$($doc),*]),
                    fields: <Self as $crate::rpc::describe::Describe>::fields(),
                    words: Vec::new(),
                    schema,
                });
                $(<$ty as $crate::rpc::describe::Describe>::collect(into);)*
                $($(<$oty as $crate::rpc::describe::Describe>::collect(into);)*)?
            }
        }
    };
}
pub(crate) use dto;

/// Declares an enum of words, written in JSON as strings.
macro_rules! words {
    ($(#[doc = $doc:literal])* $name:ident {
        $($(#[doc = $vdoc:literal])* $variant:ident = $word:literal,)*
    }) => {
        $(#[doc = $doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize,
        )]
        pub enum $name {
            $($(#[doc = $vdoc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All values, in table order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word, as in JSON.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// The value of a word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)* _ => None }
            }

            /// What the word means.
            #[must_use]
            pub fn meaning(self) -> String {
                match self { $($name::$variant => $crate::rpc::describe::join_doc(&[$($vdoc),*]),)* }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl $crate::rpc::describe::Describe for $name {
            fn label() -> String {
                stringify!($name).into()
            }
            fn schema() -> ::serde_json::Value {
                $crate::rpc::describe::reference(stringify!($name))
            }
            fn example() -> ::serde_json::Value {
                Self::ALL.first().map_or(::serde_json::Value::Null, |first| first.word().into())
            }
            fn collect(into: &mut $crate::rpc::describe::Types) {
                let doc = $crate::rpc::describe::join_doc(&[$($doc),*]);
                into.entry(stringify!($name)).or_insert_with(|| $crate::rpc::describe::TypeDoc {
                    doc: doc.clone(),
                    fields: Vec::new(),
                    words: Self::ALL.iter().map(|v| (v.word(), v.meaning())).collect(),
                    schema: ::serde_json::json!({
                        "type": "string",
                        "description": doc,
                        "enum": Self::ALL.iter().map(|v| v.word()).collect::<Vec<_>>(),
                    }),
                });
            }
        }
    };
}
pub(crate) use words;

/// A schema with the field's prose beside it (JSON schema 2020-12 allows a description beside `$ref`).
pub(crate) fn with_description(mut schema: Value, doc: &[&str]) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".into(), join_doc(doc).into());
    }
    schema
}
