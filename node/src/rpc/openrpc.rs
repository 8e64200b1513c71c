//! The interface as an OpenRPC document, for `rpc.discover` and `GET /openrpc.json`.

use super::describe::{Describe, Types};
use super::error::RpcError;
use super::schema::Notification;
use super::table::{COMMON_ERRORS, METHODS, MethodRow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::OnceLock;

/// Version of the OpenRPC specification the document follows.
pub const OPENRPC_VERSION: &str = "1.3.2";
/// Version of this interface; raised when a method or a field changes its meaning.
pub const API_VERSION: &str = "1.0.0";

/// An OpenRPC document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(pub Value);

impl Describe for Document {
    fn label() -> String {
        "OpenRPC document".into()
    }
    fn schema() -> Value {
        json!({ "type": "object" })
    }
    fn example() -> Value {
        json!({ "openrpc": OPENRPC_VERSION })
    }
}

/// Every named type that the table reaches.
#[must_use]
pub fn types() -> Types {
    let mut types = Types::new();
    for row in METHODS {
        (row.params.collect)(&mut types);
        (row.reply.collect)(&mut types);
    }
    Notification::collect(&mut types);
    RpcError::collect(&mut types);
    types
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let types = types();
    let schemas: serde_json::Map<String, Value> =
        types.iter().map(|(name, doc)| ((*name).to_owned(), doc.schema.clone())).collect();
    json!({
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "smt-node JSON-RPC",
            "description": "Payments and queries of a sharded ledger. RPC.md describes byte layouts and signing.",
            "version": API_VERSION,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "methods": METHODS.iter().map(|row| method(row, &types)).collect::<Vec<_>>(),
        "components": { "schemas": schemas },
    })
}

/// The document as text, made once.
#[must_use]
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| document().to_string())
}

fn method(row: &MethodRow, types: &Types) -> Value {
    let label = (row.params.label)();
    let properties = types.get(label.as_str()).map(|doc| &doc.schema).and_then(|schema| schema.get("properties"));
    let params: Vec<Value> = (row.params.fields)()
        .into_iter()
        .map(|field| {
            json!({
                "name": field.name,
                "description": field.doc,
                "required": !field.optional,
                "schema": properties.and_then(|all| all.get(field.name)).cloned().unwrap_or_else(|| json!({})),
            })
        })
        .collect();
    let errors: Vec<Value> = row
        .errors
        .iter()
        .chain(COMMON_ERRORS)
        .map(|kind| {
            json!({
                "code": kind.code(),
                "message": kind.meaning(),
                "data": { "kind": kind.word(), "retryable": kind.retryable() },
            })
        })
        .collect();
    json!({
        "name": row.name,
        "summary": row.summary,
        "paramStructure": "by-name",
        "params": params,
        "result": { "name": (row.reply.label)(), "schema": (row.reply.schema)() },
        "errors": errors,
        "x-permission": row.permission.word(),
        "x-cost": row.cost,
        "x-websocket-only": row.websocket_only,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value.as_str() {
                        Some(target) if key == "$ref" => found.push(target.to_owned()),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_resolves() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }

    #[test]
    fn required_members_of_openrpc_are_there() {
        let document = document();
        for pointer in ["/openrpc", "/info/title", "/info/version", "/methods/0/name", "/methods/0/result/schema"] {
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        assert_eq!(document.get("methods").and_then(Value::as_array).unwrap().len(), METHODS.len());
    }
}
