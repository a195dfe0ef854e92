//! jq without a jq: filters of documents are run by jaq, so that a clean machine needs nothing.

use anyhow::{Context, Result, anyhow};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use serde_json::Value;

/// Applies a filter to a JSON text; each output as `jq -r` prints it: strings as they are, all else as JSON on one line.
///
/// # Errors
/// A filter that is none, a text that is no JSON, or an error that the filter raises.
pub fn jq(filter: &str, input: &str) -> Result<Vec<String>> {
    let input = read::parse_single(input.as_bytes())
        .map_err(|error| anyhow!("{error} in {input:?}"))
        .context("read the input of jq")?;
    let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let arena = Arena::default();
    let wrong = |errors: String| anyhow!("`{filter}` is no filter of jq: {errors}");
    let modules = Loader::new(definitions)
        .load(&arena, File { path: (), code: filter })
        .map_err(|errors| wrong(format!("{errors:?}")))?;
    let compiled =
        Compiler::default().with_funs(functions).compile(modules).map_err(|errors| wrong(format!("{errors:?}")))?;
    let context = Ctx::<data::JustLut<Val>>::new(&compiled.lut, Vars::new([]));
    compiled
        .id
        .run((context, input))
        .map(unwrap_valr)
        .map(|output| printed(output.map_err(|error| anyhow!("`{filter}`: {error}"))?))
        .collect()
}

fn printed(output: Val) -> Result<String> {
    let json = output.to_string();
    match serde_json::from_str(&json).with_context(|| format!("read the output {json}"))? {
        Value::String(text) => Ok(text),
        _ => Ok(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_printed_raw() {
        let input = r#"{"a": "x y", "b": [1, {"c": null}], "ops-listen": "é\n"}"#;
        for (filter, outputs) in [
            (".a", &["x y"][..]),
            (".b[]", &["1", r#"{"c":null}"#]),
            (r#".["ops-listen"]"#, &["é\n"]),
            ("to_entries | map(.key) | join(\",\")", &["a,b,ops-listen"]),
            ("empty", &[]),
        ] {
            assert_eq!(jq(filter, input).unwrap(), outputs, "{filter}");
        }
    }

    #[test]
    fn what_does_not_work_is_an_error_that_shows_it() {
        for (filter, input, shown) in [
            (".a |", "{}", ".a |"),
            (".a", "{", "{"),
            ("nonsense", "{}", "nonsense"),
            ("error(\"mine\")", "{}", "mine"),
        ] {
            let error = format!("{:#}", jq(filter, input).unwrap_err());
            assert!(error.contains(shown), "{error}");
        }
    }
}
