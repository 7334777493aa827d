//! The manual pages of the command, `docs/man/*.1`, are what clap says of it. They are committed, so that nothing is
//! needed to install them and the command does not carry what writes them; `scripts/man` writes them anew.

use clap::CommandFactory;
use clap_mangen::Man;
use std::path::{Path, PathBuf};

/// What clap does not know. It ends the first page.
const MORE: &str = r#".SH "EXIT STATUS"
0 done, 1 failed, 2 the command line makes no sense, 3 not found, 4 timed out or empty, 5 the peer died or memory is not what
ipcx writes, 130 interrupted.
.SH ENVIRONMENT
.TP
.B NO_COLOR
No colours. There are none either where no terminal shows them.
.TP
.B IPCX_DIR
Where segments lie, instead of
.IR /dev/shm .
.SH "SEE ALSO"
"#;

/// Each page's name and text.
fn pages() -> std::io::Result<Vec<(String, String)>> {
    let mut command = crate::Arguments::command().disable_help_subcommand(true);
    command.build();
    let version = format!("ipcx {}", env!("CARGO_PKG_VERSION"));
    let page = |command: &clap::Command| Man::new(command.clone()).source(version.clone()).manual("ipcx");
    let shown = || command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let name = |sub: &clap::Command| sub.get_display_name().unwrap_or_default().to_owned();

    let mut first = Vec::new();
    page(&command).render(&mut first)?;
    first.extend(MORE.bytes());
    for sub in shown() {
        first.extend(format!(".BR {} (1),\n", name(sub).replace('-', "\\-")).bytes());
    }
    first.extend(b".BR ipcx (7)\n");
    let mut pages = vec![("ipcx.1".to_owned(), text(first))];
    for sub in shown() {
        let mut written = Vec::new();
        page(sub).render(&mut written)?;
        pages.push((name(sub) + ".1", text(written)));
    }
    Ok(pages)
}

fn text(page: Vec<u8>) -> String {
    String::from_utf8(page).expect("clap writes text")
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man")
}

/// The committed pages of section 1.
fn committed() -> std::io::Result<Vec<String>> {
    let names =
        std::fs::read_dir(directory())?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<std::io::Result<Vec<_>>>()?;
    names.retain(|name| name.ends_with(".1"));
    names.sort();
    Ok(names)
}

#[test]
fn the_committed_pages_are_what_the_command_says_of_itself() {
    let pages = pages().expect("pages");
    if std::env::var_os("IPCX_WRITE_MANUAL").is_some() {
        for name in committed().expect("docs/man") {
            std::fs::remove_file(directory().join(name)).expect("an old page, removed");
        }
        for (name, text) in &pages {
            std::fs::write(directory().join(name), text).expect("a page, written");
        }
    }
    for (name, text) in &pages {
        let kept = std::fs::read_to_string(directory().join(name)).unwrap_or_default();
        assert!(kept == *text, "docs/man/{name} is not what the command says of itself: run scripts/man");
    }
    let mut names: Vec<String> = pages.into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(committed().expect("docs/man"), names, "run scripts/man");
}
