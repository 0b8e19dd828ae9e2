//! Compiles the contract without a `protoc`: descriptor set first, from which everything else is generated.

use std::{env, error::Error, fs, path::Path, path::PathBuf};

/// Messages that hold a secret, and those that hold them: their `Debug` shows the name alone (src/opaque.rs).
const OPAQUE: &[&str] = &[
    ".google.api.HttpBody",
    ".keywright.credential.v1.CreateSshCredentialRequest",
    ".keywright.credential.v1.ReleaseVersionRequest",
    ".keywright.credential.v1.ReleaseVersionResponse",
    ".keywright.credential.v1.ResolveResponse",
    ".keywright.credential.v1.RotateKeyEncryptionKeyRequest",
    ".keywright.credential.v1.RotateSshCredentialRequest",
    ".keywright.credential.v1.UnsealCustodyRequest",
    ".keywright.credential.v1.ValidateSshCredentialRequest",
    ".keywright.identity.v1.CreateConsoleCodeResponse",
    ".keywright.identity.v1.CreateInvitationResponse",
    ".keywright.identity.v1.CreateTokenResponse",
    ".keywright.identity.v1.ExchangeRequest",
    ".keywright.identity.v1.ExchangeResponse",
    ".keywright.identity.v1.LoginWithOidcRequest",
    ".keywright.identity.v1.LoginWithOidcResponse",
    ".keywright.identity.v1.OpenConsoleSessionRequest",
    ".keywright.identity.v1.OpenConsoleSessionResponse",
    ".keywright.identity.v1.RedeemInvitationRequest",
    ".keywright.identity.v1.RedeemInvitationResponse",
    ".keywright.lifecycle.v1.BootstrapCredential",
    ".keywright.lifecycle.v1.CreateNotificationTargetResponse",
    ".keywright.lifecycle.v1.RotateNotificationSecretResponse",
    ".keywright.lifecycle.v1.DownloadSshKeyRequest",
    ".keywright.lifecycle.v1.DownloadSshKeyResponse",
    ".keywright.lifecycle.v1.ManageServerRequest",
    ".keywright.probe.v1.CreateConnectivityTestRequest",
    ".keywright.probe.v1.CreateDraftConnectivityTestRequest",
    ".keywright.probe.v1.OneTimeCredential",
];

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
        .skip_debug(OPAQUE)
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
