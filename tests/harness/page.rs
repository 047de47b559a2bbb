//! The blocks of a page of docs/ that a test does as they stand.
//!
//! Each is marked by the line before it: `<!-- run: NAME -->`, or `<!-- not run: WHY -->`.

use std::collections::BTreeMap;

/// The blocks that are done, by their names, without the indentation of the list that they are in. `languages` are those whose blocks need a mark.
pub(crate) fn blocks<'a>(page: &'a str, languages: &[&str]) -> BTreeMap<&'a str, String> {
    let mut blocks = BTreeMap::new();
    let (mut mark, mut lines) = (None, page.lines());
    while let Some(line) = lines.next() {
        if let Some(name) = line.trim().strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            mark = Some(name);
        } else if line.trim().strip_prefix("```").is_some_and(|language| languages.contains(&language)) {
            let text: Vec<_> = lines.by_ref().take_while(|line| line.trim() != "```").map(str::trim_start).collect();
            let mark = mark.take().unwrap_or_else(|| panic!("a block that nobody marked: {text:?}"));
            if let Some(name) = mark.strip_prefix("run: ") {
                let earlier = blocks.insert(name, text.join("\n"));
                assert_eq!(earlier, None, "two blocks are called {name}");
            } else {
                assert!(mark.starts_with("not run: "), "{mark}");
            }
        } else if !line.trim().is_empty() {
            assert_eq!(mark, None, "a mark without a block");
        }
    }
    blocks
}
