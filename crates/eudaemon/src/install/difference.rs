//! What changes in a file, in the form of `diff -u`.

use std::fmt::Write as _;

/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;

#[derive(Clone, Copy)]
enum Line<'a> {
    Kept(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// The hunks that make `new` of `old`; empty when they are the same. Without the two lines that name the files.
pub(super) fn hunks(old: &str, new: &str) -> String {
    let lines = lines(old, new);
    let is_change = |line: &Line<'_>| !matches!(line, Line::Kept(_));
    let mut out = String::new();
    let mut at = 0;
    while let Some(first) = lines[at..]
        .iter()
        .position(is_change)
        .map(|found| at + found)
    {
        let start = first.saturating_sub(CONTEXT).max(at);
        let mut end = first;
        // Changes with little between them are one hunk.
        while let Some(more) = lines[end..].iter().position(is_change) {
            if more > 2 * CONTEXT {
                break;
            }
            end += more + 1;
        }
        let end = (end + CONTEXT).min(lines.len());
        hunk(&mut out, &lines, start, end);
        at = end;
    }
    out
}

fn hunk(out: &mut String, lines: &[Line<'_>], start: usize, end: usize) {
    let range = |mine: fn(&Line<'_>) -> bool| {
        let before = lines[..start].iter().filter(|line| mine(line)).count();
        let inside = lines[start..end].iter().filter(|line| mine(line)).count();
        // What is empty stands behind line `before`. Source: POSIX, diff, "Diff -u or -U Output Format".
        format!("{},{inside}", before + usize::from(inside > 0))
    };
    let old = range(|line| !matches!(line, Line::New(_)));
    let new = range(|line| !matches!(line, Line::Gone(_)));
    let _infallible = writeln!(out, "@@ -{old} +{new} @@");
    for line in &lines[start..end] {
        let (sign, text) = match line {
            Line::Kept(text) => (' ', text),
            Line::Gone(text) => ('-', text),
            Line::New(text) => ('+', text),
        };
        out.push(sign);
        out.push_str(text);
        if !text.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// Every line of both, in order, by their longest common subsequence. Files here have a few hundred lines, so its square is
/// little.
fn lines<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let width = new.len() + 1;
    // At (i, j): how many lines old[i..] and new[j..] have in common.
    let mut common = vec![0_usize; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::with_capacity(old.len() + new.len());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push(Line::Kept(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            out.push(Line::Gone(old[i]));
            i += 1;
        } else {
            out.push(Line::New(new[j]));
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_diff_writes_it() {
        assert_eq!(hunks("a\n", "a\n"), "");
        assert_eq!(hunks("", "a\nb\n"), "@@ -0,0 +1,2 @@\n+a\n+b\n");
        assert_eq!(hunks("a\nb\n", ""), "@@ -1,2 +0,0 @@\n-a\n-b\n");
        assert_eq!(
            hunks("a", "a\n"),
            "@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"
        );
        let old: String = (0..20).map(|line| format!("{line}\n")).collect();
        let new = old.replace("\n3\n", "\nthree\n").replace("\n17\n", "\n");
        let told = "@@ -1,7 +1,7 @@\n 0\n 1\n 2\n-3\n+three\n 4\n 5\n 6\n@@ -15,6 +15,5 @@\n 14\n 15\n 16\n-17\n 18\n 19\n";
        assert_eq!(hunks(&old, &new), told);
    }

    /// Both files can be read out of a difference, whatever changed.
    #[test]
    fn both_sides_are_in_it() {
        let mut seed = 1_u64;
        let mut dice = |sides: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % sides
        };
        for _ in 0..2000 {
            let [old, new] = [0, 1].map(|_| {
                let count = dice(9);
                (0..count)
                    .map(|_| format!("{}\n", dice(3)))
                    .collect::<String>()
            });
            let told = lines(&old, &new);
            let side = |gone: bool| -> String {
                told.iter()
                    .filter_map(|line| match line {
                        Line::Kept(text) => Some(*text),
                        Line::Gone(text) => gone.then_some(*text),
                        Line::New(text) => (!gone).then_some(*text),
                    })
                    .collect()
            };
            assert_eq!((side(true), side(false)), (old, new));
        }
    }
}
