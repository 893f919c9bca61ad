//! Gives up privileges as its options say, proves it, starts four threads, proves it for them too, and says `ready`.
//!
//! ```text
//! # drop --user www-data --chroot /var/empty --explain
//! # drop --user www-data --keep net_bind_service --bind 127.0.0.1:80
//! # drop --user www-data -- id
//! ```

use clap::Parser;
use eudaemon::privileges::{Capability, Limit, PrivError, PrivPlan, Resource, Supplementary};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Barrier;
use std::thread;

#[derive(Parser)]
struct Options {
    /// The user to become, by name or number
    #[arg(long)]
    user: Option<String>,
    /// The group, instead of the user's own
    #[arg(long)]
    group: Option<String>,
    /// The supplementary groups, instead of those that list the user; "none" for none
    #[arg(long, value_delimiter = ',')]
    groups: Option<Vec<String>>,
    /// The directory to be locked into
    #[arg(long)]
    chroot: Option<PathBuf>,
    /// A capability to keep; "none" to keep none
    #[arg(long)]
    keep: Option<Vec<String>>,
    /// A capability that programs it executes have too
    #[arg(long)]
    ambient: Vec<String>,
    /// Let programs it executes gain privileges
    #[arg(long)]
    new_privs: bool,
    /// Leave the bounding set and the securebits as they are
    #[arg(long)]
    not_for_good: bool,
    /// Whether it can be dumped
    #[arg(long)]
    dumpable: Option<bool>,
    /// The umask, octal
    #[arg(long)]
    umask: Option<String>,
    /// How many processes its user may have
    #[arg(long)]
    processes: Option<u64>,
    /// Let it be root
    #[arg(long)]
    allow_root: bool,
    /// Only say what would be done
    #[arg(long)]
    explain: bool,
    /// A mistake: start a thread first
    #[arg(long)]
    early_thread: bool,
    /// A mistake: keep a directory open
    #[arg(long)]
    hold: Option<PathBuf>,
    /// A mistake: go on after a failure, and try again
    #[arg(long)]
    twice: bool,
    /// An address to listen at, after the drop
    #[arg(long)]
    bind: Option<SocketAddr>,
    /// A program to become in the end
    #[arg(last = true)]
    program: Vec<String>,
}

impl Options {
    fn plan(&self) -> PrivPlan {
        let mut plan = PrivPlan::new()
            .no_new_privs(!self.new_privs)
            .for_good(!self.not_for_good)
            .allow_root(self.allow_root);
        if let Some(user) = &self.user {
            plan = plan.user(user);
        }
        if let Some(group) = &self.group {
            plan = plan.group(group);
        }
        match self.groups.as_deref() {
            None => {}
            Some([none]) if none == "none" => plan = plan.supplementary(Supplementary::None),
            Some(groups) => plan = plan.supplementary(Supplementary::List(groups.to_vec())),
        }
        if let Some(root) = &self.chroot {
            plan = plan.chroot(root);
        }
        if let Some(names) = &self.keep {
            plan = plan.keep_caps(&capabilities(names));
        }
        if !self.ambient.is_empty() {
            plan = plan.ambient(&capabilities(&self.ambient));
        }
        if let Some(dumpable) = self.dumpable {
            plan = plan.dumpable(dumpable);
        }
        if let Some(mask) = &self.umask {
            plan = plan.umask(u32::from_str_radix(mask, 8).expect("--umask is octal"));
        }
        if let Some(most) = self.processes {
            let limit = Limit {
                soft: most,
                hard: most,
            };
            plan = plan.rlimit(Resource::Processes, limit);
        }
        plan
    }
}

fn capabilities(names: &[String]) -> Vec<Capability> {
    let names = names.iter().filter(|name| *name != "none");
    names
        .map(|name| Capability::parse(name).expect("a name of capabilities(7)"))
        .collect()
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        // The process is neither what it was nor what it was to be: it says so, and ends.
        Err(error) => {
            eprintln!("drop: {error}");
            error.exit().into()
        }
    }
}

fn run(options: &Options) -> eudaemon::Result<()> {
    let (keep, kept) = std::sync::mpsc::channel::<()>();
    if options.early_thread {
        thread::spawn(move || kept.recv());
    }

    let held = options.hold.as_ref().map(std::fs::File::open);

    let resolved = options.plan().resolve()?;
    print!("{resolved}");
    if options.explain {
        return Ok(());
    }
    let dropped = match resolved.apply() {
        Err(error) if options.twice => {
            eprintln!("first: {error}");
            let again = options.plan().resolve()?;
            again.apply()?
        }
        applied => applied?,
    };
    print!("{dropped}");
    drop((keep, held));

    if let Some(address) = options.bind {
        match TcpListener::bind(address) {
            Ok(listener) => println!("listens at {:?}", listener.local_addr()),
            Err(error) => println!("unable to listen at {address}: {error}"),
        }
    }
    if let [program, arguments @ ..] = options.program.as_slice() {
        #[allow(
            clippy::disallowed_methods,
            reason = "it becomes a program, and starts none"
        )]
        let error = Command::new(program).args(arguments).exec();
        println!("unable to execute {program}: {error}");
        return Ok(());
    }

    // Threads have the privileges of the thread that starts them, so these have none.
    let all = Barrier::new(5);
    let proven = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                all.wait();
                all.wait();
            });
        }
        all.wait();
        let verdict = match dropped.verify_again() {
            // A chroot without /proc: there is nothing to read, but from outside.
            Err(PrivError::Proc(_)) if options.chroot.is_some() => Ok(1),
            verdict => verdict,
        };
        if let Ok(threads) = verdict {
            println!("ready: {threads} threads proven");
            // Whoever looks from outside closes our stdin when it has seen enough.
            let _ = std::io::stdin().read(&mut [0]);
        }
        all.wait();
        verdict
    });
    proven?;
    Ok(())
}
