//! Room: laws. You may import alloc and yourself. You may not know the time: it is given to you. If you need the world
//! changed, return an Effect.
//!
//! Modules in reading order: the vocabulary ([`time`], [`words`], [`exit`]), the formats ([`control`], [`status`]), what a
//! service is ([`definition`]), what a supervisor does next ([`supervise`]), what a scanner does next ([`scan`]), and what
//! happens to a log line ([`log`]). The small programs of a chain: who runs ([`account`]), with which variables
//! ([`environment`]) and limits ([`limits`]), and where a program is looked for ([`search`]). A service's own log: how much
//! ([`level`]), where and as what ([`logging`]), in the journal's form ([`journal`]).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod account;
pub mod address;
pub mod addressed;
pub mod capability;
pub mod certificate;
pub mod control;
pub mod definition;
pub mod detach;
pub mod elf;
pub mod environment;
pub mod exit;
pub mod handover;
pub mod health;
pub mod journal;
pub mod level;
pub mod life;
pub mod limits;
pub mod listen;
pub mod log;
pub mod logging;
pub mod notify;
pub mod openmetrics;
pub mod pprof;
pub mod pressure;
pub mod privilege;
pub mod redact;
pub mod replacement;
pub mod scan;
pub mod search;
pub mod spawner;
pub mod status;
pub mod stored;
pub mod supervise;
pub mod svlogd;
pub mod syscall;
pub mod time;
pub mod words;
