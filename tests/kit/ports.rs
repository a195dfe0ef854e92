//! Free TCP ports on loopback.
//!
//! Taken below the range from which the system serves outgoing connections and `bind(0)` (Linux from 32768, macOS from
//! 49152): between our look and the program's own bind, no connection can slip in. Another test process still can, so
//! starters retry with new ports.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex};

use anyhow::{Context, Result};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// What every program says, in one form or another, when its port is taken.
const TAKEN: &str = "address already in use";

/// Ports that this process gave out; none is given twice, even when its program has ended.
static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port on 127.0.0.1 that nobody listens on, never the same twice in one process.
pub fn free() -> Result<u16> {
    let start = RandomState::new().hash_one(FIRST) % u64::from(COUNT);
    let start = u16::try_from(start).context("the remainder is below 12000")?;
    let mut given = GIVEN.lock().expect("no thread panics while it holds the ports");
    (0..COUNT)
        .map(|step| FIRST + (start + step) % COUNT)
        .find(|port| !given.contains(port) && is_free(*port) && given.insert(*port))
        .context("no free TCP port between 20000 and 31999 on 127.0.0.1")
}

/// `wanted` if it is free, otherwise any free one: for a developer's command, whose addresses should stay the same.
pub fn free_or(wanted: u16) -> Result<u16> {
    let mut given = GIVEN.lock().expect("no thread panics while it holds the ports");
    if !given.contains(&wanted) && is_free(wanted) {
        given.insert(wanted);
        return Ok(wanted);
    }
    drop(given);
    free()
}

/// Whether a log says that a port was taken, which a new start with other ports heals.
pub fn was_taken(log: &str) -> bool {
    log.to_lowercase().contains(TAKEN)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_can_be_bound() {
        let ports: HashSet<u16> = (0..50).map(|_| free().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn a_taken_port_is_replaced() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wanted = held.local_addr().unwrap().port();
        assert_ne!(free_or(wanted).unwrap(), wanted);
        drop(held);
        assert_eq!(free_or(wanted).unwrap(), wanted);
        assert_ne!(free_or(wanted).unwrap(), wanted, "given once, it is not given again");
    }

    #[test]
    fn a_bind_error_is_recognised_in_the_words_of_go_and_rust() {
        assert!(was_taken("listen tcp 127.0.0.1:6443: bind: address already in use"));
        assert!(was_taken("Error: Address already in use (os error 98)"));
        assert!(!was_taken("connection refused"));
    }
}
