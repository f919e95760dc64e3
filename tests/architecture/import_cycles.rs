//! No file of a crate imports a file that imports it, directly or through others.
//!
//! Imports are read with `syn`: `use` items and the paths in code, through `crate`, `self`, `super`, child modules, aliases
//! and re-exports, down to the file that defines the item. A re-export alone (`pub use`) is a list of contents, not an
//! import. Test modules are left out, since they exist to look into their parent.

use super::root;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};
use syn::{
    Attribute, Item, UseTree, Visibility,
    visit::{self, Visit},
};

/// A module: its file, and what its names stand for.
#[derive(Default)]
struct Module {
    file: PathBuf,
    children: BTreeSet<String>,
    aliases: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    defined: BTreeSet<String>,
    /// Paths that the code of this module names, each as its segments.
    paths: Vec<Vec<String>>,
}

type Modules = BTreeMap<Vec<String>, Module>;

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// Reads a module and the modules below it. `folder` is where the files of its children are.
fn read(name: &[String], file: &Path, folder: &Path, items: &[Item], modules: &mut Modules) {
    let mut module = Module { file: file.to_owned(), ..Module::default() };
    for item in items {
        let mut define = |ident: &syn::Ident| module.defined.insert(ident.to_string());
        match item {
            Item::Mod(inner) => {
                if is_test(&inner.attrs) {
                    continue;
                }
                let child = inner.ident.to_string();
                let path: Vec<String> = name.iter().cloned().chain([child.clone()]).collect();
                if let Some((_, items)) = &inner.content {
                    read(&path, file, &folder.join(&child), items, modules);
                } else {
                    let candidates = [folder.join(format!("{child}.rs")), folder.join(&child).join("mod.rs")];
                    let file = candidates.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("{candidates:?}"));
                    let parsed = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
                    read(&path, file, &folder.join(&child), &parsed.items, modules);
                }
                module.children.insert(child);
                continue;
            }
            Item::Use(import) => {
                let is_reexport = !matches!(import.vis, Visibility::Inherited);
                collect_use(&import.tree, &mut Vec::new(), is_reexport, &mut module);
                continue;
            }
            Item::Const(item) => define(&item.ident),
            Item::Enum(item) => define(&item.ident),
            Item::Fn(item) if !is_test(&item.attrs) => define(&item.sig.ident),
            Item::Static(item) => define(&item.ident),
            Item::Struct(item) => define(&item.ident),
            Item::Trait(item) => define(&item.ident),
            Item::Type(item) => define(&item.ident),
            Item::Union(item) => define(&item.ident),
            _ => false,
        };
        PathCollector(&mut module.paths).visit_item(item);
    }
    modules.insert(name.to_vec(), module);
}

fn collect_use(tree: &UseTree, prefix: &mut Vec<String>, is_reexport: bool, module: &mut Module) {
    let mut add = |name: String, path: Vec<String>| {
        if !is_reexport {
            module.paths.push(path.clone());
        }
        module.aliases.insert(name, path);
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            collect_use(&path.tree, prefix, is_reexport, module);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => add(prefix.last().cloned().unwrap_or_default(), prefix.clone()),
        UseTree::Name(name) => {
            let path: Vec<String> = prefix.iter().cloned().chain([name.ident.to_string()]).collect();
            add(name.ident.to_string(), path);
        }
        UseTree::Rename(rename) => {
            let path: Vec<String> = prefix.iter().cloned().chain([rename.ident.to_string()]).collect();
            add(rename.rename.to_string(), path);
        }
        UseTree::Glob(_) => {
            if !is_reexport {
                module.paths.push(prefix.clone());
            }
            module.globs.push(prefix.clone());
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| collect_use(tree, prefix, is_reexport, module)),
    }
}

struct PathCollector<'a>(&'a mut Vec<Vec<String>>);

impl Visit<'_> for PathCollector<'_> {
    fn visit_path(&mut self, path: &syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

/// The file that defines what `path` names, seen from `from`; `None` for other crates and what is not known.
fn resolve<'a>(modules: &'a Modules, from: &[String], path: &[String], depth: usize) -> Option<&'a Path> {
    let mut at = from.to_vec();
    let mut rest = path;
    let mut is_rooted = false;
    while let Some((first, tail)) = rest.split_first() {
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop()?;
            }
            _ => break,
        }
        (rest, is_rooted) = (tail, true);
    }
    while let Some((name, tail)) = rest.split_first() {
        let module = modules.get(&at)?;
        if module.children.contains(name) {
            at.push(name.clone());
        } else if module.defined.contains(name) {
            return Some(&module.file);
        } else {
            let next = |target: &[String]| target.iter().chain(tail).cloned().collect::<Vec<_>>();
            if depth > 8 {
                return None;
            }
            if let Some(target) = module.aliases.get(name) {
                // An alias of the same name (`use x::x`) would be followed for ever.
                return (target != path || !at.eq(from)).then(|| resolve(modules, &at, &next(target), depth + 1))?;
            }
            let by_glob = |glob: &Vec<String>| {
                let target: Vec<String> = glob.iter().chain(rest).cloned().collect();
                resolve(modules, &at, &target, depth + 1)
            };
            // What is not known, a macro's work perhaps, still belongs to the module that was named.
            let named = (is_rooted && !module.file.as_os_str().is_empty()).then_some(module.file.as_path());
            return module.globs.iter().find_map(by_glob).or(named);
        }
        (rest, is_rooted) = (tail, true);
    }
    is_rooted.then(|| modules.get(&at).map(|module| module.file.as_path()))?
}

/// The files that can be reached from each file of a crate, by its imports.
fn imports(lib: &Path) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let mut modules = Modules::new();
    let parsed = syn::parse_file(&fs::read_to_string(lib).unwrap()).unwrap();
    read(&[], lib, lib.parent().unwrap(), &parsed.items, &mut modules);
    let mut imports: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for (name, module) in &modules {
        for path in &module.paths {
            if let Some(target) = resolve(&modules, name, path, 0).filter(|target| *target != module.file) {
                imports.entry(module.file.clone()).or_default().insert(target.to_owned());
            }
        }
    }
    imports
}

/// Groups of files that reach each other.
fn cycles(imports: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> Vec<Vec<PathBuf>> {
    let reached = |from: &PathBuf| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            for next in imports.get(file).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&PathBuf, BTreeSet<PathBuf>> = imports.keys().map(|file| (file, reached(file))).collect();
    let mut found: BTreeSet<Vec<PathBuf>> = BTreeSet::new();
    for (file, to) in reach.iter().filter(|(file, to)| to.contains(**file)) {
        let group: Vec<PathBuf> =
            to.iter().filter(|other| reach.get(other).is_some_and(|back| back.contains(*file))).cloned().collect();
        found.insert(group);
    }
    found.into_iter().collect()
}

#[test]
fn no_crate_has_an_import_cycle() {
    let mut wrong = Vec::new();
    let crates = ["gateway", "plugins"].iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    for lib in crates.map(|entry| entry.unwrap().path().join("src/lib.rs")).filter(|lib| lib.exists()) {
        let imports = imports(&lib);
        for cycle in cycles(&imports) {
            for file in &cycle {
                for to in imports[file].iter().filter(|to| cycle.contains(to)) {
                    let short = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
                    wrong.push(format!("{} → {}", short(file), short(to)));
                }
            }
            wrong.push(String::new());
        }
    }
    assert!(wrong.is_empty(), "import cycles:\n{}", wrong.join("\n"));
}

#[test]
fn a_cycle_is_found_through_super_and_through_re_exports() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("lib.rs", "mod a; mod b; mod c; pub use b::B;");
    write("a.rs", "use super::B; pub struct A(B);");
    write("b.rs", "pub struct B; impl B { fn f() { crate::c::f() } }");
    write("c.rs", "pub fn f() { super::a::g() }");
    let lib = folder.path().join("lib.rs");
    let files = |names: &[&str]| names.iter().map(|name| folder.path().join(name)).collect::<Vec<_>>();
    // `super::a::g` is not defined in a.rs; the module is imported all the same.
    assert_eq!(cycles(&imports(&lib)), [files(&["a.rs", "b.rs", "c.rs"])]);
    write("c.rs", "pub fn f() {}");
    assert!(cycles(&imports(&lib)).is_empty());
}
