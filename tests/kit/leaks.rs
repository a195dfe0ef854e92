//! Looks for plain keys in what programs print, write and answer, in every form in which they could stand there.
//!
//! A search that finds nothing proves little by itself, so [`Leaks`] insists: no place may be empty, and [`Leaks::must_find`] shows with
//! the same eyes that the key is seen where it belongs.

mod probes;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

pub use probes::{bad_requests, ops_pages};

/// So many characters in a row count as a leak. `start` in a status shows four; ten more than halve what there is to guess.
const FRAGMENT: usize = 10;

/// A search for some keys through many places.
#[derive(Debug, Default)]
pub struct Leaks {
    keys: Vec<Key>,
    places: Vec<String>,
    found: Vec<String>,
}

#[derive(Debug)]
struct Key {
    name: String,
    needles: Vec<(&'static str, String)>,
}

impl Leaks {
    /// A search for keys, each with a name that an error may show.
    pub fn of<'a>(keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let keys = keys.into_iter().map(|(name, plain)| Key { name: name.to_owned(), needles: needles(plain) });
        Self { keys: keys.collect(), ..Self::default() }
    }

    /// Looks through one place: no key may be there.
    ///
    /// # Panics
    /// When the place is empty: then it is not what the test takes it for.
    pub fn look(&mut self, place: impl Into<String>, content: impl AsRef<[u8]>) {
        let (place, text) = (place.into(), String::from_utf8_lossy(content.as_ref()));
        assert!(!text.trim().is_empty(), "{place} is empty, so looking there proves nothing");
        let mut first = text.len();
        let mut seen = Vec::new();
        for key in &self.keys {
            for (form, needle) in &key.needles {
                if let Some(position) = text.find(needle.as_str()) {
                    first = first.min(position);
                    seen.push(format!("{} as {form}", key.name));
                }
            }
        }
        if !seen.is_empty() {
            seen.dedup();
            self.found.push(format!("{} in {place}: {}", seen.join(", "), before(&text, first)));
        }
        self.places.push(place);
    }

    /// Looks through every file of a directory and its subdirectories; returns how many there were.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn look_through_files(&mut self, what: &str, directory: &Path) -> Result<usize> {
        let mut count = 0;
        for entry in fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                count += self.look_through_files(what, &path)?;
                continue;
            }
            let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            if !content.is_empty() {
                self.look(format!("{what} {}", path.display()), content);
                count += 1;
            }
        }
        Ok(count)
    }

    /// The control: this key is here, in some form.
    ///
    /// # Errors
    /// When it is not, so that the search would not see it elsewhere either.
    pub fn must_find(&self, name: &str, place: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let text = String::from_utf8_lossy(content.as_ref());
        let key = self.keys.iter().find(|key| key.name == name).with_context(|| format!("no key is named {name}"))?;
        ensure!(key.needles.iter().any(|(_, needle)| text.contains(needle.as_str())), "{name} is not seen in {place}");
        Ok(())
    }

    /// The verdict.
    ///
    /// # Errors
    /// When a key was found; with every place, and what stands around it.
    pub fn finish(self) -> Result<()> {
        ensure!(!self.keys.is_empty() && !self.places.is_empty(), "nothing was searched");
        if !self.found.is_empty() {
            bail!("plain keys leaked ({} places searched):\n{}", self.places.len(), self.found.join("\n"));
        }
        Ok(())
    }
}

/// The ends of a key in every form. The prefix is no secret; a fragment is found in a cut key as well as in a whole one.
fn needles(plain: &str) -> Vec<(&'static str, String)> {
    let random = plain.rsplit_once('_').map_or(plain, |(_, random)| random);
    assert!(random.is_ascii() && random.len() >= FRAGMENT, "a test key needs {FRAGMENT} characters behind its prefix");
    let mut fragments = vec![&random[..FRAGMENT], &random[random.len() - FRAGMENT..]];
    fragments.dedup();
    fragments.into_iter().flat_map(forms).collect()
}

fn forms(fragment: &str) -> Vec<(&'static str, String)> {
    let bytes = fragment.as_bytes();
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let mut forms = vec![
        ("text", fragment.to_owned()),
        ("hexadecimal", HEXLOWER.encode(bytes)),
        ("hexadecimal", HEXUPPER.encode(bytes)),
        // As `Debug` shows bytes, and as JSON does.
        ("numbers", numbers.join(", ")),
        ("numbers", numbers.join(",")),
    ];
    for before in 0..3 {
        forms.push(("base64", inner_base64(&BASE64_NOPAD, before, bytes)));
        forms.push(("base64", inner_base64(&BASE64URL_NOPAD, before, bytes)));
    }
    forms
}

/// The characters of base64 that these bytes alone decide when `before` others (modulo 3) stand in front.
fn inner_base64(encoding: &data_encoding::Encoding, before: usize, bytes: &[u8]) -> String {
    let padded = [&vec![0; before], bytes].concat();
    let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    encoding.encode(&padded)[first..end].to_owned()
}

/// What stands before the first needle, for a person to find the place. Nothing behind it is shown: this goes to a log too.
fn before(text: &str, first: usize) -> String {
    let start = text[..first].char_indices().rev().nth(120).map_or(0, |(position, _)| position);
    format!("…{}<here>", text[start..first].replace('\n', "⏎"))
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL};

    use super::*;

    const KEY: &str = "pay_3kTq9vXz7LmNpQrStUvWxYzAbCdEfGh1";

    fn leaks_in(content: &str) -> bool {
        let mut leaks = Leaks::of([("acme", KEY)]);
        leaks.look("here", content);
        leaks.finish().is_err()
    }

    #[test]
    fn a_key_is_seen_in_every_form() {
        for before in ["", "x", "xx", "xxx"] {
            let text = format!("{before}{KEY} behind");
            assert!(leaks_in(&text));
            assert!(leaks_in(&BASE64.encode(text.as_bytes())), "base64 behind `{before}`");
            assert!(leaks_in(&BASE64URL.encode(text.as_bytes())), "base64url behind `{before}`");
        }
        assert!(leaks_in(&HEXLOWER.encode(KEY.as_bytes())));
        assert!(leaks_in(&format!("{:?}", KEY.as_bytes())));
        assert!(leaks_in(&serde_json::to_string(KEY.as_bytes()).unwrap()));
    }

    #[test]
    fn a_cut_key_is_seen_and_its_start_and_hash_may_be_shown() {
        assert!(leaks_in(&KEY[..20]) && leaks_in(&KEY[KEY.len() - 12..]));
        assert!(!leaks_in("pay_3kTq"));
        assert!(!leaks_in(&keyplane_core::hash::KeyHash::of(KEY).to_hex()));
    }

    #[test]
    fn an_error_shows_the_place_and_not_the_key() {
        let mut leaks = Leaks::of([("acme", KEY)]);
        leaks.look("a log", format!("INFO issued {KEY}"));
        let error = leaks.finish().unwrap_err().to_string();
        assert!(error.contains("acme as text in a log: …INFO issued pay_<here>"), "{error}");
        assert!(!error.contains(&KEY[4..8]));
    }

    #[test]
    #[should_panic(expected = "proves nothing")]
    fn an_empty_place_is_a_mistake_of_the_test() {
        Leaks::of([("acme", KEY)]).look("a log", "\n");
    }

    #[test]
    fn the_control_fails_where_the_key_is_not() {
        let leaks = Leaks::of([("acme", KEY)]);
        leaks.must_find("acme", "its Secret", BASE64.encode(KEY.as_bytes())).unwrap();
        assert!(leaks.must_find("acme", "its Secret", "pay_3kTq").is_err());
        assert!(leaks.finish().is_err(), "nothing was searched");
    }

    #[test]
    fn files_are_searched_in_subdirectories_too() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("inner")).unwrap();
        fs::write(directory.path().join("inner/store"), [b"\xff\x00", KEY.as_bytes()].concat()).unwrap();
        let mut leaks = Leaks::of([("acme", KEY)]);
        assert_eq!(leaks.look_through_files("data file", directory.path()).unwrap(), 1);
        assert!(leaks.finish().is_err());
    }
}
