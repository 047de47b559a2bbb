//! The branches of a tree of backups, as text before their names.

use crate::records::reader::BackupRow;

/// How deep a branch is drawn: a month of incrementals, each taken from the one before, would fill the screen with nothing else.
const DEEPEST: usize = 8;

/// What is drawn before each of `rows`, a base before what was taken from it. One whose base is not among them stands at the left.
pub(super) fn branches(rows: &[&BackupRow]) -> Vec<String> {
    let mut above: Vec<&str> = Vec::new();
    let mut depths = Vec::with_capacity(rows.len());
    for row in rows {
        let base = row.from.as_deref();
        let under = base.and_then(|base| above.iter().rposition(|id| *id == base)).map_or(0, |at| at + 1);
        above.truncate(under);
        above.push(&row.id);
        depths.push(under.min(DEEPEST));
    }
    // From the end: which levels are gone on with further below.
    let (mut goes_on, mut drawn) = (Vec::new(), Vec::with_capacity(rows.len()));
    for depth in depths.into_iter().rev() {
        goes_on.resize(depth + 1, false);
        let mut text = String::new();
        for (level, more) in goes_on.iter().enumerate().skip(1) {
            text.push_str(match (level == depth, *more) {
                (true, true) => "├─ ",
                (true, false) => "└─ ",
                (false, true) => "│  ",
                (false, false) => "   ",
            });
        }
        drawn.push(text);
        if let Some(this) = goes_on.last_mut() {
            *this = true;
        }
    }
    drawn.reverse();
    drawn
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::branches;
    use crate::records::reader::BackupRow;

    /// Backups as `id<base`, drawn.
    fn drawn(backups: &str) -> String {
        let row = |text: &str| {
            let (id, from) = text.split_once('<').map_or((text, None), |(id, from)| (id, Some(from.to_owned())));
            BackupRow { id: id.to_owned(), from, ..BackupRow::default() }
        };
        let rows: Vec<_> = backups.split_whitespace().map(row).collect();
        let branches = branches(&rows.iter().collect::<Vec<_>>());
        branches.iter().zip(&rows).map(|(branch, row)| format!("{branch}{}", row.id)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_hangs_on_what_it_was_taken_from() {
        assert_snapshot!(drawn("a b<a c<b d<c e<b f<a g<f h i<h"), @r"
        a
        ├─ b
        │  ├─ c
        │  │  └─ d
        │  └─ e
        └─ f
           └─ g
        h
        └─ i
        ");
    }

    #[test]
    fn one_whose_base_is_not_listed_stands_at_the_left() {
        assert_snapshot!(drawn("b<a c<b e<none a"), @r"
        b
        └─ c
        e
        a
        ");
    }

    #[test]
    fn a_long_chain_is_not_drawn_ever_deeper() {
        let long: Vec<_> = (1..10_000).map(|at| format!("{at}<{}", at - 1)).collect();
        let longest = drawn(&long.join(" ")).lines().map(|line| line.chars().count()).max();
        assert_eq!(longest, Some(8 * 3 + 4));
    }
}
