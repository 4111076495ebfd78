//! Stop strings over text that arrives in pieces.

/// Looks for stop strings in a growing text and holds back what may become one.
///
/// A stop string can begin in one token and end in another; text that has been given out cannot be
/// taken back, so the longest end of the text that begins a stop string waits for the next piece.
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
}

/// What one piece of text released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Text that is certainly part of the output.
    pub text: String,
    /// A stop string was found: `text` ends just before it and nothing follows.
    pub stopped: bool,
}

impl StopStrings {
    /// Looks for these strings; none of them empty ([`super::SamplingParams::validate`]).
    #[must_use]
    pub fn new(stops: &[String]) -> Self {
        debug_assert!(stops.iter().all(|s| !s.is_empty()));
        Self { stops: stops.to_vec(), held: String::new() }
    }

    /// Takes the next piece of text.
    pub fn push(&mut self, piece: &str) -> Released {
        if self.stops.is_empty() {
            return Released { text: piece.to_owned(), stopped: false };
        }
        self.held.push_str(piece);
        // The first to be complete wins, of two the longer, so that pieces and whole text agree.
        let ends = |s: &String| self.held.find(s.as_str()).map(|at| (at + s.len(), at));
        if let Some((_, at)) = self.stops.iter().filter_map(ends).min() {
            self.held.truncate(at);
            return Released { text: std::mem::take(&mut self.held), stopped: true };
        }
        let hold = self.stops.iter().map(|s| overlap(&self.held, s)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - hold);
        Released { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// The text ended without a stop string: gives out what was held back.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// The length of the longest proper beginning of `stop` that `text` ends with.
fn overlap(text: &str, stop: &str) -> usize {
    (1..stop.len().min(text.len() + 1))
        .rev()
        .find(|&n| stop.is_char_boundary(n) && text.ends_with(&stop[..n]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|s| (*s).to_owned()).collect();
        let mut matcher = StopStrings::new(&stops);
        let mut text = String::new();
        for piece in pieces {
            let released = matcher.push(piece);
            text.push_str(&released.text);
            if released.stopped {
                return (text, true);
            }
        }
        text.push_str(&matcher.finish());
        (text, false)
    }

    #[test]
    fn a_stop_across_pieces_is_cut_and_never_shown() {
        let mut matcher = StopStrings::new(&["\n\nQ:".to_owned()]);
        assert_eq!(matcher.push("yes.\n"), Released { text: "yes.".into(), stopped: false });
        assert_eq!(matcher.push("\nQ"), Released { text: String::new(), stopped: false });
        assert_eq!(matcher.push(": more"), Released { text: String::new(), stopped: true });
    }

    #[test]
    fn what_only_looked_like_a_stop_comes_out_whole() {
        assert_eq!(run(&["###"], &["a#", "#", "b", "##"]), ("a##b##".into(), false));
        assert_eq!(run(&["aab"], &["aa", "ab", "c"]), ("a".into(), true));
    }

    #[test]
    fn the_first_to_be_complete_wins() {
        assert_eq!(run(&["cd", "b"], &["abcd"]), ("a".into(), true));
        assert_eq!(run(&["abab", "ba"], &["ababx"]), run(&["abab", "ba"], &["a", "b", "a", "bx"]));
    }

    #[test]
    fn multibyte_text_is_cut_at_characters() {
        assert_eq!(run(&["é!"], &["cafe", "é", "é", "!x"]), ("cafeé".into(), true));
        assert_eq!(run(&["ééé"], &["é", "é"]), ("éé".into(), false));
    }

    /// Against the plain way: the whole text, cut at the match that ends first.
    #[test]
    fn any_split_gives_the_same_as_the_whole_text() {
        let text = "abaababaabaab abab baab";
        for stops in [vec!["aabaa"], vec!["abaaba", "baab"], vec!["baab", "ab a"], vec!["zz"]] {
            let ends = |s: &&str| text.find(*s).map(|at| (at + s.len(), at));
            let at = stops.iter().filter_map(ends).min().map(|(_, at)| at);
            let expected = (text[..at.unwrap_or(text.len())].to_owned(), at.is_some());
            for size in 1..text.len() {
                let pieces: Vec<&str> = text
                    .as_bytes()
                    .chunks(size)
                    .map(|piece| std::str::from_utf8(piece).unwrap())
                    .collect();
                assert_eq!(run(&stops, &pieces), expected, "{stops:?} in pieces of {size}");
            }
        }
    }
}
