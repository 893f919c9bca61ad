//! Every order of a few events, and a kill at every moment of each: no corner of a small world is left out.

use crate::dice::Dice;
use crate::life::calm;
use crate::mind::Mind;
use crate::oracle::Violation;
use crate::shell::{Fate, Shell};
use crate::story::Story;
use eudaemon_core::control::{Command, Control};
use eudaemon_core::definition::Definition;
use eudaemon_core::supervise::{Event, Now, Role};
use eudaemon_core::time::{Mono, Wall};
use eudaemon_core::words::{Ended, Signal};

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// A control byte.
    Say(Control),
    /// The main child ends with this code and the engine is told.
    End(u8),
    /// The next deadline comes.
    Wait,
    /// The next child is refused.
    Refuse,
}

/// The whole alphabet.
pub const TOKENS: [Token; 9] = [
    Token::Say(Control::Up),
    Token::Say(Control::Down),
    Token::Say(Control::Once),
    Token::Say(Control::Exit),
    Token::Say(Control::Send(Signal::Term)),
    Token::End(0),
    Token::End(1),
    Token::Wait,
    Token::Refuse,
];

/// How many lives were lived, or the first that went wrong.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// What happened.
    pub tokens: Vec<Token>,
    /// The moment of the kill.
    pub kill: Option<u32>,
    /// The law.
    pub violation: Violation,
    /// The story.
    pub story: String,
}

fn one<M: Mind>(
    definition: Definition,
    tokens: &[Token],
    fuse: Option<u32>,
    written: bool,
) -> (u32, String, Result<(), Box<Violation>>) {
    let now = Now {
        mono: Mono(10_000_000_000),
        wall: Wall(1_700_000_000_000_000_000),
    };
    let fate = Fate {
        dice: Dice::new(0),
        definitions: vec![definition],
        refuses: 0,
        refuses_next: 0,
        exec_fails: 0,
        holds: 0,
        hooks: 500,
        ignores: 0,
        hangs: 0,
        kills_again: 0,
    };
    let mut shell = Shell::<M>::new(now, false, fate, Story::new(written));
    shell.fuse = fuse;
    let verdict = storm(&mut shell, tokens);
    let moments = shell.moments;
    let verdict = verdict.and_then(|()| calm(&mut shell, "", &mut Dice::new(1)));
    (moments, shell.story.text().to_owned(), verdict)
}

fn storm<M: Mind>(shell: &mut Shell<M>, tokens: &[Token]) -> Result<(), Box<Violation>> {
    let turn = shell.hear(Event::Deadline);
    shell.survive(turn)?;
    let turn = shell.settle();
    shell.survive(turn)?;
    for token in tokens {
        if shell.left {
            break;
        }
        shell.now.mono.0 += 1_000_000;
        shell.oracle.calm_dues();
        match token {
            Token::Say(control) => {
                shell.inbox.push_back(Command::plain(*control));
                while !shell.inbox.is_empty() && !shell.left {
                    let turn = shell.obey();
                    shell.survive(turn)?;
                }
            }
            Token::End(code) => {
                shell.end(Role::Main, Ended::Code(*code));
                if let Err(halt) = shell.tell_end(Role::Main) {
                    shell.survive(Err(halt))?;
                }
            }
            Token::Wait => {
                if let Some(at) = shell.mind.deadline() {
                    shell.now.mono = shell.now.mono.max(at);
                    let turn = shell.hear(Event::Deadline);
                    shell.survive(turn)?;
                }
            }
            Token::Refuse => shell.fate.refuses_next = 1,
        }
        if !shell.left {
            let turn = shell.settle();
            shell.survive(turn)?;
        }
    }
    Ok(())
}

/// Lives every sequence of up to `length` tokens of `alphabet`, without a kill and with one at each moment. Returns how many
/// lives there were.
///
/// # Errors
/// The first life that broke a law.
pub fn every<M: Mind>(
    definition: Definition,
    alphabet: &[Token],
    length: usize,
) -> Result<u64, Box<Wrong>> {
    let mut lives = 0;
    let mut indices = vec![0usize; length];
    let mut tokens = Vec::with_capacity(length);
    // Prefixes need no turn of their own: a life of `length` tokens is judged at each of its moments, and the calm after a
    // shorter one is covered by `Refuse` and `Wait`, which may do nothing.
    loop {
        tokens.clear();
        tokens.extend(indices.iter().map(|index| alphabet[*index]));
        let mut fuse = None;
        let mut moments = 0;
        loop {
            let (seen, _, verdict) = one::<M>(definition, &tokens, fuse, false);
            lives += 1;
            if let Err(violation) = verdict {
                let (_, story, _) = one::<M>(definition, &tokens, fuse, true);
                return Err(Box::new(Wrong {
                    tokens,
                    kill: fuse,
                    violation: *violation,
                    story,
                }));
            }
            moments = moments.max(if fuse.is_none() { seen } else { 0 });
            fuse = Some(fuse.map_or(0, |at| at + 1));
            if fuse >= Some(moments) {
                break;
            }
        }
        let Some(turn) = indices.iter().rposition(|index| index + 1 < alphabet.len()) else {
            return Ok(lives);
        };
        indices[turn] += 1;
        for index in &mut indices[turn + 1..] {
            *index = 0;
        }
    }
}
