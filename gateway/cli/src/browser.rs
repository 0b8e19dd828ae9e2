//! The browser of a graphical session.

use std::process::Stdio;

use reqwest::Url;

/// Opens it at an address; false where there is none.
pub fn open(url: &Url) -> bool {
    let graphical = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if !graphical && !cfg!(target_os = "macos") {
        return false;
    }
    let started = std::process::Command::new(program)
        .arg(url.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.is_ok()
}
