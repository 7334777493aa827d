//! Tables for people, as plain text and as Markdown.

use comfy_table::{presets, CellAlignment, ContentArrangement};

/// A title, column heads, and cells. A column of numbers is set to the right.
#[derive(Clone, Debug)]
pub struct Table {
    /// The line above it.
    pub title: String,
    /// The first line.
    pub heads: Vec<String>,
    /// The others.
    pub cells: Vec<Vec<String>>,
}

impl Table {
    /// Plain text, a line for the heads and one for each row, without the title; at most `width` columns wide, if one is given.
    pub fn plain(&self, width: Option<u16>) -> String {
        let mut table = self.laid_out(presets::NOTHING);
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// Markdown, with the title as a heading.
    pub fn markdown(&self) -> String {
        format!("### {}\n\n{}\n", self.title, self.laid_out(presets::ASCII_MARKDOWN))
    }

    fn laid_out(&self, preset: &str) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.load_preset(preset).set_header(&self.heads).add_rows(&self.cells);
        for (index, column) in table.column_iter_mut().enumerate() {
            if self.is_of_numbers(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    fn is_of_numbers(&self, column: usize) -> bool {
        let mut cells = self.cells.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty());
        cells.all(|cell| cell.starts_with(|first: char| first.is_ascii_digit() || first == '-'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let strings = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
        Table {
            title: "Title".to_owned(),
            heads: strings(&["case", "ns"]),
            cells: vec![strings(&["ring", "100.0"]), strings(&["a pipe", "-"])],
        }
    }

    #[test]
    fn numbers_stand_on_the_right_and_lines_end_without_blanks() {
        assert_eq!(table().plain(None), " case       ns\n ring    100.0\n a pipe      -\n");
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        let mut table = table();
        table.cells.push(vec!["a reason ".repeat(30), String::new()]);
        assert!(table.plain(Some(60)).lines().all(|line| line.chars().count() <= 60));
    }

    #[test]
    fn markdown_has_a_heading_and_a_rule() {
        let text = table().markdown();
        assert!(text.starts_with("### Title\n\n| case"), "{text}");
        assert!(text.contains("|---"), "{text}");
    }
}
