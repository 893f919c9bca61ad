//! What the measuring chores share: their words, and a worker of their own to do what they say.

use std::process::{Command, Stdio};

/// A list of words with commas between, each of which must be known.
pub fn list(chore: &str, text: &str, known: &[String]) -> Result<Vec<String>, String> {
    let list: Vec<String> = text
        .split(',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    match list.iter().find(|word| !known.contains(word)) {
        Some(odd) => Err(format!("{chore}: {odd:?} is none of {}", known.join(", "))),
        None => Ok(list),
    }
}

/// A count that is not zero.
pub fn count(chore: &str, text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count @ 1..) => Ok(count),
        Ok(0) | Err(_) => Err(format!("{chore}: {text:?} is no count from 1")),
    }
}

/// This program once more, as leader of a session of its own, so that Ctrl-C does not kill it in the middle of a tree of a
/// thousand: it learns of our end by the end of its standard input. `role` is a variable that tells it who it is; with
/// `mounts` it has mounts of its own. Each of these becomes the next, so the pid is the worker's.
pub fn command(
    chore: &str,
    args: &[String],
    role: (&str, &str),
    mounts: bool,
) -> Result<Command, String> {
    let us =
        std::env::current_exe().map_err(|why| format!("unable to find this program: {why}"))?;
    let mut command = Command::new("setsid");
    command.arg("--wait");
    if mounts {
        command.args(["unshare", "--mount", "--propagation", "private"]);
    }
    command
        .arg(us)
        .arg(chore)
        .args(args)
        .env(role.0, role.1)
        .stdin(Stdio::piped());
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_words_are_refused() {
        let known = ["fork", "leak"].map(str::to_owned);
        let told = list("bench", "fork,fun", &known).unwrap_err();
        assert_eq!(told, "bench: \"fun\" is none of fork, leak");
        assert_eq!(list("bench", "leak,", &known).unwrap(), ["leak"]);
        assert_eq!(
            count("bench", "0").unwrap_err(),
            "bench: \"0\" is no count from 1"
        );
        assert_eq!(count("bench", "3"), Ok(3));
    }
}
