//! Writes the C header into OUT_DIR (`make header` copies it to include/) and names the shared library.

use std::path::PathBuf;

fn main() {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=src/ffi");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is readable");
    // In the order in which the header has them.
    let rooms = [
        "types",
        "classic",
        "library",
        "status",
        "options",
        "client",
        "request/fields",
        "request/mod",
        "reply",
        "queue",
        "hold",
        "packed",
        "thread",
    ];
    let sources = rooms.map(|room| root.join("src/ffi").join(room).with_extension("rs"));
    let header = sources.iter().fold(cbindgen::Builder::new(), |builder, source| builder.with_src(source));
    let header = header.with_config(config);
    header.generate().expect("src/ffi can be a header").write_to_file(out.join("etcd-api.h"));

    // The soname is the ABI's number: it moves only when a binary linked before would break.
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libetcd.0.dylib");
        }
        _ => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libetcd.so.0");
            // A host that unloads the library must not pull the code from under its threads.
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
    }
}
