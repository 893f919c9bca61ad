//! What the set should have open, kept as plain lists beside it.

use super::Kind;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// An open file of the model.
#[derive(Clone, Debug)]
pub struct Object {
    /// What `/proc/self/fd` calls it.
    pub target: String,
    pub kind: Kind,
    /// The path that was bound for it, and whether its file has not been let go of.
    pub made: Option<(PathBuf, bool)>,
    /// Whether its file was kept for ever.
    pub is_kept: bool,
}

#[derive(Clone, Debug)]
pub struct Item {
    pub object: usize,
    pub name: String,
    /// The address it was bound at; `Some(None)`: exported; `None`: a manager's.
    pub origin: Option<Option<String>>,
    pub has_file: bool,
    place: usize,
}

#[derive(Clone, Debug)]
pub struct Bound {
    pub object: usize,
    entry: usize,
    has_file: bool,
}

/// What a request comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is this one of the pool, by its place there.
    Claimed(usize),
    Unfit,
    Missing,
    Taken,
    /// It is bound here.
    New,
}

#[derive(Debug, Default)]
pub struct Model {
    pub objects: Vec<Object>,
    /// By the number of a pool; those that are gone are empty.
    pub pools: Vec<Vec<Item>>,
    /// Which pool each set, and each generation, has.
    pub sets: Vec<usize>,
    pub generations: Vec<usize>,
    /// By place, and then by number.
    active: Vec<(usize, Item)>,
    pub bounds: Vec<Bound>,
    /// Each guard's number, and whose the object is.
    pub exports: Vec<(usize, usize)>,
    /// What the program has by itself.
    pub held: Vec<usize>,
    /// Which object's file is at a path.
    pub files: BTreeMap<PathBuf, usize>,
    next: usize,
    next_place: usize,
}

impl Model {
    pub fn object(&mut self, target: String, kind: Kind) -> usize {
        self.objects.push(Object {
            target,
            kind,
            made: None,
            is_kept: false,
        });
        self.objects.len() - 1
    }

    /// Begins with what a manager handed over.
    pub fn inherit(&mut self, of: Vec<(String, usize)>) {
        let item = |(place, (name, object))| Item {
            object,
            name,
            origin: None,
            has_file: false,
            place,
        };
        let pool: Vec<Item> = of.into_iter().enumerate().map(item).collect();
        self.next_place = pool.len();
        self.pools.push(pool);
        self.sets.push(0);
    }

    pub fn pool_of(&self, set: usize) -> usize {
        let all = self.sets.iter().chain(&self.generations);
        *all.clone().nth(set % all.count()).expect("there is one")
    }

    pub fn names(&self, pool: usize) -> Vec<String> {
        self.pools[pool]
            .iter()
            .map(|one| one.name.clone())
            .collect()
    }

    /// What `get` comes to.
    pub fn ask(
        &self,
        pool: usize,
        name: &str,
        kind: Option<Kind>,
        address: Option<&str>,
    ) -> Answer {
        let pool = &self.pools[pool];
        let is_only = pool.len() == 1 && pool[0].name == "unknown";
        let mut is_unfit = false;
        let by_name = (0..pool.len()).filter(|at| is_only || pool[*at].name == name);
        // What was bound at an address is had by it too; a free port is nobody's in particular.
        let is_bound_at = |at: &usize| {
            let bound = pool[*at].origin.clone().flatten();
            bound.is_some_and(|bound| address == Some(&bound) && !bound.ends_with(":0"))
        };
        let by_address = (0..pool.len()).filter(is_bound_at);
        for at in by_name.chain(by_address) {
            let one = &pool[at];
            let bound = one.origin.clone().flatten();
            if bound.is_some_and(|bound| address.is_some_and(|wanted| wanted != bound)) {
                continue;
            }
            if kind.is_none_or(|kind| kind == self.objects[one.object].kind) {
                return Answer::Claimed(at);
            }
            is_unfit = true;
        }
        let path = address.and_then(|address| address.split_once(":/"));
        let path = path.map(|(_, rest)| PathBuf::from(format!("/{rest}")));
        let is_locked = |path: &PathBuf| {
            let made = self.objects.iter().filter_map(|one| one.made.as_ref());
            made.clone().any(|(at, lives)| at == path && *lives)
        };
        match (address, path) {
            _ if is_unfit => Answer::Unfit,
            (None, _) => Answer::Missing,
            (Some(_), Some(path)) if is_locked(&path) => Answer::Taken,
            (Some(_), _) => Answer::New,
        }
    }

    pub fn claim(&mut self, pool: usize, at: usize, name: &str) {
        let one = self.pools[pool].remove(at);
        let has_file = one.has_file;
        let object = one.object;
        let place = Some(one.place);
        let named = Item {
            name: name.to_owned(),
            ..one
        };
        let entry = self.add(named, place);
        self.bounds.push(Bound {
            object,
            entry,
            has_file,
        });
    }

    pub fn bind(&mut self, object: usize, name: &str, address: &str, path: Option<PathBuf>) {
        let has_file = path.is_some();
        if let Some(path) = path {
            self.files.insert(path.clone(), object);
            self.objects[object].made = Some((path, true));
        }
        let one = Item {
            object,
            name: name.to_owned(),
            origin: Some(Some(address.to_owned())),
            has_file,
            place: 0,
        };
        let entry = self.add(one, None);
        self.bounds.push(Bound {
            object,
            entry,
            has_file,
        });
    }

    pub fn export(&mut self, object: usize, name: &str) {
        let one = Item {
            object,
            name: name.to_owned(),
            origin: Some(None),
            has_file: false,
            place: 0,
        };
        let entry = self.add(one, None);
        self.exports.push((entry, object));
    }

    fn add(&mut self, mut one: Item, place: Option<usize>) -> usize {
        let copies = |(_, there): &&mut (usize, Item)| there.object == one.object;
        let copies: Vec<_> = self.active.iter_mut().filter(copies).collect();
        copies.iter().for_each(|(_, there)| learn(&mut one, there));
        for (_, there) in copies {
            learn(there, &one);
        }
        one.place = place.unwrap_or(self.next_place);
        self.next_place += usize::from(place.is_none());
        self.next += 1;
        self.active.push((self.next, one));
        self.active
            .sort_by_key(|(number, one)| (one.place, *number));
        self.next
    }

    /// What is served, each once for each of its names.
    pub fn copies(&self) -> Vec<Item> {
        let mut all: Vec<Item> = Vec::new();
        for (_, one) in &self.active {
            let is_it = |there: &Item| (there.object, &there.name) == (one.object, &one.name);
            if !all.iter().any(is_it) {
                all.push(one.clone());
            }
        }
        all
    }

    pub fn reset(&mut self) {
        self.pools.push(self.copies());
        self.generations.push(self.pools.len() - 1);
    }

    pub fn end_generation(&mut self, at: usize) -> Vec<String> {
        let pool = self.generations.remove(at);
        let names = self.names(pool);
        self.pools[pool].clear();
        self.end_of_sets();
        names
    }

    pub fn drop_set(&mut self, at: usize) {
        let pool = self.sets.remove(at);
        if !self.sets.contains(&pool) && !self.generations.contains(&pool) {
            self.pools[pool].clear();
        }
        self.end_of_sets();
    }

    /// Without a set there is nothing to serve from.
    fn end_of_sets(&mut self) {
        if self.sets.is_empty() && self.generations.is_empty() {
            self.settle();
            self.active.clear();
        }
    }

    pub fn drop_bound(&mut self, at: usize) {
        let gone = self.bounds.remove(at);
        self.remove(gone.entry);
    }

    /// The socket stays, and so does its file.
    pub fn keep_bound(&mut self, at: usize) {
        let kept = self.bounds.remove(at);
        self.remove(kept.entry);
        self.objects[kept.object].is_kept |= kept.has_file;
        self.held.push(kept.object);
    }

    pub fn remove(&mut self, entry: usize) {
        self.active.retain(|(number, _)| *number != entry);
    }

    pub fn forget(&mut self, pool: usize, is_meant: impl Fn(&Item) -> bool) -> usize {
        let count = |this: &Model| this.pools[pool].len() + this.active.len();
        let before = count(self);
        self.pools[pool].retain(|one| !is_meant(one));
        self.active.retain(|(_, one)| !is_meant(one));
        before - count(self)
    }

    /// Lets go of the files nobody has any more: they are removed, unless somebody still receives.
    pub fn settle(&mut self) {
        let open = self.open();
        for at in 0..self.objects.len() {
            let items = self.pools.iter().flatten();
            let items = items.chain(self.active.iter().map(|(_, one)| one));
            let holds = |one: &Item| one.object == at && one.has_file;
            let is_held = items.clone().any(holds)
                || self
                    .bounds
                    .iter()
                    .any(|one| one.object == at && one.has_file)
                || self.objects[at].is_kept;
            let object = &mut self.objects[at];
            let Some((path, lives)) = &mut object.made else {
                continue;
            };
            if is_held || !*lives {
                continue;
            }
            *lives = false;
            let is_there = self.files.get(path) == Some(&at);
            if is_there && !open.contains_key(&object.target) {
                self.files.remove(path);
            }
        }
    }

    /// How often each open file is open.
    pub fn open(&self) -> BTreeMap<String, usize> {
        let mut open = BTreeMap::new();
        let items = self.pools.iter().flatten();
        let items = items.chain(self.active.iter().map(|(_, one)| one));
        let objects = items.map(|one| one.object);
        let objects = objects.chain(self.bounds.iter().map(|one| one.object));
        for at in objects.chain(self.held.iter().copied()) {
            *open.entry(self.objects[at].target.clone()).or_default() += 1;
        }
        open
    }

    /// The same, with the locks.
    pub fn all_open(&self) -> BTreeMap<String, usize> {
        let mut open = self.open();
        for (path, lives) in self.objects.iter().filter_map(|one| one.made.as_ref()) {
            if *lives {
                let lock = format!("{}.lock", path.display());
                *open.entry(lock).or_default() += 1;
            }
        }
        open
    }
}

fn learn(one: &mut Item, there: &Item) {
    if one.origin == Some(None) {
        one.origin.clone_from(&there.origin);
    }
    one.has_file |= there.has_file;
}
