//! The source has one direction: the list on the first page of `src/lib.rs` is its order, and no module uses one above it.

use std::fs;
use std::path::{Path, PathBuf};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// The modules in the order of the page, from the top down.
fn order() -> Vec<String> {
    let page = fs::read_to_string(Path::new(SOURCE).join("lib.rs")).unwrap();
    let items = page.lines().filter_map(|line| line.strip_prefix("//! - "));
    // An item begins with its names; what follows it says may name others.
    let heads = items.flat_map(|item| item.split("; [").map(|half| half.split("`]: ").next().unwrap().to_owned()));
    let names = heads.map(|head| head.split('`').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>().concat();
    names.into_iter().filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase())).collect()
}

/// Every file of the source that is no test's, relative to it.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if matches!(stem, "tests" | "properties" | "scripted" | "fuzzing") {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path.strip_prefix(SOURCE).unwrap().to_owned());
        }
    }
}

fn module_of(file: &Path) -> String {
    let first = file.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules of the crate that a file uses, but for its unit tests.
fn used(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(Path::new(SOURCE).join(file)).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let names = |rest: &str| -> Vec<String> {
        let several = rest.strip_prefix('{').map(|rest| rest.split('}').next().unwrap().split(',').collect::<Vec<_>>());
        let each = several.unwrap_or_else(|| vec![rest]).into_iter().map(str::trim_start);
        each.map(|path| path.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap().to_owned()).collect()
    };
    code.split("crate::").skip(1).flat_map(names).filter(|name| !name.is_empty()).collect()
}

#[test]
fn no_module_uses_one_above_it() {
    let order = order();
    let rank = |module: &str| order.iter().position(|name| name == module);
    let mut all = Vec::new();
    files(Path::new(SOURCE), &mut all);
    assert!(all.len() > 100, "{}", all.len());
    let mut uses = 0;
    for file in all {
        let module = module_of(&file);
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let own = rank(&module).unwrap_or_else(|| panic!("'{module}' is not on the first page of src/lib.rs"));
        for other in used(&file).iter().filter(|other| **other != module) {
            let below = rank(other).unwrap_or_else(|| panic!("{}: '{other}' is not on the page", file.display()));
            assert!(below > own, "{} uses '{other}', which is above '{module}'", file.display());
            uses += 1;
        }
    }
    assert!(uses > 300, "{uses}");
}
