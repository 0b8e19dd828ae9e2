//! The README's tour: its blocks of shell, and what they are said to print.
//!
//! Invariant: the text of a block is run as it stands. A `text` block below is what the `sh` block above prints:
//! each of its lines is found in the output, in this order, `…` standing for anything.

/// A block of shell with the lines that it prints.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub shell: String,
    pub prints: Vec<String>,
}

/// The steps below the heading that contains these words, up to the next heading of that level.
pub fn steps(readme: &str, heading: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    let mut block: Option<&str> = None;
    for line in readme.lines() {
        match (block, line.strip_prefix("```")) {
            (None, Some(kind)) => {
                block = Some(kind);
                if inside && kind == "sh" {
                    steps.push(Step::default());
                }
            }
            (Some(_), Some(_)) => block = None,
            (None, None) if line.starts_with("## ") => inside = line.contains(heading),
            (Some("sh"), None) if inside => {
                let step = steps.last_mut().unwrap();
                step.shell.push_str(line);
                step.shell.push('\n');
            }
            (Some("text"), None) if inside => steps.last_mut().unwrap().prints.push(line.to_owned()),
            _ => {}
        }
    }
    steps
}

/// One bash script of these steps; a line that no program prints stands before the output of each.
pub fn script(steps: &[Step]) -> String {
    let mut script = String::from("set -eu\n");
    for (number, step) in steps.iter().enumerate() {
        script.push_str(&format!("echo '{}'\n{}", marker(number), step.shell));
    }
    script
}

/// The output of one step.
pub fn output_of(output: &str, number: usize) -> &str {
    let rest = output.split_once(&format!("{}\n", marker(number))).map_or("", |(_, rest)| rest);
    rest.split_once(&marker(number + 1)).map_or(rest, |(mine, _)| mine)
}

fn marker(number: usize) -> String {
    format!("=== step {number} of the tour ===")
}

/// The first line that the step should have printed and did not.
pub fn missing<'a>(step: &'a Step, output: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    let absent = |wanted: &&String| !lines.any(|line| matches(wanted, line));
    step.prints.iter().find(absent).map(String::as_str)
}

/// Whether the pieces between `…` stand in the line in this order.
fn matches(wanted: &str, line: &str) -> bool {
    let mut rest = line;
    wanted.split('…').map(str::trim).all(|piece| match rest.find(piece) {
        Some(place) => {
            rest = &rest[place + piece.len()..];
            true
        }
        None => false,
    })
}
