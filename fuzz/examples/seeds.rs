//! Writes the seeds of all targets below a directory: `cargo run --example seeds -- corpus`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = std::env::args_os().nth(1).expect("usage: seeds DIRECTORY");
    for (target, _) in ipcx_fuzz::TARGETS {
        let directory = Path::new(&corpus).join(target);
        std::fs::create_dir_all(&directory)?;
        for (number, seed) in ipcx_fuzz::seeds(target).iter().enumerate() {
            std::fs::write(directory.join(format!("seed-{number:03}")), seed)?;
        }
    }
    Ok(())
}
