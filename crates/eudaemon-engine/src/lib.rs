//! Room: supervision. You carry effects to the kernel and its answers back. If you are deciding, go to core; if you need
//! unsafe, go to sys.
//!
//! A tree runs as two processes: the [`keeper`], which is the parent of everything and does next to nothing, and the
//! [`engine`], which does the rest and may be killed at any instruction. What outlives an engine is in the [`table`] and in
//! the [`vault`].

pub mod engine;
pub mod handover;
pub mod keeper;
pub mod report;
pub mod request;
pub mod service;
pub mod socket;
pub mod table;
pub mod tree;
pub mod vault;

pub use tree::{Mode, Options};

use eudaemon_sys::process;

/// Runs a tree until it is done; returns the exit code. What is wrong has been said.
///
/// Must be called from a process with one thread, before it opens anything of its own: inherited descriptors are closed.
#[must_use]
pub fn run(options: &Options) -> u8 {
    process::close_inherited(&[]);
    let files = process::raise_file_limit();
    begin(options, files, |options| {
        tree::Tree::open(options).map(|tree| (tree, Vec::new()))
    })
}

fn begin(
    options: &Options,
    files: Option<(u64, u64)>,
    open: impl FnOnce(&Options) -> Result<(tree::Tree, vault::Things), u8>,
) -> u8 {
    let report = options.report();
    // The stage of spawning is set before anything else can take its numbers.
    let spawner = eudaemon_sys::spawn::Spawner::new(engine::spawn_method(), files);
    let spawner =
        match spawner.and_then(|spawner| eudaemon_sys::signal::block_all().map(|()| spawner)) {
            Ok(spawner) => spawner,
            Err(error) => return report.fatal(&["unable to prepare".as_ref()], &error),
        };
    let (tree, things) = match open(options) {
        Ok(opened) => opened,
        Err(code) => return code,
    };
    match keeper::keep(options, tree, things, spawner) {
        Ok(code) => code,
        Err(error) => report.fatal(&["unable to keep".as_ref()], &error),
    }
}
