//! Hands the version of the compiler to the crate: `/statusz` shows it where Kubernetes shows Go's.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    // `rustc 1.95.0 (abcdef 2026-04-14)`: the two words that tell the version. A compiler that says nothing leaves it empty.
    let version: Vec<String> = String::from_utf8_lossy(&output).split_whitespace().take(2).map(str::to_owned).collect();
    println!("cargo::rustc-env=ZPAGES_RUSTC_VERSION={}", version.join(" "));
}
