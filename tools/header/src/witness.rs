//! The C witness: C for its debugging information only, which has every constant, type, field and function of the
//! header. libipcx.so is Rust and says nothing of its C types; of this, compiled, libabigail reads them all
//! (`scripts/check-types`).
//!
//! Each constant and each field is a variable of its own, so that one which is added is an added symbol, and one that
//! goes or changes is a removed or changed one.

use std::error::Error;
use std::fmt::Write;

/// What stands between functions and everything else.
const FUNCTIONS: &str = "extern \"C\" {";

/// The witness of a header, which it includes by this name.
pub(crate) fn witness(header: &str, name: &str) -> Result<String, Box<dyn Error>> {
    let code = without_comments(header);
    let (types, functions) = code.split_once(FUNCTIONS).ok_or("the header has no functions")?;
    let mut text = format!("#include \"{name}\"\n\n");
    for constant in constants(types) {
        writeln!(text, "enum is_{constant} {{ {constant}_is = {constant} }} {constant}_;")?;
    }
    for (structure, fields) in structures(types) {
        writeln!(text, "\n{structure} *{structure}_;")?;
        for field in fields {
            let offset = format!("__builtin_offsetof({structure}, {field})");
            writeln!(text, "struct {structure}_{field} {{")?;
            writeln!(text, "    __typeof__((({structure} *)0)->{field}) value;")?;
            writeln!(text, "    enum {{ {structure}_{field}_is_at = {offset} }} at;")?;
            writeln!(text, "}} {structure}_{field}_;")?;
        }
    }
    for prototype in prototypes(functions) {
        writeln!(text, "\n{prototype}\n{{\n    __builtin_trap();\n}}")?;
    }
    Ok(text)
}

fn without_comments(header: &str) -> String {
    let mut rest = header;
    let mut code = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        code += before;
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    code += rest;
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.fold(String::new(), |code, line| code + line + "\n")
}

/// Names of numbers. (The version is another with each release, initialisers are code.)
fn constants(types: &str) -> Vec<&str> {
    let words = types.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let names = words.filter_map(|words| match words[..] {
        ["#define", name, _, ..] => Some(name),
        _ => None,
    });
    names.filter(|name| !name.starts_with("IPCX_VERSION") && !name.ends_with("_INIT")).collect()
}

/// Structs that are not opaque, and their fields.
fn structures(types: &str) -> Vec<(&str, Vec<&str>)> {
    let bodies = types.split("typedef struct ").skip(1);
    let bodies = bodies.filter_map(|text| {
        let (name, rest) = text.split_once(" {")?;
        let (body, _) = rest.split_once('}')?;
        (!name.contains(';')).then(|| (name, body.split(';').filter_map(declared).collect()))
    });
    bodies.collect()
}

/// The name that a declaration of a field declares.
fn declared(declaration: &str) -> Option<&str> {
    let declaration = declaration.trim().split('[').next()?;
    declaration.rsplit([' ', '*']).next().filter(|name| !name.is_empty())
}

fn prototypes(functions: &str) -> Vec<&str> {
    let lines = functions.split(';').map(|text| text.trim().trim_start_matches("#endif").trim());
    lines.filter(|text| text.ends_with(')')).collect()
}
