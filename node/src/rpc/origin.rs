//! Which web pages may reach the endpoint: none, unless configured.
//!
//! A browser lets any page send requests to loopback. Two headers the page cannot choose tell such requests apart: `Origin`
//! (set on every cross-origin POST and on every WebSocket) and `Host` (carries the attacker's name when that name was
//! re-bound to a local address). No CORS header is ever sent.

use axum::http::{HeaderMap, header};
use std::net::IpAddr;

use super::config::RpcConfig;
use super::error::{ErrorKind, RpcError};

/// Checks `Host` and `Origin`.
///
/// # Errors
/// `forbidden`, naming the header and its value.
pub fn check(headers: &HeaderMap, config: &RpcConfig) -> Result<(), RpcError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|value| value.to_str().unwrap_or("(not text)"));
    match host {
        None => {
            return Err(RpcError::new(ErrorKind::Forbidden, "the request has no Host header"));
        }
        Some(_) if hosts.next().is_some() => {
            return Err(RpcError::new(ErrorKind::Forbidden, "the request has two Host headers"));
        }
        Some(host) if !host_allowed(host, &config.allowed_hosts) => {
            return Err(RpcError::new(
                ErrorKind::Forbidden,
                format!(
                    "Host {host:.100?} is not served here: use an IP address or localhost, or add it to allowed_hosts"
                ),
            ));
        }
        Some(_) => {}
    }
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("(not text)");
        if !config.allowed_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
            return Err(RpcError::new(
                ErrorKind::Forbidden,
                format!("Origin {origin:.100?} may not use this endpoint: add it to allowed_origins"),
            ));
        }
    }
    Ok(())
}

/// IP addresses cannot be re-bound, so any of them passes; names must be known.
fn host_allowed(host: &str, allowed: &[String]) -> bool {
    let name = without_port(host);
    let bare = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || allowed.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// `name:80` and `[::1]:80` without the port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(':') => name,
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && name.ends_with(']') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_be_known_addresses_pass() {
        let allowed = ["node.example".to_owned()];
        for good in ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80", "[::1]", "10.0.0.1", "node.example:443"] {
            assert!(host_allowed(good, &allowed), "{good}");
        }
        for bad in ["", ":80", "evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", "1:2:3"] {
            assert!(!host_allowed(bad, &allowed), "{bad}");
        }
    }
}
