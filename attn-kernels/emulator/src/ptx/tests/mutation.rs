//! Broken texts are refused, never a panic. `fuzz/` does the same for hours, guided by coverage.

use proptest::prelude::*;

use super::{load, with_body};

fn seed() -> String {
    let table = include_str!("accepted.txt");
    let lines: Vec<_> = table.lines().skip(1).step_by(7).filter(|l| !l.contains(':')).collect();
    with_body(&lines.join("\n"))
}

/// One edit: where (a share of the text), what, and with what.
type Edit = (f64, u8, u16, String);

fn edit(text: &mut Vec<u8>, (at, kind, length, insert): &Edit) {
    let at = ((text.len() as f64) * at) as usize;
    let end = (at + usize::from(*length)).min(text.len());
    match kind % 5 {
        0 => text.truncate(at),
        1 => drop(text.drain(at..end)),
        2 => drop(text.splice(at..at, insert.bytes())),
        3 => {
            let copy = text[at..end].to_vec();
            let to = (at * 7919) % (text.len() + 1);
            drop(text.splice(to..to, copy));
        }
        _ => {
            if let Some(byte) = text.get_mut(at) {
                *byte ^= 1 << (length % 8);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn mutated_text_never_panics(edits in prop::collection::vec(
        (0.0..1.0, any::<u8>(), 0_u16..60, "[%a-z0-9.,;{}\\[\\]+@!|<>\n\\- ]{0,12}"), 1..6)
    ) {
        let mut text = seed().into_bytes();
        edits.iter().for_each(|e| edit(&mut text, e));
        let text = String::from_utf8_lossy(&text);
        if let Err(error) = load(&text) {
            let lines = u32::try_from(text.lines().count()).unwrap();
            prop_assert!((1..=lines + 1).contains(&error.place().line), "{error}");
        }
    }

    #[test]
    fn any_text_never_panics(text in "\\PC{0,200}") {
        let _ = load(&text);
        let _ = load(&with_body(&text));
    }
}

#[test]
fn the_seed_is_whole() {
    load(&seed()).unwrap();
}
