//! The three forms in which something is shown to a person.

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::clean;

/// A piece of an answer.
pub enum Block {
    /// Names and values.
    Facts(Vec<(&'static str, String)>),
    /// A table.
    Grid { title: &'static str, header: &'static [&'static str], rows: Vec<Vec<String>> },
    /// Words.
    Text(String),
}

/// Facts; those without a value are left out.
pub fn facts(pairs: impl IntoIterator<Item = (&'static str, String)>) -> Block {
    Block::Facts(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect())
}

/// A table without a title.
pub fn grid(header: &'static [&'static str], rows: Vec<Vec<String>>) -> Block {
    Block::Grid { title: "", header, rows }
}

impl Block {
    /// As text; empty if there is nothing to show.
    pub fn render(&self) -> String {
        match self {
            Self::Text(text) => clean(text),
            Self::Facts(pairs) => {
                let mut table = plain();
                for (name, value) in pairs {
                    table.add_row(vec![Cell::new(format!("{name}:")), Cell::new(clean(value))]);
                }
                trim(&table)
            }
            Self::Grid { rows, .. } if rows.is_empty() => String::new(),
            Self::Grid { title, header, rows } => {
                let mut table = plain();
                table
                    .set_header(header.iter().map(|name| Cell::new(name).set_alignment(CellAlignment::Left)));
                for row in rows {
                    table.add_row(row.iter().map(|value| Cell::new(shown(value))));
                }
                let text = trim(&table);
                if title.is_empty() { text } else { format!("{title}\n{text}") }
            }
        }
    }
}

fn shown(value: &str) -> String {
    if value.is_empty() { "-".into() } else { clean(value) }
}

/// No lines: cells can be copied, and `awk` can read them.
fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn trim(table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<&str> =
        text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_readable() {
        let block = grid(
            &["ID", "NAME"],
            vec![vec!["srv_1".into(), "web".into()], vec!["srv_22".into(), String::new()]],
        );
        assert_eq!(block.render(), "ID      NAME\nsrv_1   web\nsrv_22  -");
    }

    #[test]
    fn facts_leave_out_what_is_empty() {
        let block =
            facts([("Id", "acc_1".into()), ("Grace ends", String::new()), ("Status", "ACTIVE".into())]);
        assert_eq!(block.render(), "Id:      acc_1\nStatus:  ACTIVE");
    }

    #[test]
    fn an_escape_in_a_cell_is_harmless() {
        assert!(!grid(&["A"], vec![vec!["\x1b[31mred".into()]]).render().contains('\x1b'));
    }
}
