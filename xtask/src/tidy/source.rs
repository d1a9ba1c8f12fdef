//! Just enough of Rust's grammar to see which paths a file names: comments and strings blanked, tokens, `use` trees.
//! Line numbers survive, so that a violation can point at its line.

/// One token; everything that is not a name is a single character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// A name, or one character of punctuation.
    pub text: String,
    /// 1-based.
    pub line: usize,
}

impl Token {
    fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    }
}

/// A path such as `std::time::Instant::now`, with `use` trees expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its segments, without a leading `::`.
    pub segments: Vec<String>,
    /// 1-based line of its last segment.
    pub line: usize,
    /// The name given by `as`.
    pub alias: Option<String>,
    /// What stood before it: `.` for a method.
    pub before: Option<char>,
    /// What stands after it: `!` for a macro.
    pub after: Option<char>,
}

/// The tokens of `text` outside comments, strings and character literals.
pub fn tokens(text: &str) -> Vec<Token> {
    let masked = mask(text);
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut name = String::new();
    for c in masked.chars().chain(['\n']) {
        if c.is_alphanumeric() || c == '_' {
            name.push(c);
            continue;
        }
        if !name.is_empty() {
            tokens.push(Token { text: std::mem::take(&mut name), line });
        }
        if c == '\n' {
            line += 1;
        } else if !c.is_whitespace() {
            tokens.push(Token { text: c.into(), line });
        }
    }
    tokens
}

/// `text` with comments, strings and character literals turned into spaces; newlines stay.
fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let end = match c {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_end(&chars, at),
            '"' => string_end(&chars, at),
            'r' if !after_name(&chars, at) => raw_end(&chars, at).unwrap_or(at),
            '\'' => char_end(&chars, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            out.push(c);
            at += 1;
        } else {
            let end = end.min(chars.len());
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Whether the character before `at` belongs to a name: then an `r` is part of it. `br"` is the exception.
fn after_name(chars: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|i| chars.get(i)).copied();
    let is_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    is_name(before(1)) && (!matches!(before(1), Some('b' | 'c')) || is_name(before(2)))
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|&c| c == '\n').map_or(chars.len(), |length| at + length)
}

/// Block comments nest.
fn block_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0_usize, at);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(&c) = chars.get(at) {
        match c {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of `r"..."` or `r#"..."#` at `at`; none for a raw identifier or a name that begins with r.
fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let mut at = at + 1 + hashes;
    if chars.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    while at < chars.len() {
        if chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(chars.len())
}

/// The end of a character literal at `at`; none for a lifetime.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    if chars.get(at + 1) == Some(&'\\') {
        let rest = chars.get(at + 3..)?;
        return rest.iter().position(|&c| c == '\'').map(|length| at + 3 + length + 1);
    }
    (chars.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

/// Takes away what only tests compile: items under `#[cfg(test)]`. Also gives the names of such modules whose text
/// is in a file of their own.
pub fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        let marked = tokens[at..].iter().take(MARK.len()).map(|t| t.text.as_str()).eq(MARK);
        if !marked {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let start = at + MARK.len();
        let end = item_end(tokens, start);
        let item: Vec<&str> = tokens[start..end].iter().map(|t| t.text.as_str()).collect();
        if let [.., "mod", name, ";"] = item.as_slice() {
            modules.push((*name).to_owned());
        }
        at = end;
    }
    (kept, modules)
}

/// Behind the item that begins at `start`: its `;` or the brace that closes its body.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Every path in `tokens`.
pub fn paths(tokens: &[Token]) -> Vec<Named> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].text == "use" {
            at = use_tree(tokens, at + 1, &[], &mut found);
        } else if tokens[at].is_name() {
            at = plain_path(tokens, at, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

fn is_separator(tokens: &[Token], at: usize) -> bool {
    text(tokens, at) == ":" && text(tokens, at + 1) == ":"
}

fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| token.text.as_str())
}

fn plain_path(tokens: &[Token], start: usize, found: &mut Vec<Named>) -> usize {
    let mut segments = vec![tokens[start].text.clone()];
    let mut at = start + 1;
    while is_separator(tokens, at) && tokens.get(at + 2).is_some_and(Token::is_name) {
        segments.push(tokens[at + 2].text.clone());
        at += 3;
    }
    let before = start.checked_sub(1).and_then(|i| text(tokens, i).chars().next());
    let after = text(tokens, at).chars().next();
    found.push(Named { segments, line: tokens[at - 1].line, alias: None, before, after });
    at
}

/// One branch of a `use` tree that begins at `at`; gives the place behind it.
fn use_tree(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Named>) -> usize {
    let mut segments = prefix.to_vec();
    let mut alias = None;
    while at < tokens.len() {
        match text(tokens, at) {
            "{" => {
                at += 1;
                while at < tokens.len() && text(tokens, at) != "}" {
                    at = use_tree(tokens, at, &segments, found);
                    if text(tokens, at) == "," {
                        at += 1;
                    } else if text(tokens, at) != "}" {
                        return at;
                    }
                }
                return at + 1;
            }
            ":" | "*" => at += 1,
            "as" => {
                alias = tokens.get(at + 1).map(|token| token.text.clone());
                at += 2;
            }
            _ if tokens[at].is_name() => {
                // `use std::io::{self}` names std::io.
                if text(tokens, at) != "self" || segments.is_empty() {
                    segments.push(tokens[at].text.clone());
                }
                at += 1;
            }
            _ => break,
        }
    }
    let line = tokens.get(at.saturating_sub(1)).map_or(0, |token| token.line);
    found.push(Named { segments, line, alias, before: None, after: None });
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> Vec<String> {
        paths(&tokens(text)).iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn comments_strings_and_characters_are_not_code() {
        let text = r##"
            // tokio
            /* std::net /* nested */ std::fs */
            let a = "std::net \" tokio"; let b = r#"tokio " "#; let c = b"tokio"; let d = br"tokio";
            let e = '"'; let f = '\''; let g: &'static str = e;
        "##;
        let words: Vec<String> = tokens(text).into_iter().map(|token| token.text).collect();
        for hidden in ["tokio", "std", "net", "fs", "nested"] {
            assert!(!words.iter().any(|word| word == hidden), "{hidden} in {words:?}");
        }
        assert!(words.ends_with(&["=".into(), "e".into(), ";".into()]), "{words:?}");
    }

    #[test]
    fn lines_survive_what_is_blanked() {
        let tokens = tokens("/* 1\n2 */ a\n\"3\n4\" b");
        assert_eq!(
            tokens.iter().map(|t| (t.text.as_str(), t.line)).collect::<Vec<_>>(),
            [("a", 2), ("b", 4)]
        );
    }

    #[test]
    fn use_trees_are_expanded() {
        let found = joined("use std::{net::{self, TcpStream as T}, time::Duration};\nuse bytes::*; f(a::b)");
        assert_eq!(found, ["std::net", "std::net::TcpStream", "std::time::Duration", "bytes", "f", "a::b"]);
    }

    #[test]
    fn test_only_items_are_taken_away() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { { } } }\n#[cfg(test)] mod sim;\nfn c() {}";
        let (kept, modules) = without_tests(&tokens(text));
        let names: Vec<&str> = kept.iter().filter(|t| t.is_name()).map(|t| t.text.as_str()).collect();
        assert_eq!(names, ["fn", "a", "fn", "c"]);
        assert_eq!(modules, ["sim"]);
    }
}
