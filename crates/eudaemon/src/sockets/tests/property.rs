//! Any life of a set leaves open what it should, and nothing else.

use super::model::{Answer, Model};
use super::{Kind, made};
use crate::sockets::{Bound, Export, Generation, SocketError, Sockets};
use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the process that has nothing else to do.
const ALONE: &str = "EUDAEMON_SETS_SEED";
const NAMES: [&str; 4] = ["web", "db", "", "unknown"];
const LIVES: u64 = 3000;

/// One thing that is done; each number chooses from what there is then.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Get {
        set: usize,
        name: usize,
        what: usize,
    },
    Export {
        set: usize,
        name: usize,
        what: usize,
    },
    DropBound(usize),
    KeepBound(usize),
    DropExport(usize),
    Forget {
        set: usize,
        name: usize,
    },
    ForgetObject {
        set: usize,
        what: usize,
    },
    Reset(usize),
    Keep(usize),
    Abandon(usize),
    Cleanup(usize),
    Clone(usize),
    DropSet(usize),
}

/// Numbers that look random, and are the same for the same seed. Source: SplitMix64, Steele et al. 2014.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("it is below")
    }

    fn deed(&mut self) -> Deed {
        let mut of = || self.below(64);
        let (set, name, what) = (of(), of(), of());
        match self.below(32) {
            0..9 => Deed::Get { set, name, what },
            9..12 => Deed::Export { set, name, what },
            12..17 => Deed::DropBound(what),
            17 => Deed::KeepBound(what),
            18..20 => Deed::DropExport(what),
            20 => Deed::Forget { set, name },
            21 => Deed::ForgetObject { set, what },
            22..25 => Deed::Reset(set),
            25..27 => Deed::Keep(what),
            27..29 => Deed::Abandon(what),
            29 => Deed::Cleanup(set),
            30 => Deed::Clone(set),
            _ => Deed::DropSet(what),
        }
    }
}

/// The real thing, and the model of it.
struct Life {
    folder: PathBuf,
    before: BTreeMap<String, usize>,
    model: Model,
    sets: Vec<Sockets>,
    generations: Vec<Generation>,
    bounds: Vec<Bound<OwnedFd>>,
    exports: Vec<Export>,
    held: Vec<OwnedFd>,
    /// Whether a file may be kept for ever: its lock is.
    may_keep: bool,
}

fn target(fd: &OwnedFd) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
    link.to_str().unwrap().to_owned()
}

/// How often each file is open in this process, but for the listing itself.
fn open_files() -> BTreeMap<String, usize> {
    let mut open = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        if let Ok(link) = std::fs::read_link(entry.unwrap().path()) {
            *open.entry(link.to_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    open.remove(&format!("/proc/{}/fd", std::process::id()));
    open
}

impl Life {
    fn begin(folder: &Path, passed: usize, may_keep: bool) -> Life {
        let before = open_files();
        let mut model = Model::default();
        let mut fds = Vec::new();
        let mut items = Vec::new();
        for at in 0..passed {
            let (fd, kind) = fresh(at);
            let object = model.object(target(&fd), kind);
            // One alone may be without a name.
            let name = if passed == 1 {
                "unknown"
            } else {
                NAMES[at % 3]
            };
            items.push((name.to_owned(), object));
            fds.push((name, fd));
        }
        model.inherit(items);
        Life {
            folder: folder.to_owned(),
            before,
            model,
            sets: vec![made(fds)],
            generations: Vec::new(),
            bounds: Vec::new(),
            exports: Vec::new(),
            held: Vec::new(),
            may_keep,
        }
    }

    /// A set, or that of a generation; the model counts the same way.
    fn set(&self, at: usize) -> Option<Sockets> {
        let generations = self.generations.iter().map(|one| Sockets::clone(one));
        let all = self.sets.iter().cloned().chain(generations);
        all.clone().nth(at % all.count().max(1))
    }

    fn get(&mut self, set: usize, name: usize, what: usize) -> Option<()> {
        let (set, pool) = (self.set(set)?, self.model.pool_of(set));
        let name = NAMES[name % NAMES.len()];
        let path = |end: &str| self.folder.join(format!("{name}{end}"));
        let (kind, address, path) = match what % 7 {
            0 => (Some(Kind::Tcp4), Some("tcp:127.0.0.1:0".to_owned()), None),
            1 => (Some(Kind::Tcp4), Some("tcp:127.0.0.2:0".to_owned()), None),
            2 => (Some(Kind::Tcp4), None, None),
            3 => (Some(Kind::Udp4), Some("udp:127.0.0.1:0".to_owned()), None),
            4 => {
                let path = path(".sock");
                let address = format!("unix:{}", path.display());
                (Some(Kind::UnixStream), Some(address), Some(path))
            }
            5 => {
                let path = path(".dgram");
                let address = format!("unix-dgram:{}", path.display());
                (Some(Kind::UnixDatagram), Some(address), Some(path))
            }
            _ => (None, None, None),
        };
        let mut want = set.get(name);
        if let Some(address) = &address {
            want = want.or_bind(address);
        }
        let got = match kind {
            Some(Kind::Tcp4) => want.tcp_listener().map(|one| one.map(OwnedFd::from)),
            Some(Kind::Udp4) => want.udp_socket().map(|one| one.map(OwnedFd::from)),
            Some(Kind::UnixStream) => want.unix_listener().map(|one| one.map(OwnedFd::from)),
            Some(_) => want.unix_datagram().map(|one| one.map(OwnedFd::from)),
            None => want.owned(),
        };
        let answer = self.model.ask(pool, name, kind, address.as_deref());
        match (answer, got) {
            (Answer::Claimed(at), Ok(bound)) => {
                let object = self.model.pools[pool][at].object;
                assert_eq!(target(&bound), self.model.objects[object].target);
                self.model.claim(pool, at, name);
                self.bounds.push(bound);
            }
            (Answer::New, Ok(bound)) => {
                let kind = kind.expect("only what has a kind is bound");
                let object = self.model.object(target(&bound), kind);
                let address = address.expect("it was bound there");
                self.model.bind(object, name, &address, path);
                self.bounds.push(bound);
            }
            (Answer::Unfit, Err(SocketError::Unfit { .. }))
            | (Answer::Missing, Err(SocketError::Missing { .. }))
            | (Answer::Taken, Err(SocketError::Taken { .. })) => {}
            (answer, got) => panic!("{answer:?} and {:?}", got.map(|got| target(&got))),
        }
        Some(())
    }

    fn export(&mut self, set: usize, name: usize, what: usize) -> Option<()> {
        let set = self.set(set)?;
        let name = NAMES[name % NAMES.len()];
        let (export, object) = if let (0, Some(bound)) = (what % 2, pick(&self.bounds, what)) {
            let object = self.model.bounds[what % self.bounds.len()].object;
            (set.export(name, bound).unwrap(), object)
        } else {
            let (fd, kind) = fresh(what);
            let object = self.model.object(target(&fd), kind);
            let export = set.export(name, &fd).unwrap();
            self.held.push(fd);
            self.model.held.push(object);
            (export, object)
        };
        self.exports.push(export);
        self.model.export(object, name);
        Some(())
    }

    fn forget_object(&mut self, set: usize, what: usize) -> Option<()> {
        let (set, pool) = (self.set(set)?, self.model.pool_of(set));
        let (fd, object) = match pick(&self.bounds, what) {
            Some(bound) => {
                let object = self.model.bounds[what % self.bounds.len()].object;
                (bound.try_clone().unwrap(), object)
            }
            None => {
                let held = pick(&self.held, what)?;
                (
                    held.try_clone().unwrap(),
                    self.model.held[what % self.held.len()],
                )
            }
        };
        let count = self.model.forget(pool, |one| one.object == object);
        assert_eq!(set.forget_object(&fd).unwrap(), count);
        Some(())
    }

    /// Does it to both; `None` if there is nothing to do it to.
    fn act(&mut self, deed: Deed) -> Option<()> {
        match deed {
            Deed::Get { set, name, what } => self.get(set, name, what)?,
            Deed::Export { set, name, what } => self.export(set, name, what)?,
            Deed::DropBound(what) => {
                let at = what % some(self.bounds.len())?;
                drop(self.bounds.remove(at));
                self.model.drop_bound(at);
            }
            Deed::KeepBound(what) => {
                let at = what % some(self.bounds.len())?;
                if self.bounds[at].has_made_a_file() && !self.may_keep {
                    // What the guard does is done with the guard.
                    let (socket, rest) = self.bounds.remove(at).split();
                    drop(socket);
                    drop(rest);
                    self.model.drop_bound(at);
                } else {
                    self.held.push(self.bounds.remove(at).keep());
                    self.model.keep_bound(at);
                }
            }
            Deed::DropExport(what) => {
                let at = what % some(self.exports.len())?;
                drop(self.exports.remove(at));
                let (entry, _) = self.model.exports.remove(at);
                self.model.remove(entry);
            }
            Deed::Forget { set, name } => {
                let (set, pool) = (self.set(set)?, self.model.pool_of(set));
                let name = NAMES[name % NAMES.len()];
                let count = self.model.forget(pool, |one| one.name == name);
                assert_eq!(set.forget(name), count);
            }
            Deed::ForgetObject { set, what } => self.forget_object(set, what)?,
            Deed::Reset(set) => {
                self.generations.push(self.set(set)?.reset().unwrap());
                self.model.reset();
            }
            Deed::Keep(what) => {
                let at = what % some(self.generations.len())?;
                let names = self.generations.remove(at).keep();
                assert_eq!(names, self.model.end_generation(at));
            }
            Deed::Abandon(what) => {
                let at = what % some(self.generations.len())?;
                drop(self.generations.remove(at));
                self.model.end_generation(at);
            }
            Deed::Cleanup(set) => {
                let (set, pool) = (self.set(set)?, self.model.pool_of(set));
                assert_eq!(set.cleanup(), self.model.names(pool));
                self.model.pools[pool].clear();
            }
            Deed::Clone(set) => {
                let pool = (self.set(set)?, self.model.pool_of(set));
                self.sets.push(pool.0);
                self.model.sets.push(pool.1);
            }
            Deed::DropSet(what) => {
                let at = what % some(self.sets.len())?;
                drop(self.sets.remove(at));
                self.model.drop_set(at);
            }
        }
        Some(())
    }

    /// Compares everything that can be seen of it.
    fn check(&mut self) {
        self.model.settle();
        let mut wanted = self.before.clone();
        for (target, times) in self.model.all_open() {
            *wanted.entry(target).or_default() += times;
        }
        assert_eq!(open_files(), wanted, "what is open");
        for (at, pool) in self.model.sets.iter().enumerate() {
            assert_eq!(self.sets[at].names(), self.model.names(*pool));
        }
        for (at, pool) in self.model.generations.iter().enumerate() {
            assert_eq!(self.generations[at].names(), self.model.names(*pool));
        }
        if let Some(set) = self.set(0) {
            let real = set.active().unwrap();
            let real = real.iter().map(|one| {
                let (name, origin) = (one.name.clone(), one.origin.text());
                (name, target(&one.fd), origin, one.file.is_some())
            });
            let model = self.model.copies().into_iter();
            let model = model.map(|one| {
                let target = self.model.objects[one.object].target.clone();
                let origin = match one.origin {
                    None => "manager".to_owned(),
                    Some(None) => "exported".to_owned(),
                    Some(Some(address)) => address,
                };
                (one.name, target, origin, one.has_file)
            });
            assert_eq!(real.collect::<Vec<_>>(), model.collect::<Vec<_>>());
        }
        for name in NAMES {
            for end in [".sock", ".dgram"] {
                let path = self.folder.join(format!("{name}{end}"));
                assert_eq!(path.exists(), self.model.files.contains_key(&path));
            }
        }
    }

    fn end(mut self) {
        for deed in [
            Deed::DropSet(0),
            Deed::DropExport(0),
            Deed::DropBound(0),
            Deed::Abandon(0),
        ] {
            while self.act(deed).is_some() {
                self.check();
            }
        }
        self.held.clear();
        self.model.held.clear();
        self.check();
    }
}

/// Something a manager, or the program, might have opened.
fn fresh(what: usize) -> (OwnedFd, Kind) {
    match what / 2 % 4 {
        0 => (TcpListener::bind("127.0.0.1:0").unwrap().into(), Kind::Tcp4),
        1 => (UdpSocket::bind("127.0.0.1:0").unwrap().into(), Kind::Udp4),
        2 => (std::io::pipe().unwrap().0.into(), Kind::Fifo),
        _ => (UnixDatagram::unbound().unwrap().into(), Kind::UnixDatagram),
    }
}

fn pick<T>(of: &[T], what: usize) -> Option<&T> {
    of.get(what % of.len().max(1))
}

fn some(count: usize) -> Option<usize> {
    (count > 0).then_some(count)
}

/// Lives through these deeds; what went wrong.
fn live(deeds: &[Deed], passed: usize, may_keep: bool) -> Result<(), String> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = format!("eud-sets-{}-{count}", std::process::id());
    let folder = std::env::temp_dir().join(folder);
    std::fs::create_dir(&folder).unwrap();
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut life = Life::begin(&folder, passed, may_keep);
        life.check();
        for deed in deeds {
            if life.act(*deed).is_some() {
                life.check();
            }
        }
        life.end();
    }));
    std::fs::remove_dir_all(&folder).unwrap();
    lived.map_err(|why| why.downcast_ref::<String>().cloned().unwrap_or_default())
}

/// The shortest life found that goes wrong as well.
fn shrunk(mut deeds: Vec<Deed>, passed: usize, may_keep: bool) -> Vec<Deed> {
    let mut at = 0;
    while at < deeds.len() {
        let mut fewer = deeds.clone();
        fewer.remove(at);
        match live(&fewer, passed, may_keep) {
            Err(_) => (deeds, at) = (fewer, 0),
            Ok(()) => at += 1,
        }
    }
    deeds
}

fn lives(first: u64, count: u64) {
    for seed in first..first + count {
        let mut dice = Dice(seed);
        let passed = dice.below(5);
        let may_keep = dice.below(64) == 0;
        let deeds: Vec<Deed> = (0..dice.below(40)).map(|_| dice.deed()).collect();
        if let Err(why) = live(&deeds, passed, may_keep) {
            let deeds = shrunk(deeds, passed, may_keep);
            panic!("{ALONE}={seed}: {why}\n{passed} handed over, {deeds:#?}");
        }
    }
}

#[test]
fn any_life_leaves_open_what_it_should() {
    // What other tests have open would count: this one is executed once more, by itself.
    if let Some(seed) = std::env::var_os(ALONE) {
        let seed = seed.to_str().and_then(|seed| seed.parse().ok());
        return match seed {
            Some(seed) => lives(seed, 1),
            None => lives(1, LIVES),
        };
    }
    let name = concat!(module_path!(), "::any_life_leaves_open_what_it_should");
    let (_, name) = name.split_once("::").unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test executes itself")]
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args([name, "--exact", "--nocapture"]);
    let output = output.env(ALONE, "all").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{error}");
    assert!(text.contains("1 passed"), "{text}");
}
