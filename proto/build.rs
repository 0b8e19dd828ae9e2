//! Compiles the contract without a `protoc`: descriptor set first, from which everything else is generated.

use std::{env, error::Error, fs, path::Path, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=keywright");
    println!("cargo::rerun-if-changed=google");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = Vec::new();
    collect(Path::new("keywright"), &mut files)?;
    // Error details are part of every answer, though no request names them.
    files.push("google/rpc/error_details.proto".into());
    files.push("google/rpc/status.proto".into());
    files.sort();

    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    // The bytes as compiled: encoding the decoded struct again would drop the extension options.
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;

    let mut set = compiler.file_descriptor_set();
    set.file.retain(|file| !file.package().starts_with("google.rpc"));
    tonic_prost_build::configure()
        // Maps in order: the keyed hash of a request is the same each time.
        .btree_map(".")
        .emit_rerun_if_changed(false)
        .compile_fds(set)?;
    Ok(())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
