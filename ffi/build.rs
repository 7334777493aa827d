//! Gives libipcx.so its soname, and the name under which programs look for it at run time.

use std::path::Path;

const SONAME: &str = "libipcx.so.0";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
    // Programs linked to target/PROFILE/libipcx.so load it by its soname, so that name has to lie beside it. Cargo has
    // no way to say so; OUT_DIR is target/PROFILE/build/NAME/out. Without the link only such programs suffer.
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    if let Some(profile) = Path::new(&out).ancestors().nth(3) {
        let link = profile.join(SONAME);
        if link.symlink_metadata().is_err() {
            let _ = std::os::unix::fs::symlink("libipcx.so", link);
        }
    }
}
