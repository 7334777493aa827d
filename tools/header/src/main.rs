//! Writes `include/ipcx.h` from the sources of `ipcx-ffi`.
//!
//! ```text
//! cargo run -p ipcx-header            writes include/ipcx.h
//! cargo run -p ipcx-header -- FILE    writes FILE, for comparison
//! cargo run -p ipcx-header -- --witness HEADER FILE
//!                                     writes the C witness of a header, for scripts/check-types
//! ```
//!
//! Functions appear in the order of the sources listed here, and within one in the order written.

mod witness;

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What stands before everything else: the manual's first chapter.
const INTRODUCTION: &str = include_str!("introduction.h");
/// Initialisers, which C macros do better than constants.
const MACROS: &str = include_str!("macros.h");
/// Sources in the order of the manual, each with the heading of its functions.
const SOURCES: [(&str, &str); 22] = [
    ("error", "Errors"),
    ("common", "Version and names"),
    ("options", ""),
    ("stats", ""),
    ("ring", "Ring: opening, roles, figures"),
    ("producer", "Producer: sending"),
    ("consumer", "Consumer: receiving"),
    ("pool", "Pool: blocks without copies"),
    ("buffer", "Buffer: a value, its lock and its condition"),
    ("semaphore", "Semaphore: permits"),
    ("topic", "Topic: opening, publishers and subscribers, figures"),
    ("publisher", "Publisher: publishing"),
    ("subscriber", "Subscriber: receiving"),
    ("service", "Service: opening, ends, figures"),
    ("client", "Client: asking"),
    ("server", "Server: answering"),
    ("queue", "Work queue: messages with priorities, acknowledged"),
    ("any", "Waiting: for one of several, by descriptor, by signal"),
    ("list", "Which segments there are"),
    ("transport", "Transport: opening, handing over, closing"),
    ("message", "Transport: sending and receiving"),
    ("child", "Child process: its input and output"),
];

fn config() -> cbindgen::Config {
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        header: Some(INTRODUCTION.trim_end().to_owned()),
        include_guard: Some("IPCX_H".to_owned()),
        no_includes: true,
        sys_includes: ["stddef.h", "stdint.h", "sys/uio.h"].map(str::to_owned).to_vec(),
        after_includes: Some(version_macros()),
        cpp_compat: true,
        usize_is_size_t: true,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        style: cbindgen::Style::Both,
        line_length: 110,
        tab_width: 4,
        ..Default::default()
    };
    config.export.rename.insert("iovec".to_owned(), "struct iovec".to_owned());
    config
}

fn version_macros() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut macros =
        "\n/** Version of this header; that of the library that runs is ipcx_version(). */".to_owned();
    let _ = write!(macros, "\n#define IPCX_VERSION \"{version}\"");
    for (part, number) in ["MAJOR", "MINOR", "PATCH"].iter().zip(version.split('.')) {
        let _ = write!(macros, "\n#define IPCX_VERSION_{part} {number}");
    }
    macros
}

/// The header's text.
fn generate(sources: &Path) -> Result<String, Box<dyn Error>> {
    let mut builder = cbindgen::Builder::new().with_config(config());
    for (name, _) in SOURCES {
        builder = builder.with_src(sources.join(name).with_extension("rs"));
    }
    let mut bytes = Vec::new();
    builder.generate()?.write(&mut bytes);
    let mut text = String::from_utf8(bytes)?;
    let functions = text.find("\n#ifdef __cplusplus").ok_or("no functions")?;
    text.insert_str(functions, &format!("\n{MACROS}"));
    for (name, heading) in SOURCES.iter().filter(|(_, heading)| !heading.is_empty()) {
        insert_heading(&mut text, sources, name, heading)?;
    }
    Ok(tidy(&text))
}

/// Comments of one line on one line, constants of one family without gaps, negative numbers in brackets.
fn tidy(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if let (Some(joined), true) = (one_line_comment(&lines), line.trim() == "*/") {
            lines.truncate(lines.len() - 2);
            lines.push(joined);
        } else {
            lines.push(tidy_line(line));
        }
    }
    let in_family = |at: usize| {
        let family = |line: &str| Some(line.strip_prefix("#define IPCX_")?.split_once('_')?.0.to_owned());
        let above = at.checked_sub(1).and_then(|above| family(&lines[above]));
        lines[at].is_empty() && above.is_some() && above == lines.get(at + 2).and_then(|line| family(line))
    };
    let kept = (0..lines.len()).filter(|at| !in_family(*at));
    kept.fold(String::new(), |text, at| text + &lines[at] + "\n")
}

/// The last two lines as one, if they are all there is of a comment.
fn one_line_comment(lines: &[String]) -> Option<String> {
    let [.., open, words] = lines else { return None };
    let words = words.trim_start().strip_prefix("* ").filter(|_| open.trim() == "/**")?;
    Some(open.replace("/**", &format!("/** {words} */")))
}

/// A constant's number in brackets; in prototypes, the types' short names.
fn tidy_line(line: &str) -> String {
    match line.rsplit_once(" -") {
        Some((name, number)) if line.starts_with("#define ") => format!("{name} (-{number})"),
        _ if line.starts_with("typedef") => line.to_owned(),
        _ => line.replace("struct ipcx_", "ipcx_"),
    }
}

/// Puts a heading before the comment of the first function of a source.
fn insert_heading(
    text: &mut String,
    sources: &Path,
    name: &str,
    heading: &str,
) -> Result<(), Box<dyn Error>> {
    let source = std::fs::read_to_string(sources.join(name).with_extension("rs"))?;
    let first = source.split("extern \"C\" fn ").nth(1).and_then(|rest| rest.split('(').next());
    let start = first.and_then(|function| comment_of(text, function));
    let start = start.ok_or_else(|| format!("{name}.rs: its first function is not in the header"))?;
    let banner = format!("/* ---- {heading} {} */\n\n", "-".repeat(96 - heading.len()));
    text.insert_str(start, &banner);
    Ok(())
}

/// Where the comment before a function's prototype begins.
fn comment_of(text: &str, function: &str) -> Option<usize> {
    let in_comment = |at: usize| {
        let line = text[..at].rsplit('\n').next().unwrap_or("").trim_start();
        line.starts_with('*') || line.starts_with('/')
    };
    let called = format!("{function}(");
    let mut mentions = text.match_indices(&called).map(|(at, _)| at);
    let prototype = mentions.find(|at| !in_comment(*at))?;
    text[..prototype].rfind("\n/**\n").map(|newline| newline + 1)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if let [option, header, target] = &arguments[..] {
        if option.as_os_str() == "--witness" {
            let text = std::fs::read_to_string(header)?;
            return Ok(std::fs::write(target, witness::witness(&text, &header.to_string_lossy())?)?);
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = arguments.first().map_or_else(|| root.join("include/ipcx.h"), PathBuf::from);
    std::fs::write(target, generate(&root.join("ffi/src"))?)?;
    Ok(())
}
