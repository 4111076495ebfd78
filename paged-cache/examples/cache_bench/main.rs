//! What the cache costs: medians against the goals, as a table or as JSON.
//!
//! ```text
//! cargo run --release -p paged-cache --example cache_bench [-- --json]
//! ```
//!
//! Every measurement checks the answers of what it timed. `--instructions BLOCKS` runs a fixed list of
//! operations on a pool of that size and is meant to be run under callgrind, see `instructions.rs`.

mod instructions;
mod scaling;
mod timing;

use timing::Row;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => print_table(&rows()),
        ["--json"] => print_json(&rows()),
        ["--instructions", blocks] => match blocks.parse() {
            Ok(blocks) => instructions::run(blocks),
            Err(_) => usage(),
        },
        _ => usage(),
    }
}

fn usage() {
    eprintln!("error: usage: cache_bench [--json | --instructions BLOCKS]");
    std::process::exit(2);
}

fn rows() -> Vec<Row> {
    let mut rows = timing::rows();
    rows.extend(scaling::rows());
    rows
}

fn print_table(rows: &[Row]) {
    println!("{:<58} {:>12} {:>12}  unit", "median", "measured", "goal");
    for row in rows {
        let mark = if row.holds() { "" } else { "  MISSED" };
        let goal = row.goal.map_or("-".into(), |goal| format!("≤ {goal}"));
        println!("{:<58} {:>12.2} {goal:>12}  {}{mark}", row.name, row.value, row.unit);
    }
}

fn print_json(rows: &[Row]) {
    let line = |row: &Row| {
        let goal = row.goal.map_or("null".into(), |goal| goal.to_string());
        format!(
            "{{\"name\":\"{}\",\"value\":{:.3},\"unit\":\"{}\",\"goal\":{goal},\"holds\":{}}}",
            row.name,
            row.value,
            row.unit,
            row.holds()
        )
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    println!("{{\"results\":[\n{}\n]}}", lines.join(",\n"));
}
