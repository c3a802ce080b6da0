//! Sheets as text, CSV and HTML. Each is written as it is made.

use std::io::{self, Write};

use super::sheet::{Sheet, Table};

/// Columns of the terminal.
const WIDTH: usize = 100;

pub fn text(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    if let Some(warning) = &sheet.warning {
        writeln!(out, "{warning}\n")?;
    }
    writeln!(out, "{}\n", sheet.title)?;
    let widest = sheet.head.iter().map(|(name, _)| name.len()).max();
    for (name, value) in &sheet.head {
        let space = widest.unwrap_or(0);
        wrapped(out, &format!("  {name:space$}  "), value)?;
    }
    for table in &sheet.tables {
        let (title, count) = (&table.title, table.rows.len());
        writeln!(out, "\n{title} ({count} {})", rows_word(count))?;
        for row in &table.rows {
            writeln!(out)?;
            block(out, table, row)?;
        }
    }
    if !sheet.notes.is_empty() {
        writeln!(out)?;
    }
    for note in &sheet.notes {
        wrapped(out, "- ", note)?;
    }
    Ok(())
}

fn rows_word(count: usize) -> &'static str {
    if count == 1 { "row" } else { "rows" }
}

/// The first cell, and under it what the others say.
fn block(out: &mut dyn Write, table: &Table, row: &[String]) -> io::Result<()> {
    let mut cells = table.columns.iter().zip(row);
    let Some((_, first)) = cells.next() else {
        return Ok(());
    };
    writeln!(out, "  {}", plain(first))?;
    let widest = table.columns.iter().map(|c| c.len()).max().unwrap_or(0);
    for (name, value) in cells.filter(|(_, value)| !value.is_empty()) {
        wrapped(out, &format!("    {name:widest$}  "), value)?;
    }
    Ok(())
}

/// Lines after the first stand under its text. Words are not cut.
fn wrapped(out: &mut dyn Write, label: &str, value: &str) -> io::Result<()> {
    let indent = label.chars().count();
    let mut line = label.to_owned();
    let mut length = indent;
    for word in plain(value).split_whitespace() {
        let longer = word.chars().count();
        if length > indent && length + longer > WIDTH {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(indent);
            length = indent;
        }
        line.push_str(word);
        line.push(' ');
        length += longer + 1;
    }
    writeln!(out, "{}", line.trim_end())
}

/// A terminal obeys control characters.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// RFC 4180: lines end with CRLF, cells with a comma, a quote or a line end are quoted.
pub fn csv(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    let names = sheet.csv.columns.iter().copied();
    line(out, names.chain(["ledger", "verified"]))?;
    for row in &sheet.csv.rows {
        let cells = row.iter().chain(&sheet.origin).map(String::as_str);
        line(out, cells)?;
    }
    Ok(())
}

/// One line of CSV.
pub fn line<'a>(out: &mut dyn Write, cells: impl Iterator<Item = &'a str>) -> io::Result<()> {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        // A spreadsheet would take what begins so for a formula, and run it.
        let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let guard = if formula { "'" } else { "" };
        if cell.contains([',', '"', '\r', '\n']) {
            write!(out, "\"{guard}{}\"", cell.replace('"', "\"\""))?;
        } else {
            write!(out, "{guard}{cell}")?;
        }
    }
    out.write_all(b"\r\n")
}

const STYLE: &str = "body{font:14px/1.4 sans-serif;margin:2em;color:#111;background:#fff}\
table{border-collapse:collapse;margin:.5em 0 1.5em;width:100%}\
th,td{border:1px solid #999;padding:.25em .5em;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
thead{display:table-header-group}tr{break-inside:avoid}th{background:#eee}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em}dt{font-weight:bold}dd{margin:0;overflow-wrap:anywhere}\
.warning{border:3px solid #b00;padding:.5em 1em;font-weight:bold}\
@media print{body{margin:0;font-size:9pt}@page{size:landscape}}";

/// One file without scripts, images or anything from elsewhere.
pub fn html(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    let title = escaped(&sheet.title);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )?;
    if let Some(warning) = &sheet.warning {
        writeln!(out, "<p class=\"warning\">{}</p>", escaped(warning))?;
    }
    writeln!(out, "<h1>{title}</h1>\n<dl>")?;
    for (name, value) in &sheet.head {
        writeln!(out, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value))?;
    }
    writeln!(out, "</dl>")?;
    for table in &sheet.tables {
        let count = table.rows.len();
        let title = escaped(&table.title);
        writeln!(out, "<h2>{title} ({count} {})</h2>", rows_word(count))?;
        if count > 0 {
            html_table(table, out)?;
        }
    }
    if !sheet.notes.is_empty() {
        writeln!(out, "<ul>")?;
        for note in &sheet.notes {
            writeln!(out, "<li>{}</li>", escaped(note))?;
        }
        writeln!(out, "</ul>")?;
    }
    writeln!(out, "</body>\n</html>")
}

fn html_table(table: &Table, out: &mut dyn Write) -> io::Result<()> {
    // A column in which no row says anything would only take room.
    let says = |index: usize| {
        let mut cells = table.rows.iter().filter_map(|row| row.get(index));
        cells.any(|cell| !cell.is_empty())
    };
    let said: Vec<usize> = (0..table.columns.len()).filter(|i| says(*i)).collect();
    write!(out, "<table>\n<thead><tr>")?;
    for name in said.iter().filter_map(|i| table.columns.get(*i)) {
        write!(out, "<th>{}</th>", escaped(name))?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    for row in &table.rows {
        write!(out, "<tr>")?;
        for cell in said.iter().filter_map(|i| row.get(*i)) {
            write!(out, "<td>{}</td>", escaped(cell))?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody>\n</table>")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(cell: &str) -> Sheet {
        let mut table = Table::new("things <b>", &["name", "empty"]);
        table.rows = vec![vec![cell.to_owned(), String::new()]];
        Sheet {
            title: "A & B".to_owned(),
            csv: table.clone(),
            tables: vec![table],
            origin: ["id".to_owned(), "yes".to_owned()],
            ..Sheet::default()
        }
    }

    fn written(write: impl Fn(&Sheet, &mut dyn Write) -> io::Result<()>, cell: &str) -> String {
        let mut out = Vec::new();
        write(&sheet(cell), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn csv_is_quoted_and_runs_no_formula() {
        for (cell, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("@x", "'@x"),
            ("-1", "'-1"),
            ("+1,\"2\"", "\"'+1,\"\"2\"\"\""),
        ] {
            let expected = format!("name,empty,ledger,verified\r\n{expected},,id,yes\r\n");
            assert_eq!(written(csv, cell), expected);
        }
    }

    #[test]
    fn html_has_nothing_of_the_data_in_its_markup() {
        let page = written(html, "<script>alert('1')</script>");
        assert!(
            page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"),
            "{page}"
        );
        assert!(page.contains("<h2>things &lt;b&gt; (1 row)</h2>"), "{page}");
        assert!(!page.contains("<script"), "{page}");
        // The column without a word.
        assert!(!page.contains("<th>empty</th>"), "{page}");
    }

    #[test]
    fn text_is_wrapped_between_words_and_obeyed_by_no_terminal() {
        let mut sheet = sheet("\u{1b}[2Jgone");
        sheet.notes = vec!["word ".repeat(60)];
        let mut out = Vec::new();
        text(&sheet, &mut out).unwrap();
        let page = String::from_utf8(out).unwrap();
        assert!(!page.contains('\u{1b}'), "{page}");
        assert!(
            page.lines().all(|line| line.chars().count() <= WIDTH),
            "{page}"
        );
        assert_eq!(page.matches("word").count(), 60);
    }
}
