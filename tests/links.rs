//! Every page that a page points to is there.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_link_to_a_page_of_ours_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    let docs = fs::read_dir(root.join("docs")).unwrap();
    pages.extend(docs.map(|entry| entry.unwrap().path()).filter(|path| is_page(path)));
    let dead: Vec<String> = pages.iter().flat_map(dead_links).collect();
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn every_test_that_the_catalogue_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    let (mut code, mut folders) = (String::new(), vec![root.join("src"), root.join("tests")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => folders.push(entry),
                false => code.push_str(&fs::read_to_string(&entry).unwrap_or_default()),
            }
        }
    }
    // Every second piece between backticks is a name; those with underscores are tests.
    let names = page.split('`').skip(1).step_by(2).filter(|name| name.contains('_'));
    let tests: Vec<&str> = names.filter(|name| !name.contains(char::is_uppercase)).collect();
    assert!(tests.len() > 50, "{tests:?}");
    for test in tests {
        assert!(code.contains(&format!("fn {test}()")), "no such test: {test}");
    }
}

#[test]
fn links_are_found_in_a_text() {
    let text = "see [one](docs/one.md), [two](two.md#part) and [far](https://example.org/)";
    assert_eq!(links(text), ["docs/one.md", "two.md#part", "https://example.org/"]);
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "md")
}

fn dead_links(page: &PathBuf) -> Vec<String> {
    let folder = page.parent().unwrap();
    let text = fs::read_to_string(page).unwrap();
    let ours = |link: &&str| !link.contains("://") && !link.starts_with('#');
    let file = |link: &str| folder.join(link.split('#').next().unwrap_or(link));
    let dead = links(&text).into_iter().filter(ours).filter(|link| !file(link).exists());
    dead.map(|link| format!("{}: {link}", page.display())).collect()
}

fn links(text: &str) -> Vec<&str> {
    let ends = text.split("](").skip(1);
    ends.filter_map(|rest| rest.split_once(')').map(|(link, _)| link)).collect()
}
