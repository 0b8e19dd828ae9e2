//! The README's tour, word for word, against `deploy/run --demo-host`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use keywright_e2e::readme::{missing, output_of, script, steps};
use keywright_e2e::supervised::{Supervised, binaries, clean_command};
use keywright_kit::{Port, eventually, free_port};
use tempfile::TempDir;
use tokio::process::Command;

const HEADING: &str = "A five-minute tour";
const LIMIT: Duration = Duration::from_secs(240);

#[tokio::test]
async fn the_tour_runs_word_for_word() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let steps = steps(&readme, HEADING);
    assert_eq!(steps[0].shell, "deploy/run --demo-host\n", "the tour no longer begins by starting the demo");
    let steps = &steps[1..];
    assert!(steps.len() >= 12 && steps.iter().filter(|step| !step.prints.is_empty()).count() >= 12);
    let demo = Demo::start().await;

    let (code, output) = demo.bash(&script(steps)).await;

    for (number, step) in steps.iter().enumerate() {
        let printed = output_of(&output, number);
        let shell = &step.shell;
        let missing = missing(step, printed);
        assert_eq!(
            missing,
            None,
            "\nstep {number}:\n{shell}\nprinted:\n{printed}\nthe server:\n{}",
            demo.log()
        );
    }
    assert_eq!(code, 0, "{output}");
    assert_eq!(output.matches("is refused").count(), 4, "{output}");
    assert!(!output.contains("PRIVATE KEY"), "the tour prints a private key");
}

#[test]
fn the_configuration_table_names_every_option() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let help =
        std::process::Command::new(binaries().join("keywright-server")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let variables = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    let peers = ["KEYWRIGHT_KEY_LIFECYCLE_URL", "KEYWRIGHT_CONNECTIVITY_PROBE_URL", "KEYWRIGHT_AUDIT_URL"];
    let mut seen = 0;
    for variable in variables.filter(|variable| !peers.contains(variable)) {
        assert!(readme.contains(&format!("`{variable}`")), "the README does not explain {variable}");
        seen += 1;
    }
    assert!(seen >= 12, "only {seen} settings in the help");
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let help = std::process::Command::new(binaries().join("keywright")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, table) = help.split_once("Exit codes:\n").unwrap();
    let rows: Vec<(&str, &str)> = table.lines().filter_map(|line| line.trim().split_once("  ")).collect();
    assert!(rows.len() >= 12, "{table}");
    for (code, meaning) in rows {
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(readme.contains(&row), "the README lacks: {row}");
    }
}

/// `deploy/run --demo-host` with a home of its own.
struct Demo {
    // Dropped first: it ends before its folder goes.
    _server: Supervised,
    home: TempDir,
    _ports: [Port; 2],
}

impl Demo {
    async fn start() -> Self {
        let home = tempfile::Builder::new().prefix("keywright-tour-").tempdir().unwrap();
        let [port, demo_port] = [free_port().unwrap(), free_port().unwrap()];
        // The demo host takes the port of the last time, which nobody else has here.
        let demo = home.path().join(".local/share/keywright/demo");
        std::fs::create_dir_all(&demo).unwrap();
        restrict(demo.parent().unwrap());
        std::fs::write(demo.join("port"), demo_port.number().to_string()).unwrap();
        let listen = format!("127.0.0.1:{}", port.number());
        let arguments = ["--no-build", "--demo-host", "--listen", &listen].map(str::to_owned);
        let (run, log) = (root().join("deploy/run"), home.path().join("run.log"));
        let server = Supervised::start(home.path(), &log, "TERM", &run, &arguments);
        let started = Self { _server: server, home, _ports: [port, demo_port] };
        let ready = eventually(LIMIT, async || started.log().contains("Keywright listens on")).await;
        assert!(ready, "{}", started.log());
        started
    }

    /// Exit code and output, standard error in its place among it.
    async fn bash(&self, script: &str) -> (i32, String) {
        let file = self.home.path().join("tour.sh");
        std::fs::write(&file, script).unwrap();
        let mut bash = Command::from(clean_command(self.home.path(), "bash"));
        let bash = bash.args(["-c", ". \"$0\" 2>&1"]).arg(&file).stdin(Stdio::null()).kill_on_drop(true);
        let output =
            tokio::time::timeout(LIMIT, bash.output()).await.expect("the tour takes too long").unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).unwrap())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("run.log")).unwrap_or_default()
    }
}

fn restrict(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).unwrap();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let docs = std::fs::read_dir(root().join("gateway/docs")).unwrap().map(|page| page.unwrap().path());
    let mut links = 0;
    for page in docs.chain([root().join("README.md")]) {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !link.contains("://") {
                assert!(page.parent().unwrap().join(file).exists(), "{}: {link}", page.display());
                links += 1;
            }
        }
    }
    assert!(links >= 15, "only {links} links");
}
